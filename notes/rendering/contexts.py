"""Contexts: the words around a link, for the page that it leads to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from notes.rendering.model import LinkEnd, Piece
from notes.rendering.plain import BLOCK_TAG, plain_html

_BEFORE, _AFTER = 90, 110
"""Characters, about: a context begins and ends with a word."""
# Of HTML, on either side; a paragraph may have thousands of links.
_MAX_LOOKED_AT = 1500

# No author's: they stand for tags while a text is cut.
_CODE, _CODE_END = "\ue0c0", "\ue0c1"
_MARKS = re.compile("([\ue0c0\ue0c1])")
_CODE_TAG = re.compile(r"<(/?)code\b[^>]*>|[\ue0c0\ue0c1]")
_SPACE = re.compile(r"\s+")


def context_of(pieces: tuple[Piece, ...], number: int) -> str:
    """
    Return the words around the link that begins with the piece at *number*.

    Of its paragraph, item or cell, as HTML: text, the link's own in <b>. '' where
    there is nothing but the link.
    """
    end = number + 1
    while end < len(pieces) and not isinstance(pieces[end], LinkEnd):
        end += 1
    before = _text_until_block(reversed(pieces[:number]), is_backwards=True)
    after = _text_until_block(pieces[end + 1 :], is_backwards=False)
    if not before.strip() and not after.strip():
        return ""
    link = plain_html("".join(p for p in pieces[number:end] if isinstance(p, str)))
    return (
        f"{_html_of(_cut_front(before))}<b>{escape(_SPACE.sub(' ', link))}</b>"
        f"{_html_of(_cut_back(after))}"
    )


def _html_of(text: str) -> str:
    """Return *text* as HTML; what was code is code again, also where it was cut."""
    parts = _MARKS.split(text)
    is_code = parts[1:2] == [_CODE_END]
    out = ["<code>"] if is_code else []
    for part in parts:
        if part in {_CODE, _CODE_END}:
            if is_code == (part == _CODE_END):
                out.append("</code>" if is_code else "<code>")
                is_code = not is_code
        else:
            out.append(escape(part))
    if is_code:
        out.append("</code>")
    return "".join(out)


def _text_until_block(pieces: Iterable[Piece], *, is_backwards: bool) -> str:
    """Return the text of *pieces* up to where their paragraph begins or ends."""
    parts: list[str] = []
    length = 0
    for piece in pieces:
        if not isinstance(piece, str):
            continue
        borders = list(BLOCK_TAG.finditer(piece))
        if borders and is_backwards:
            piece = piece[borders[-1].end() :]
        elif borders:
            piece = piece[: borders[0].start()]
        piece = _CODE_TAG.sub(_mark_code, piece)
        parts.append(piece)
        length += len(piece)
        if borders or length > _MAX_LOOKED_AT:
            break
    return _SPACE.sub(
        " ", plain_html("".join(reversed(parts) if is_backwards else parts))
    )


def _mark_code(match: re.Match[str]) -> str:
    if match[1] is None:
        return ""
    return _CODE_END if match[1] else _CODE


def _cut_front(text: str) -> str:
    text = text.lstrip()
    if len(text) <= _BEFORE:
        return text
    text = text[-_BEFORE:]
    # Scripts without spaces have no word to begin with.
    return "…" + (text.partition(" ")[2] or text)


def _cut_back(text: str) -> str:
    text = text.rstrip()
    if len(text) <= _AFTER:
        return text
    text = text[:_AFTER]
    return (text.rpartition(" ")[0] or text) + "…"
