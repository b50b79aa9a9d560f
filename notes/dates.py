"""Dates: when a note was written and changed, by its properties or its file."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import timezone

if TYPE_CHECKING:
    from notes.sources import NoteSource

# In the words of Obsidian Publish, its Linter plugin, Quartz, Hugo and the Web
# Clipper; the first that a note has is taken.
CREATED = ("date", "created", "date created", "published", "datePublished")
UPDATED = ("updated", "modified", "date modified", "lastmod")


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
                if (date := _as_date(note.properties.get(name))) is not None
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
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError:
            value = _as_date(value)
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


def _first_moment(note: NoteSource, names: Iterable[str]) -> datetime.datetime | None:
    moments = (as_moment(note.properties.get(name)) for name in names)
    return next((moment for moment in moments if moment is not None), None)


_NO_DATES = Dates()


def _as_date(value: object) -> datetime.date | None:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value.strip()[:10])
        except ValueError:
            return None
    return None
