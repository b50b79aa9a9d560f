"""The vault that the browser sees: the manual, and notes beside it."""

from __future__ import annotations

import io
import shutil
import wave
from pathlib import Path

from tests.documents import MANUAL
from tests.notes.trees import write_tree

_WORDS = "Words that fill the screen. " * 120
_SECTIONS = "\n\n".join(f"## Part {number}\n\n{_WORDS}" for number in range(1, 8))
_PDF = b"""%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 200 200]>> endobj
trailer <</Root 1 0 R>>
%%EOF
"""
_NOTES: dict[str, str] = {
    "Trial/callouts.md": """# Callouts

> [!tip]- Folded
> Only those see it who open it.

> [!warning]+ Open
> Those see it who do not close it.
>
> > [!note]- In another
> > Deep inside.

> [!strange] Of a type that nobody knows
> It has a class.
""",
    "Trial/formulas.md": """# Formulas

Inline $e^{i\\pi} + 1 = 0$, and by itself:

$$
\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}
$$
""",
    "Trial/diagram.md": """# A diagram

```mermaid
graph LR
  A[From here] --> B[to there]
```

```mermaid
this is no diagram
```
""",
    "Trial/base.md": """# A base

```base
filters: file.inFolder("Trial/sub")
views:
  - type: table
    order: [file.name, file.path]
```
""",
    "Trial/code.md": "# Code\n\n```python\nprint('copied')\n```\n",
    "Trial/picture.md": "# A picture\n\n![[screenshot.png|300]]\n",
    "Trial/media.md": """# Media

A ==mark==, a %%secret%% and a #tag/below.

![[Trial/sub/second#Part 2]]

![[Trial/sound.wav]]

Said in a footnote.[^1]

[^1]: The footnote.
""",
    "Trial/paper.md": "# A paper\n\n![[Trial/paper.pdf]]\n",
    "Trial/links.md": """# Links

First [[Trial/callouts|the callouts]], then [[Trial/long#Part 3|part three]], and
[elsewhere](https://example.org/).
""",
    "Trial/versions.md": """# Versions

[[v1.25]] came after [[Trial/data.xyz]].

> [!note]- Earlier
> ## Before

"""
    + f"{_WORDS}\n\n## After\n\n{_WORDS}\n\n## Last\n\n{_WORDS}\n",
    "Trial/v1.25.md": "# v1.25\n\nThis version is named like a file.\n",
    "Trial/data.xyz": "Of no kind that is known.\n",
    "Trial/long.md": f"# Long\n\n{_SECTIONS}\n",
    "Trial/sub/first.md": "# First\n\nOf a folder in a folder; see [[second]].\n",
    "Trial/sub/second.md": "# Second\n\n## Part 2\n\nThe second part of the second.\n",
    "Trial/chinese.md": "---\nlang: zh\n---\n# 花园导览\n\n从这里开始，走进花园。\n",
    "Trial/arabic.md": "---\nlang: ar\n---\n# حديقة\n\nتبدأ الكلمات من اليمين.\n",
}


def write_vault(folder: Path) -> Path:
    """Write it into *folder*, which is not there yet; return *folder*."""
    shutil.copytree(MANUAL, folder)
    return write_tree(
        folder, {**_NOTES, "Trial/sound.wav": _sound(), "Trial/paper.pdf": _PDF}
    )


def _sound() -> bytes:
    """Return two seconds of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 16000)
    return file.getvalue()
