"""Embeds of notes stand between paragraphs, for what they show is paragraphs."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

_BREAKS = frozenset({"softbreak", "hardbreak"})
_OF_WORDS = frozenset({"heading_open", "callout_title_open"})
"""Elements that have no paragraphs in them."""


def embeds(md: MarkdownIt) -> None:
    """Split paragraphs at the embeds in them."""
    md.core.ruler.push("embeds", _split_paragraphs)


def _split_paragraphs(state: StateCore) -> None:
    tokens: list[Token] = []
    ahead = iter(enumerate(state.tokens))
    for number, token in ahead:
        if token.type == "inline" and any(
            child.type == "embed" for child in token.children or ()
        ):
            before = state.tokens[number - 1]
            _link_what_cannot_stand(token, before)
            if before.type == "paragraph_open":
                tokens.pop()
                tokens.extend(_split(before, token, next(ahead)[1]))
                continue
        tokens.append(token)
    state.tokens = tokens


def _link_what_cannot_stand(inline: Token, parent: Token) -> None:
    """Make links of the embeds inside of headings, emphasis and the like."""
    level = 0
    for child in inline.children or ():
        level += child.nesting
        if child.type == "embed" and (level or parent.type in _OF_WORDS):
            child.type = "wikilink"


def _split(opening: Token, inline: Token, closing: Token) -> list[Token]:
    """Return the paragraphs and embeds that a paragraph consists of."""
    groups: list[list[Token]] = [[]]
    for child in inline.children or ():
        if child.type == "embed":
            groups += [[child], []]
        else:
            groups[-1].append(child)
    tokens: list[Token] = []
    for group in groups:
        if group and group[0].type == "embed":
            tokens.append(group[0])
            continue
        _strip(group)
        if group:
            tokens += [opening, inline.copy(children=group), closing]
            # An id is the first paragraph's alone.
            opening = opening.copy(attrs={})
    return tokens


def _strip(group: list[Token]) -> None:
    """Take the space and the line breaks off both ends of *group*."""
    while group and group[0].type in _BREAKS:
        del group[0]
    while group and group[-1].type in _BREAKS:
        del group[-1]
    if group and group[0].type == "text":
        group[0].content = group[0].content.lstrip()
    if group and group[-1].type == "text":
        group[-1].content = group[-1].content.rstrip()
    if len(group) == 1 and group[0].type == "text" and not group[0].content:
        group.clear()
