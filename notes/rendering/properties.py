"""Properties: the frontmatter as readers see it, when they ask for it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from html import escape
from itertools import islice
from typing import Any

from notes.bases.values import WIKILINK, is_empty, to_text, without_comments
from notes.dates import CREATED, UPDATED
from notes.rendering.model import LinkEnd, LinkStart, Piece, Property, Target

MAX_PROPERTIES = 100
MAX_ITEMS = 200
MAX_TEXT = 2_000
"""Characters of one value; more of it is cut."""

# What is shown elsewhere on the page, or says how and whether it is made.
_NOT_SHOWN = frozenset(
    {"title", "tags", "tag", "permalink", "slug", "publish", "draft"}
    | {"cssclasses", "cssclass", "lang", "language"}
    | {name.casefold() for name in (*CREATED, *UPDATED)}
)
_WEB = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)


def properties_of(properties: Mapping[str, Any]) -> tuple[Property, ...]:
    """Return the *properties* of a note that are shown, with their links as links."""
    shown = (
        Property(name[:MAX_TEXT], tuple(_pieces(value)))
        for name, value in properties.items()
        if name.casefold() not in _NOT_SHOWN and not is_empty(value)
    )
    return tuple(islice(shown, MAX_PROPERTIES))


def _pieces(value: Any) -> Iterator[Piece]:
    if isinstance(value, list):
        for number, item in enumerate(value[:MAX_ITEMS]):
            if number:
                yield ", "
            yield from _text(_as_text(item))
        return
    if isinstance(value, datetime.date):
        text = to_text(value)
        yield f'<time datetime="{text}">{text}</time>'
        return
    yield from _text(_as_text(value))


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = without_comments(to_text(value)).encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _text(text: str) -> Iterator[Piece]:
    """Yield *text* as HTML; its wikilinks, and an address that is all of it, are links."""
    if _WEB.fullmatch(text.strip()):
        address = escape(text.strip())
        yield f'<a href="{address}">{address}</a>'
        return
    end = 0
    for match in WIKILINK.finditer(text):
        yield escape(text[end : match.start()])
        fragment = (match[2] or "").removeprefix("#").strip()
        target = Target(match[1].strip().removesuffix("\\"), fragment, True)
        yield LinkStart(target, "")
        yield escape((match[3] or "").strip() or target.label)
        yield LinkEnd()
        end = match.end()
    yield escape(text[end:])
