"""The vault that the browser sees: the manual, and notes beside it."""

from __future__ import annotations

import io
import shutil
import struct
import wave
from pathlib import Path

from PIL import Image

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
    "Trial/picture.md": "# A picture\n\n![[screenshots/desktop-light.png|300]]\n",
    "Trial/media.md": """# Media

A ==mark==, a %%secret%% and a #tag/below.

![[Trial/sub/second#Part 2]]

![[Trial/sound.wav]]

Said in a footnote.[^1]

[^1]: The footnote.
""",
    "Trial/film.md": "# A film\n\n![[Trial/film.webm]]\n",
    "Trial/more.md": """---
cssclasses: [framed]
rating: 5
related: "[[Trial/links]]"
---
# More

Said in a footnote.^[Inside of the sentence.]

![[Trial/sub/second#^block]]

![[example.canvas]]

![[Trial/notes.base]]

[[Trial/notes.base|The base]] has a page of its own.
""",
    "Trial/notes.base": """filters: file.inFolder("Trial/sub")
views:
  - type: table
    order: [file.name]
""",
    "custom.css": ".framed .prose { border-top: 7px solid rgb(1, 2, 3) }\n",
    "_site.md": """---
navigation:
  - "[[Trial/code|Chosen by the author]]"
  - Labels: /tags/
  - Elsewhere: https://example.org/
  - "[[Trial/long|Words]]"
logo: "[[leaf.svg]]"
---
""",
    "leaf.svg": """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">
<circle cx="12" cy="12" r="9"/></svg>
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
    "Trial/sub/second.md": "# Second\n\n## Part 2\n\nThe second part of the second.\n"
    "\nOne block of it. ^block\n",
    "Trial/chinese.md": "---\nlang: zh\n---\n# 花园导览\n\n从这里开始，走进花园。\n",
    "Trial/arabic.md": "---\nlang: ar\n---\n# حديقة\n\nتبدأ الكلمات من اليمين.\n",
}


def write_vault(folder: Path) -> Path:
    """Write it into *folder*, which is not there yet; return *folder*."""
    shutil.copytree(MANUAL, folder)
    return write_tree(
        folder,
        {
            **_NOTES,
            "Trial/sound.wav": _sound(),
            "Trial/film.webm": _film(),
            "Trial/paper.pdf": _PDF,
        },
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


def _film() -> bytes:
    """Return a second of one green picture: what a WebP holds is a frame of VP8."""
    file = io.BytesIO()
    Image.new("RGB", (32, 16), "green").save(file, "WEBP")
    frame = file.getvalue()[20:]  # after RIFF's header and that of its one chunk
    picture = _element("B0", b"\x20") + _element("BA", b"\x10")
    track = (
        _element("D7", b"\x01")
        + _element("73C5", b"\x01")
        + _element("83", b"\x01")
        + _element("86", b"V_VP8")
        + _element("E0", picture)
    )
    about = _element("4489", struct.pack(">f", 1000.0))  # milliseconds
    cluster = _element("E7", b"\x00") + _element("A3", b"\x81\x00\x00\x80" + frame)
    return _element("1A45DFA3", _element("4282", b"webm")) + _element(
        "18538067",
        _element("1549A966", about)
        + _element("1654AE6B", _element("AE", track))
        + _element("1F43B675", cluster),
    )


def _element(name: str, content: bytes) -> bytes:
    """Return an element of EBML, of which WebM is made."""
    return bytes.fromhex(name) + struct.pack(">Q", 1 << 56 | len(content)) + content
