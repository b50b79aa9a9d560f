"""
Authoring: one note at a time is put into the database, or taken out of it.

The rules are those of a sync, so that what is written here could have come from a
vault. All of it runs in a write transaction that the caller has opened.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.utils import timezone

from notes.conf import conf
from notes.exceptions import UnreadableFileError
from notes.models import Note
from notes.plan import latest_sequence
from notes.reading import read_text
from notes.renames import record_moves, record_removal
from notes.vault import compile_exclude
from notes.writing import record_changes


@dataclass(frozen=True, slots=True)
class Written:
    """
    What became of a note.

    Attributes:
        note: the row as it is now.
        is_new: whether there was none before.
        sequence: of the database after it; the last one when nothing changed.
    """

    note: Note
    is_new: bool
    sequence: int


def put_note(path: str, data: bytes) -> Written:
    """
    Make the note at *path*, as `notes.vault.note_path` returns it, what *data* says.

    Raises:
        UnreadableFileError: a sync would leave such a note out.
    """
    if compile_exclude(conf.exclude).match_file(path):
        raise UnreadableFileError("the site is set to leave notes of this path out")
    source, _ = read_text(data, conf.max_note_size)
    content_hash = hashlib.sha256(data).hexdigest()
    last = latest_sequence()
    note = Note.objects.filter(path=path).first()
    is_new = note is None
    if note is None:
        note = Note(path=path)
    elif note.content_hash == content_hash:
        return Written(note, is_new, last)
    if not is_new:
        changed = Note(path=path, source=source, modified_at=note.modified_at)
        record_moves({path: changed}, last + 1)
    note.source = source
    note.content_hash = content_hash
    note.modified_at = timezone.now()
    note.save()
    record_changes(last + 1, [path])
    return Written(note, is_new, last + 1)


def remove_note(note: Note) -> int:
    """Take *note* out; return the sequence of the database after it."""
    sequence = latest_sequence() + 1
    record_removal(note, sequence)
    note.delete()
    record_changes(sequence, [note.path])
    return sequence
