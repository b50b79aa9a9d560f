"""Ids of blocks: ` ^like-this` at the end of one, or on a line of its own after it."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

_ID = re.compile(r"(?:^|\s)\^([A-Za-z0-9-]+)$")

_WITHOUT_END = frozenset({"code_block", "fence", "formula_block"})
"""Blocks that are one token."""


def block_ids(md: MarkdownIt) -> None:
    """Make ids of block ids, '^' included; lower case, the last of two wins."""
    md.core.ruler.push("block_ids", _give_ids)


def _give_ids(state: StateCore) -> None:
    if "^" not in state.src:
        return
    lines = state.src.split("\n")
    owners: dict[str, Token] = {}
    removed: set[int] = set()
    # By level: the opening token of the block that ended last, for an id alone on
    # its line.
    last: dict[int, Token] = {}
    for number, token in enumerate(state.tokens):
        if token.nesting == 1 and number not in removed:
            previous = last.get(token.level)
            last[token.level] = token
            if token.type == "paragraph_open":
                inline = state.tokens[number + 1]
                match = _find(inline, lines)
                if match is None:
                    continue
                name = match[1].lower()
                if match.start() or len(inline.children or ()) > 1:
                    before = state.tokens[number - 1] if number else token
                    in_item = token.hidden and before.type == "list_item_open"
                    owners[name] = before if in_item else token
                    _take(inline, match.start())
                elif previous is not None:
                    owners[name] = last[token.level] = previous
                    removed.update((number, number + 1, number + 2))
            # What follows is inside of this one, and has nothing before it.
            last.pop(token.level + 1, None)
        elif token.nesting == 0 and token.type in _WITHOUT_END:
            last[token.level] = token
    for name, token in owners.items():
        token.attrSet("id", "^" + name)
    if removed:
        state.tokens = [
            token for number, token in enumerate(state.tokens) if number not in removed
        ]


def _find(inline: Token, lines: list[str]) -> re.Match[str] | None:
    """Return the match of an id at the end of *inline*'s last text."""
    children = inline.children
    if not children or children[-1].type != "text" or inline.map is None:
        return None
    match = _ID.search(children[-1].content)
    # The parser strips the text: only the source knows of a space after the id.
    if match is None or not lines[inline.map[1] - 1].endswith("^" + match[1]):
        return None
    return match


def _take(inline: Token, start: int) -> None:
    """Take the id, which begins at *start* of the last text, out of *inline*."""
    children = inline.children or []
    children[-1].content = children[-1].content[:start].rstrip()
    while children and (
        children[-1].type in ("softbreak", "hardbreak")
        or (children[-1].type == "text" and not children[-1].content)
    ):
        children.pop()
