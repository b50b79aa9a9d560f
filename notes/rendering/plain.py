"""Plain text: of inline tokens, for titles and excerpts, and of HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape

from markdown_it.token import Token

_TEXT = frozenset({"text", "text_special", "code_inline", "formula", "wikilink", "tag"})
_FORMULA = re.compile(r"<math.*?<annotation[^>]*>(.*?)</annotation>.*?</math>", re.S)
BLOCK_TAG = re.compile(
    r"</?(?:blockquote|br|d[dlt]|details|div|h[1-6]|hr|li|ol|p|pre|section|summary"
    r"|t[dhr]|table|ul)\b[^>]*>"
)
_TAG = re.compile(r"<[^>]*>")
_BREAKS = frozenset({"softbreak", "hardbreak"})


def plain_text(tokens: Iterable[Token] | None) -> str:
    """Return the text that a reader of *tokens* sees, on one line."""
    parts = []
    for token in tokens or ():
        if token.type in _TEXT:
            parts.append(token.content)
        elif token.type == "image":
            parts.append(plain_text(token.children))
        elif token.type in _BREAKS:
            parts.append(" ")
    return "".join(parts)


def plain_html(html: str) -> str:
    """
    Return the text that a reader of *html* sees, a line for each block.

    *html* is as the sanitiser writes it. A formula is what its author wrote.
    """
    if "<" in html:
        if "<math" in html:
            html = _FORMULA.sub(r" \1 ", html)
        html = _TAG.sub("", BLOCK_TAG.sub("\n", html))
    return unescape(html)
