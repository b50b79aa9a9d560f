"""Brackets: how deep links and images are looked for in each other."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, image, link

MAX_DEPTH = 20
"""
Brackets in brackets in which a link or image is still looked for.

Each is looked for again in all that are around it: '![' 20,000 times takes 4 s with
the parser's own limit, which is that of quotes and lists.
"""


def brackets(md: MarkdownIt) -> None:
    """Look for links and images only where one can be."""
    md.inline.ruler.at("link", _link)
    md.inline.ruler.at("image", _image)


def _link(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "[" or state.html_terminator_last("]") < state.pos:
        return False
    return _is_too_deep(state, silent) or link(state, silent)


def _image(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "!" or state.html_terminator_last("]") < state.pos:
        return False
    return _is_too_deep(state, silent) or image(state, silent)


def _is_too_deep(state: StateInline, silent: bool) -> bool:
    """Give up the search of all brackets around, as the parser does at its limit."""
    if not silent or state.level <= MAX_DEPTH:
        return False
    state.pos = state.posMax
    return True
