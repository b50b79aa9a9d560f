"""Headings: anchors that are unique in a page, and the names that links use."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

from notes.rendering.model import Heading
from notes.rendering.plain import plain_text

_DROPPED = re.compile(r"[^\w\s-]+")
_SPACE = re.compile(r"\s+")


def slug(text: str) -> str:
    """Return *text* as an anchor: lower case, dashes for spaces, every script."""
    return _SPACE.sub("-", _DROPPED.sub("", text.lower()).strip())


def headings(md: MarkdownIt) -> None:
    """Give each heading an anchor; env's 'headings' lists them."""
    md.core.ruler.push("headings", _anchor)


def _anchor(state: StateCore) -> None:
    found: list[Heading] = state.env.setdefault("headings", [])
    taken: set[str] = set()
    repeats: dict[str, int] = {}
    for number, token in enumerate(state.tokens):
        if token.type != "heading_open":
            continue
        text = plain_text(state.tokens[number + 1].children).strip()
        base = anchor = slug(text) or "section"
        while anchor in taken:
            repeats[base] = repeats.get(base, 0) + 1
            anchor = f"{base}-{repeats[base]}"
        taken.add(anchor)
        token.attrSet("id", anchor)
        found.append(Heading(int(token.tag[1]), text, anchor))


def sections(found: list[Heading]) -> dict[str, str]:
    """
    Return what a fragment may call each of *found*, to its anchor.

    `slug` of its text, with those of the headings above it and '#' before, as many
    as the author cares to write; of two that are called the same, the first.
    """
    names: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for heading in found:
        while above and above[-1][0] >= heading.level:
            above.pop()
        name = slug(heading.text)
        names.setdefault(name, heading.anchor)
        for _, parent in reversed(above):
            name = f"{parent}#{name}"
            names.setdefault(name, heading.anchor)
        above.append((heading.level, slug(heading.text)))
    for heading in found:
        names.setdefault(heading.anchor, heading.anchor)
    return names


def section_name(fragment: str) -> str:
    """Return *fragment*, as 'A#B', as `sections` would call it."""
    return "#".join(slug(part) for part in fragment.split("#"))
