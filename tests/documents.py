"""What the documents of the project contain, as tests look at them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MANUAL = ROOT / "docs"
README = ROOT / "README.md"


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block: the words behind its fence, and its lines."""

    info: str
    lines: tuple[str, ...]


def code_blocks(text: str) -> list[CodeBlock]:
    """Return the fenced blocks of *text* in their order."""
    found = re.findall(r"^```(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [CodeBlock(info, tuple(body.splitlines())) for info, body in found]


def without_code_blocks(text: str) -> str:
    """Return *text* with its fenced blocks taken out."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    """Return *text* with its fenced blocks and its code spans taken out."""
    return re.sub(r"`[^`\n]+`", "", without_code_blocks(text))


def section(text: str, heading: str) -> str:
    """
    Return what stands under *heading*, up to the next of its level or above.

    Raises:
        LookupError: there is no such heading, or more than one.
    """
    level = heading.partition(" ")[0]
    found = re.findall(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)",
        text,
        re.MULTILINE | re.DOTALL,
    )
    if len(found) != 1:
        raise LookupError(f"{len(found)} headings are {heading!r}, expected one")
    return str(found[0])


def table_rows(text: str) -> list[list[str]]:
    """Return the rows of every table in *text*, cells without their backquotes."""
    rows = []
    for line in without_code_blocks(text).splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            rows.append([cell.strip().strip("`") for cell in cells])
    return rows


def manual_pages() -> dict[str, str]:
    """Return the text of every page of the manual by its path in docs/."""
    return {
        page.relative_to(MANUAL).as_posix(): page.read_text(encoding="utf-8")
        for page in sorted(MANUAL.rglob("*.md"))
    }
