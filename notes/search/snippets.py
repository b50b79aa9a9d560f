"""
Snippets: the part of a text that shows why a note was found.

FTS5 has a function for it that takes a second for a large note; this looks at the
first places only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from notes.search.words import Term, fold, is_run

LENGTH = 180
"""Characters, about."""
_LEAD = 40
"""Characters before the first word that was found."""
_MAX_PLACES = 200
_SPACE = re.compile(r"\s+")


def snippet(text: str, terms: Sequence[Term]) -> str:
    """Return the best part of *text* as HTML, what was asked for in <mark>."""
    pattern = _pattern(terms)
    places: list[tuple[int, str]] = []
    for match in pattern.finditer(fold(text)):
        places.append((match.start(), match[0]))
        if len(places) == _MAX_PLACES:
            break
    start = _begin(text, _best(places))
    part = text[start : start + LENGTH]
    if start + LENGTH < len(text):
        # Scripts without spaces have no word to end with.
        part = (part[: part.rfind(" ")] if " " in part[LENGTH // 2 :] else part) + "…"
    part = _SPACE.sub(" ", part).strip()
    return mark("…" + part if start else part, terms)


def mark(text: str, terms: Sequence[Term]) -> str:
    """Return *text* as HTML, what was asked for in <mark>."""
    out: list[str] = []
    end = 0
    for match in _pattern(terms).finditer(fold(text)):
        out.append(escape(text[end : match.start()]))
        out.append(f"<mark>{escape(text[match.start() : match.end()])}</mark>")
        end = match.end()
    out.append(escape(text[end:]))
    return "".join(out)


def _pattern(terms: Sequence[Term]) -> re.Pattern[str]:
    """Return what matches the terms: words from their beginning, runs anywhere."""
    longest_first = sorted({term.text for term in terms}, key=len, reverse=True)
    return re.compile(
        "|".join(
            re.escape(text) if is_run(text) else rf"\b{re.escape(text)}\w*"
            for text in longest_first
        )
        or r"(?!)"
    )


def _best(places: Sequence[tuple[int, str]]) -> int:
    """Return where the part begins that has the most different words in it."""
    best, most = 0, 0
    for number, (start, _) in enumerate(places):
        found = {
            word
            for place, word in places[number : number + 20]
            if place < start + LENGTH - _LEAD
        }
        if len(found) > most:
            best, most = start, len(found)
    return best


def _begin(text: str, place: int) -> int:
    """Return the beginning of a word, some before *place*; 0 near the beginning."""
    start = place - _LEAD
    if start <= 0:
        return 0
    space = text.find(" ", start, place)
    return start if space < 0 else space + 1
