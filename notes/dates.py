"""Dates: when a note was written and changed, by its properties or its file."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

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
    updated = read_dates(note).updated
    return note.modified_at if updated is None else _midnight(updated)


def published_at(note: NoteSource) -> datetime.datetime:
    """Return when *note* was written, for machines: by its word, else its file's."""
    created = read_dates(note).created
    return note.modified_at if created is None else _midnight(created)


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


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
