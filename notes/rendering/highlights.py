"""Highlights: `==marked==`."""

from __future__ import annotations

from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter

_EQUALS = ord("=")


def highlights(md: MarkdownIt) -> None:
    """Read `==text==`; tokens 'mark_open' and 'mark_close'."""
    md.inline.ruler.after("strikethrough", "highlight", _parse)
    md.inline.ruler2.after("strikethrough", "highlight", _pair)


def _parse(state: StateInline, silent: bool) -> bool:
    if silent or not state.src.startswith("==", state.pos):
        return False
    scanned = state.scanDelims(state.pos, True)
    token = state.push("text", "", 0)
    token.content = "=" * scanned.length
    # Three and more underline something, or divide; none of them opens or closes.
    if scanned.length == 2:
        state.delimiters.append(
            Delimiter(
                marker=_EQUALS,
                length=0,
                token=len(state.tokens) - 1,
                end=-1,
                open=scanned.can_open,
                close=scanned.can_close,
            )
        )
    state.pos += scanned.length
    return True


def _pair(state: StateInline) -> None:
    _open_and_close(state, state.delimiters)
    for meta in state.tokens_meta:
        if meta and "delimiters" in meta:
            _open_and_close(state, meta["delimiters"])


def _open_and_close(state: StateInline, delimiters: Iterable[Delimiter]) -> None:
    """Make elements of the pairs that the parser found in *delimiters*."""
    found = list(delimiters)
    for delimiter in found:
        if delimiter.marker != _EQUALS or delimiter.end == -1:
            continue
        for position, suffix, nesting in (
            (delimiter.token, "open", 1),
            (found[delimiter.end].token, "close", -1),
        ):
            token = state.tokens[position]
            token.type, token.tag = f"mark_{suffix}", "mark"
            token.markup, token.content = "==", ""
            token.nesting = 1 if nesting == 1 else -1
