"""Raw HTML in notes: how much of it the sanitiser is asked to put right."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

MAX_UNTIDY = 500
"""
Elements left open at once, and tags that close none, in one note.

A browser's parser, and so the sanitiser, takes time by the square of these: 20,000
open elements are 1 to 9 s, and 500 are 5 ms.
"""

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)")
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta"}
    | {"param", "source", "track", "wbr"}
)


def neutralise(tokens: Iterable[Token]) -> None:
    """Turn the raw HTML in *tokens* into text when there is too much untidy in it."""
    raw = [
        token for token in _flat(tokens) if token.type in ("html_inline", "html_block")
    ]
    if not _is_untidy(raw):
        return
    for token in raw:
        if token.type == "html_block":
            token.content = f"<p>{escapeHtml(token.content)}</p>\n"
        else:
            token.type = "text"


def _flat(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        yield token
        if token.type == "inline":
            yield from token.children or ()


def _is_untidy(raw: Iterable[Token]) -> bool:
    open_names: list[str] = []
    untidy = 0
    for token in raw:
        for match in _TAG.finditer(token.content):
            name = match[2].lower()
            if not match[1]:
                if name not in _VOID:
                    open_names.append(name)
            elif open_names and open_names[-1] == name:
                open_names.pop()
            else:
                untidy += 1
            if len(open_names) + untidy > MAX_UNTIDY:
                return True
    return False
