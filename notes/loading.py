"""Loading: the rows that a Site is made from, in one short read transaction each."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Max, Min

from notes.models import Attachment, Change, FormerAddress, Note
from notes.site import Site
from notes.sources import AttachmentSource, NoteSource, load_sources

# Well below the number of variables that SQLite takes in one statement.
_MAX_VARIABLES = 500


@dataclass(frozen=True)
class Everything:
    """
    All published notes, all attachments, and the sequence that they are at.

    Attributes:
        held, former: as of `notes.site.Site`.
    """

    sequence: int
    notes: tuple[NoteSource, ...]
    attachments: tuple[AttachmentSource, ...]
    held: Mapping[str, datetime]
    former: Mapping[str, str]


@dataclass(frozen=True)
class Changes:
    """
    What later changes, and the time, left.

    Attributes:
        paths: all that they touched.
        notes, attachments: those of them that are there, and published, now.
        held: those of them that are to be published later, and when.
        former: all of them, as of `notes.site.Site`; None where they are as before.
    """

    sequence: int
    paths: AbstractSet[str]
    notes: tuple[NoteSource, ...]
    attachments: tuple[AttachmentSource, ...]
    held: Mapping[str, datetime]
    former: Mapping[str, str] | None = None


def load_everything() -> Everything:
    """Return all that there is."""
    with _reading():
        sequence = _latest()
        found = load_sources(
            Note.objects.all().iterator(), Attachment.objects.all().iterator()
        )
        former = _former()
    return Everything(sequence, *found, former)


def load_changes(since: int, due: Collection[str] = ()) -> Changes | None:
    """
    Return what happened after the sequence *since*, and what became of *due* notes.

    None when that cannot be known: the log does not reach back so far, or ends
    before it, as after a restore of an older database.
    """
    with _reading():
        earliest, latest = _bounds()
        if latest < since or (latest > since and earliest > since + 1):
            return None
        paths = frozenset(
            Change.objects.filter(sequence__gt=since).values_list("path", flat=True)
        ).union(due)
        changes = _load_rows(latest, paths)
        if FormerAddress.objects.filter(sequence__gt=since).exists():
            return replace(changes, former=_former())
        return changes


def load_differences(site: Site) -> Changes:
    """
    Return what *site*, of whatever database, has otherwise than this one.

    Also all notes that it shows an error for: the next attempt may go well.
    """
    files = {
        path: (file.content_hash, file.size, file.modified_at)
        for path, file in site.attachments.items()
    }
    notes = {
        path: (facts.content_hash, facts.modified_at)
        for path, facts in site.facts.items()
    }
    failed = {path for path, note in site.rendered.items() if note.error is not None}
    with _reading():
        latest = _latest()
        there = {
            path: rest
            for path, *rest in Attachment.objects.order_by().values_list(
                "path", "content_hash", "size", "modified_at"
            )
        }
        paths = _differences(files, there)
        there = {
            path: rest
            for path, *rest in Note.objects.order_by().values_list(
                "path", "content_hash", "modified_at"
            )
        }
        paths |= _differences(notes, there)
        changes = _load_rows(latest, frozenset(paths | failed))
        former = _former()
    return replace(changes, former=None if former == site.former else former)


def _differences(
    known: Mapping[str, tuple[Any, ...]], there: Mapping[str, list[Any]]
) -> set[str]:
    """Return the keys of what is not the same on both sides."""
    return (known.keys() - there.keys()) | {
        path for path, rest in there.items() if known.get(path) != tuple(rest)
    }


def _load_rows(sequence: int, paths: frozenset[str]) -> Changes:
    notes: list[NoteSource] = []
    attachments: list[AttachmentSource] = []
    held: dict[str, datetime] = {}
    ordered = sorted(paths)
    for start in range(0, len(ordered), _MAX_VARIABLES):
        some = ordered[start : start + _MAX_VARIABLES]
        found = load_sources(
            Note.objects.filter(path__in=some),
            Attachment.objects.filter(path__in=some),
        )
        notes.extend(found.notes)
        attachments.extend(found.attachments)
        held.update(found.held)
    return Changes(sequence, paths, tuple(notes), tuple(attachments), held)


def _former() -> dict[str, str]:
    return dict(FormerAddress.objects.order_by().values_list("address", "path"))


def _latest() -> int:
    return _bounds()[1]


def _bounds() -> tuple[int, int]:
    """Return the least and the greatest sequence in the log; zeros without any."""
    found = Change.objects.aggregate(first=Min("sequence"), last=Max("sequence"))
    return found["first"] or 0, found["last"] or 0


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """
    See one state of the database inside.

    Not `atomic`: that begins a transaction of a writer, which would wait for other
    writers and keep them waiting.
    """
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
