"""
Sources: what the rows of a vault are to everything after them.

Drafts end here, so that nothing that renders, links, lists or serves sees one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from notes.blobs import blob_path
from notes.conf import conf
from notes.exceptions import FrontmatterError
from notes.frontmatter import split
from notes.links import is_sheet
from notes.publishing import is_published

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


def load_note(row: Note) -> NoteSource | None:
    """Return *row* as a source; None when it is not published."""
    try:
        properties, body = split(row.source)
    except FrontmatterError as exc:
        # A sync leaves such a note out. A row that an older release accepted may
        # say `draft: true` in words that this one cannot read.
        logger.warning("event=note_left_out path=%r reason=%r", row.path, str(exc))
        return None
    if not is_published(properties):
        return None
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
) -> tuple[tuple[NoteSource, ...], tuple[AttachmentSource, ...]]:
    """
    Return the published notes and the sheets, and all attachments.

    Each sheet is an attachment too. The rows may be a part of the vault, as those
    that a change touched.
    """
    notes = [note for row in note_rows if (note := load_note(row)) is not None]
    attachments = []
    for row in attachment_rows:
        attachments.append(load_attachment(row))
        if is_sheet(row.path):
            notes.append(load_sheet(row))
    return tuple(notes), tuple(attachments)
