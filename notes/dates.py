"""Dates: when a note was written and changed, by its properties or its file."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import timezone

from notes.frontmatter import named

if TYPE_CHECKING:
    from notes.sources import NoteSource

# In the words of Obsidian Publish, its Linter plugin, Quartz, Hugo and the Web
# Clipper; the first that a note has is taken.
CREATED = ("date", "created", "date created", "published", "datePublished")
UPDATED = ("updated", "modified", "date modified", "lastmod")

# 2026-12-24, 2026/12/24 and 24.12.2026; which of 12/10/2026 is the month, nobody knows.
_DAY = re.compile(
    r"(?:(?P<y1>\d{4})(?P<sign>[-/.])(?P<m1>\d\d?)(?P=sign)(?P<d1>\d\d?)"
    r"|(?P<d2>\d\d?)\.\s*(?P<m2>\d\d?)\.\s*(?P<y2>\d{4}))(?!\d)",
    re.ASCII,
)
_TIME = re.compile(
    r"(?:\s*[Tt]\s*|,?\s+)(?P<hour>\d\d?):(?P<after>\d\d(?::\d\d(?:[.,]\d+)?)?)"
    r"\s*(?P<offset>[Zz]|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Dates:
    """
    The days on which a note was written and last changed.

    Attributes:
        created: None where the author does not say.
        updated: None where the author does not say: a file's own date is that of a
            copy as often as not, and no reader should be told it.
    """

    created: datetime.date | None = None
    updated: datetime.date | None = None


def read_dates(note: NoteSource) -> Dates:
    """Return the dates that the frontmatter of *note* has."""
    if not note.properties:
        return _NO_DATES
    created, updated = (
        next(
            (
                date
                for name in names
                if (date := _as_date(named(note.properties, name))) is not None
            ),
            None,
        )
        for names in (CREATED, UPDATED)
    )
    if created is None and updated is None:
        return _NO_DATES
    return Dates(created, updated)


def changed_at(note: NoteSource) -> datetime.datetime:
    """Return when *note* last changed, for machines: by its word, else its file's."""
    return _first_moment(note, UPDATED) or note.modified_at


def published_at(note: NoteSource) -> datetime.datetime:
    """Return when *note* was written, for machines: by its word, else its file's."""
    return _first_moment(note, CREATED) or note.modified_at


def as_moment(value: object) -> datetime.datetime | None:
    """
    Return the time that *value*, a property, names, in UTC; None for no date.

    A day begins at its midnight in TIME_ZONE, and so does one with more after it that
    is no time. A time without an offset is one of clocks there.
    """
    if isinstance(value, str):
        value = _as_time(value) or _as_date(value)
    if not isinstance(value, datetime.date):
        return None
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.get_default_timezone())
    try:
        return value.astimezone(datetime.UTC)
    except OverflowError:  # on the first or the last day that there is
        return value.replace(tzinfo=datetime.UTC)


def not_before(value: object) -> datetime.datetime | None:
    """
    Return from when on *value*, a `date`, lets its note be seen; None for no date.

    It is as `as_moment` has it, but for a day with more after it that is no time:
    that may mean any hour, in any zone, so two whole days go by.
    """
    moment = as_moment(value)
    if moment is None or not isinstance(value, str) or _as_time(value) is not None:
        return moment
    if not _split(value)[1]:
        return moment
    try:
        return moment + datetime.timedelta(days=2)
    except OverflowError:  # on the last days that there are
        return moment


def _first_moment(note: NoteSource, names: Iterable[str]) -> datetime.datetime | None:
    moments = (as_moment(named(note.properties, name)) for name in names)
    return next((moment for moment in moments if moment is not None), None)


_NO_DATES = Dates()


def _as_date(value: object) -> datetime.date | None:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    return _split(value)[0] if isinstance(value, str) else None


def _split(text: str) -> tuple[datetime.date | None, str]:
    """Return the day that *text* begins with, and what is after it."""
    text = text.strip()
    match = _DAY.match(text)
    try:
        if match is None:
            return datetime.date.fromisoformat(text[:10]), text[10:]
        year, month, day = (
            int(match[f"{name}1"] or match[f"{name}2"]) for name in "ymd"
        )
        return datetime.date(year, month, day), text[match.end() :]
    except ValueError:
        return None, ""


def _as_time(text: str) -> datetime.datetime | None:
    """Return the day and time that *text* is; None for a day alone, and for others."""
    day, rest = _split(text)
    match = _TIME.fullmatch(rest)
    if day is None or not rest:
        return None
    if match is None:
        try:
            # Other forms of ISO 8601: 20261224T1830, 2026-12-24T18.
            return datetime.datetime.fromisoformat(text.strip())
        except ValueError:
            return None
    hour = int(match["hour"])
    # Midnight may be the end of a day, too.
    is_end = hour == 24 and not match["after"].strip(":0.,")
    written = f"{0 if is_end else hour:02}:{match['after']}{match['offset'] or ''}"
    try:
        time = datetime.time.fromisoformat(written)
        return datetime.datetime.combine(day, time) + datetime.timedelta(days=is_end)
    except (ValueError, OverflowError):
        return None
