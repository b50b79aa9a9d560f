"""The plan of a sync: what of a vault differs from the database. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import Max

from notes.conf import Progress, conf
from notes.exceptions import DeleteGuardError, UnreadableFileError
from notes.models import Attachment, Change, Note
from notes.reading import Content, ReadCache, read_attachment, read_note
from notes.vault import SETTINGS, Scan, VaultFile, printable

GUARD_COUNT = 10
GUARD_SHARE = 0.2
"""A sync that removes more notes than both of these is refused."""

_REPORT_INTERVAL = 0.1
"""In seconds; progress goes over a socket, so not for each file."""


@dataclass(slots=True)
class Difference:
    """
    How one kind of file in the vault differs from its rows, by path.

    Attributes:
        stale: the hashes of the rows that are changed or removed.
    """

    added: dict[str, Content] = field(default_factory=dict)
    changed: dict[str, Content] = field(default_factory=dict)
    unchanged: dict[str, Content] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @classmethod
    def between(
        cls, contents: Iterable[Content], rows: Mapping[str, str]
    ) -> Difference:
        """Compare what was read with *rows*, a hash for each path."""
        found = cls()
        for content in contents:
            path = content.file.path
            if path not in rows:
                found.added[path] = content
            elif rows[path] != content.content_hash:
                found.changed[path] = content
            else:
                # The source of thousands of unchanged notes is of no more use.
                found.unchanged[path] = replace(content, source="")
        present = found.changed.keys() | found.unchanged.keys()
        found.removed = tuple(path for path in rows if path not in present)
        found.stale = tuple(rows[path] for path in (*found.changed, *found.removed))
        return found

    @property
    def present(self) -> Iterator[Content]:
        """What is in the vault."""
        for contents in (self.added, self.changed, self.unchanged):
            yield from contents.values()

    @property
    def written(self) -> list[Content]:
        """What needs a row written."""
        return [*self.added.values(), *self.changed.values()]

    @property
    def touched(self) -> Iterator[tuple[str, str]]:
        """Pairs of ('added', 'changed' or 'removed', path)."""
        for verb in ("added", "changed", "removed"):
            for path in getattr(self, verb):
                yield verb, path


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What a sync would write.

    Attributes:
        sequence: the sequence of the database that it was made from.
        total: how many notes the database has.
    """

    sequence: int
    total: int
    notes: Difference
    attachments: Difference
    excluded: int
    skipped: tuple[tuple[str, str], ...]

    @property
    def published(self) -> int:
        """How many notes of the vault are published."""
        return sum(content.is_published for content in self._pages())

    @property
    def drafts(self) -> int:
        """How many notes of the vault the publishing rule keeps back."""
        return sum(not content.is_published for content in self._pages())

    def _pages(self) -> Iterator[Content]:
        """Yield the notes that are pages, or would be."""
        return (note for note in self.notes.present if note.file.path != SETTINGS)

    @property
    def touched(self) -> tuple[tuple[str, str], ...]:
        """Pairs of ('added', 'changed' or 'removed', path)."""
        return (*self.notes.touched, *self.attachments.touched)

    @property
    def refusal(self) -> DeleteGuardError | None:
        """
        What to raise when so much would be removed that it looks like an accident.

        An unmounted folder and a mistyped path look like a vault that was emptied.
        """
        removed = len(self.notes.removed)
        if removed > GUARD_COUNT and removed > GUARD_SHARE * self.total:
            return DeleteGuardError(removed, self.total)
        return None


def latest_sequence() -> int:
    """Return the sequence of the last change; 0 before the first."""
    latest: int | None = Change.objects.aggregate(latest=Max("sequence"))["latest"]
    return latest or 0


def make_plan(found: Scan, *, cache: ReadCache | None, progress: Progress) -> Plan:
    """Read what *found* names, and compare it with the database."""
    # The sequence comes first: rows that are newer than it fail the check that
    # a transaction begins with.
    sequence = latest_sequence()
    note_rows = dict(Note.objects.values_list("path", "content_hash"))
    attachment_rows = dict(Attachment.objects.values_list("path", "content_hash"))
    skipped = list(found.skipped)
    meter = Meter(progress, "reading", len(found.notes) + len(found.attachments))

    def read_changed_note(file: VaultFile) -> Content:
        known = cache.find(file) if cache else None
        if known and known.content_hash == note_rows.get(file.path):
            return known
        return read_note(file, max_size=conf.max_note_size, cache=cache)

    def read_changed_attachment(file: VaultFile) -> Content:
        known = cache.find(file) if cache else None
        limit = conf.max_attachment_size
        return known or read_attachment(file, max_size=limit, cache=cache)

    notes = _read(found.notes, read_changed_note, skipped, meter)
    attachments = _read(found.attachments, read_changed_attachment, skipped, meter)
    if cache:
        cache.forget_others((*found.notes, *found.attachments))
    return Plan(
        sequence=sequence,
        total=len(note_rows),
        notes=Difference.between(notes, note_rows),
        attachments=Difference.between(attachments, attachment_rows),
        excluded=found.excluded,
        skipped=tuple(sorted(skipped)),
    )


def _read(
    files: Iterable[VaultFile],
    read: Callable[[VaultFile], Content],
    skipped: list[tuple[str, str]],
    meter: Meter,
) -> Iterator[Content]:
    """Yield what can be read; note the rest in *skipped*."""
    for file in files:
        try:
            yield read(file)
        except FileNotFoundError:
            pass  # it went since the walk: it is no part of the vault any more
        except UnreadableFileError as exc:
            skipped.append((printable(file.path), str(exc)))
        except OSError as exc:
            skipped.append((printable(file.path), f"cannot be read ({exc.strerror})"))
        meter.step()


class Meter:
    """Counts steps, and says so now and then, and at the last one."""

    def __init__(self, progress: Progress, phase: str, total: int) -> None:
        self._progress = progress
        self._phase = phase
        self._total = total
        self._done = 0
        self._said_at = 0.0

    def step(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if self._done >= self._total or now - self._said_at >= _REPORT_INTERVAL:
            self._said_at = now
            state: dict[str, Any] = {"phase": self._phase}
            self._progress(state | {"done": self._done, "total": self._total})
