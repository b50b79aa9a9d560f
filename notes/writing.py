"""Writing: what a plan puts on disk and into the database."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from django.db import transaction

from notes.blobs import has_blob, keep_for_grace, put_blob
from notes.conf import Progress, conf
from notes.exceptions import UnreadableFileError
from notes.models import Attachment, Change, Note
from notes.plan import Meter, Plan, latest_sequence
from notes.reading import Content, modified_at, open_file
from notes.renames import record_moves, record_renames

KEPT_CHANGES = 10_000
"""
Rows of Change that a sync leaves, whole sequences only.

A process that is further behind reads everything again.
"""

_BATCH = 200  # rows; SQLite's variables are counted, and progress shows each batch

Item = TypeVar("Item")


class MovedError(Exception):
    """Somebody wrote since the plan was made."""


def store_blobs(plan: Plan, progress: Progress) -> None:
    """
    Put the bytes of new attachments on disk, and put back those that got lost.

    *plan* is corrected where a file changed or went since it was compared.
    """
    store = conf.attachments_dir
    files = plan.attachments
    missing = [
        content
        for content in files.present
        if not has_blob(store, content.content_hash, content.size)
    ]
    # Blobs that get their row back may be at the end of their grace.
    keep_for_grace(store, (content.content_hash for content in files.written))
    meter = Meter(progress, "storing", len(missing))
    for content in missing:
        written = files.added if content.file.path in files.added else files.changed
        try:
            with open_file(content.file, conf.max_attachment_size) as stream:
                status = os.fstat(stream.fileno())
                content_hash, size = put_blob(store, stream)
        except (FileNotFoundError, UnreadableFileError):
            written.pop(content.file.path, None)  # the next sync sees what became of it
        else:
            if content.file.path in written:
                written[content.file.path] = Content(
                    content.file, content_hash, size, modified_at(status)
                )
        meter.step()


def write_rows(plan: Plan, progress: Progress) -> int:
    """
    Write the rows that differ in one transaction; return its sequence.

    Raises:
        MovedError: the database is not the one that the plan was made from.
    """
    notes = [
        Note(
            path=content.file.path,
            source=content.source,
            content_hash=content.content_hash,
            modified_at=content.modified_at,
        )
        for content in plan.notes.written
    ]
    attachments = [
        Attachment(
            path=content.file.path,
            content_hash=content.content_hash,
            size=content.size,
            modified_at=content.modified_at,
        )
        for content in plan.attachments.written
    ]
    touched = [path for _, path in plan.touched]
    sequence = plan.sequence + 1
    # Their grace begins before they lose their rows: if this process dies in
    # between, they stay too long, not too short.
    keep_for_grace(conf.attachments_dir, plan.attachments.stale)
    meter = Meter(progress, "writing", len(touched))
    with transaction.atomic():
        if latest_sequence() != plan.sequence:
            raise MovedError
        added: dict[str, list[str]] = {}
        for path, content in plan.notes.added.items():
            added.setdefault(content.content_hash, []).append(path)
        record_renames(plan.notes.removed, added, sequence)
        record_moves(
            {note.path: note for note in notes if note.path in plan.notes.changed},
            sequence,
        )
        for note_rows in _batches(notes):
            Note.objects.bulk_create(
                note_rows,
                update_conflicts=True,
                unique_fields=["path"],
                update_fields=["source", "content_hash", "modified_at"],
            )
            meter.step(len(note_rows))
        for attachment_rows in _batches(attachments):
            Attachment.objects.bulk_create(
                attachment_rows,
                update_conflicts=True,
                unique_fields=["path"],
                update_fields=["content_hash", "size", "modified_at"],
            )
            meter.step(len(attachment_rows))
        for paths in _batches(plan.notes.removed):
            Note.objects.filter(path__in=paths).delete()
            meter.step(len(paths))
        for paths in _batches(plan.attachments.removed):
            Attachment.objects.filter(path__in=paths).delete()
            meter.step(len(paths))
        record_changes(sequence, touched)
    return sequence


def record_changes(sequence: int, paths: Iterable[str]) -> None:
    """Log that the open transaction, under *sequence*, touches *paths*."""
    epoch = conf.epoch()
    Change.objects.bulk_create(
        (Change(sequence=sequence, path=path, epoch=epoch) for path in paths),
        batch_size=_BATCH,
    )
    _prune_changes()


def _prune_changes() -> None:
    """Remove the oldest rows of Change, and never a part of a sequence."""
    latest = Change.objects.order_by("-sequence", "-id")
    for oldest_kept in latest[KEPT_CHANGES - 1 : KEPT_CHANGES]:
        Change.objects.filter(sequence__lt=oldest_kept.sequence).delete()


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
