"""
Sources: what the rows of a vault are to everything after them.

Drafts end here, and notes whose `date` is to come, so that nothing that renders,
links, lists or serves sees one.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils import timezone

from notes.blobs import blob_path
from notes.conf import conf
from notes.exceptions import FrontmatterError
from notes.frontmatter import split
from notes.links import is_sheet
from notes.publishing import date_problem, published_from
from notes.vault import SETTINGS

if TYPE_CHECKING:
    from notes.models import Attachment, Note

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NoteSource:
    """
    A published note, or a sheet, as its author wrote it.

    Attributes:
        path: relative to the vault, NFC, with '.md', '.canvas' or '.base'.
        properties: the frontmatter; empty without one.
        body: the text after the frontmatter.
        content_hash: SHA-256 of the file's bytes, in hex.
        modified_at: when the file was last modified.
    """

    path: str
    properties: Mapping[str, Any]
    body: str
    content_hash: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class AttachmentSource:
    """
    Any other file of the vault; its bytes are in `notes.conf`'s attachments_dir.

    Whether a published note uses it is not known here, and decides whether it is
    served.
    """

    path: str
    content_hash: str
    size: int
    modified_at: datetime


class Sources(NamedTuple):
    """
    What rows are, as far as anything after them may know.

    Attributes:
        notes: those that are published, the sheets, and the settings of the site.
        attachments: all, the sheets too.
        held: when the notes are published that are not yet, by path.
    """

    notes: tuple[NoteSource, ...]
    attachments: tuple[AttachmentSource, ...]
    held: dict[str, datetime]


def load_note(row: Note) -> NoteSource | None:
    """Return *row* as a source; None when it has no page."""
    if row.path == SETTINGS:
        return None
    found = _load_note(row)
    return found if isinstance(found, NoteSource) else None


def _load_note(row: Note) -> NoteSource | datetime | None:
    """Return *row* as a source, or when it is published; None for never."""
    try:
        properties, body = split(row.source)
    except FrontmatterError as exc:
        # A sync leaves such a note out. A row that an older release accepted may
        # say `draft: true` in words that this one cannot read.
        logger.warning("event=note_left_out path=%r reason=%r", row.path, str(exc))
        return None
    start = published_from(properties)
    if start is None:
        return None
    if start > timezone.now():
        return start
    return NoteSource(row.path, properties, body, row.content_hash, row.modified_at)


def load_attachment(row: Attachment) -> AttachmentSource:
    """Return *row* as a source."""
    return AttachmentSource(row.path, row.content_hash, row.size, row.modified_at)


def load_sheet(row: Attachment) -> NoteSource:
    """Return the sheet of *row* with its text; it is empty when that cannot be read."""
    text = reason = ""
    if row.size > conf.max_note_size:
        reason = f"over {conf.max_note_size:,} bytes"
    else:
        try:
            data = blob_path(conf.attachments_dir, row.content_hash).read_bytes()
            text = data.decode("utf-8-sig").replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError) as exc:
            reason = str(exc)
    if reason:
        logger.warning("event=sheet_unreadable path=%r reason=%r", row.path, reason)
    return NoteSource(row.path, {}, text, row.content_hash, row.modified_at)


def load_sources(
    note_rows: Iterable[Note], attachment_rows: Iterable[Attachment]
) -> Sources:
    """
    Return what the rows are.

    They may be a part of the vault, as those that a change touched.
    """
    notes: list[NoteSource] = []
    attachments: list[AttachmentSource] = []
    held: dict[str, datetime] = {}
    for note_row in note_rows:
        found = _load_note(note_row)
        if isinstance(found, datetime):
            held[note_row.path] = found
        elif found is not None:
            notes.append(found)
    for row in attachment_rows:
        attachments.append(load_attachment(row))
        if is_sheet(row.path):
            notes.append(load_sheet(row))
    return Sources(tuple(notes), tuple(attachments), held)


def find_date_problems(rows: Iterable[Note]) -> Iterator[str]:
    """Yield a line for each note of *rows* with a `date` that cannot be read."""
    for row in rows:
        with contextlib.suppress(FrontmatterError):
            problem = date_problem(split(row.source)[0])
            if problem is not None and row.path != SETTINGS:
                yield f"{row.path}: {problem}"
