"""
The vaults that obsidian-export is tested with: a reader sees what is expected there.

What is expected is Markdown without anything of Obsidian's, so that it is rendered
too, and the texts of the two are compared.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from notes.frontmatter import split
from tests.notes.rendering_vault import SHARED, Vault

_ROOT = SHARED / "conformance" / "obsidian-export"
NOT_AS_EXPECTED = {
    "postprocessors/Note.md": "its expectation is of a program that changes the text",
    "postprocessors/Note_embed_postprocess_only.md": "has no input",
    "postprocessors/Note_embed_stop_and_skip.md": "has no input",
    "start-at/single-file/Note B.md": "has no input: another folder to begin at",
}
# Ours, theirs, and why ours.
OTHERWISE = {
    "infinite-recursion/Note A.md": ("Note A Note C", "→ Note A Note C", "no arrow"),
    "main-samples/embeds.md": (
        "non-existing note Image embed",
        "Image embed",
        "a reader sees that something is missing, as in Obsidian",
    ),
}


def _expected():
    return sorted(
        str(path.relative_to(_ROOT / "expected"))
        for path in (_ROOT / "expected").rglob("*.md")
    )


def _read(root: Path) -> tuple[dict[str, str], list[str]]:
    notes, files = {}, []
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.suffix == ".md":
            notes[name] = split(path.read_text())[1]
        elif path.is_file():
            files.append(name)
    return notes, files


def _text(page: str) -> str:
    """Return what a reader of *page* sees; where an embed is from is no part of it."""
    page = re.sub(r'<p class="embed-title">.*?</p>', "", page)
    page = re.sub(r"<annotation.*?</annotation>", "", page)
    page = re.sub(r'<img [^>]*alt="([^"]*)"[^>]*>', r"\1", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())


@pytest.mark.parametrize("name", [n for n in _expected() if n not in NOT_AS_EXPECTED])
def test_text_is_as_expected(name):
    folder, _, path = name.partition("/")
    notes, files = _read(_ROOT / "input" / folder)
    given = Vault(notes, files).render(path)
    expected, _ = _read(_ROOT / "expected" / folder)
    # The links of what is expected lead to notes that are not in it.
    wanted = Vault({**notes, path: expected[path]}, files).render(path)
    ours, theirs, _ = OTHERWISE.get(name, ("", "", ""))
    text = _text(given.html)
    assert ours in text
    assert text.replace(ours, theirs) == _text(wanted.html)
    assert given.title == wanted.title


def test_every_input_is_there():
    names = _expected()
    assert len(names) == 31
    assert NOT_AS_EXPECTED.keys() <= set(names)
