"""The settings of notes, typed; each is read at access."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

Progress = Callable[[dict[str, Any]], None]


class RunAsWriter(Protocol):
    """Runs a job by name where the writer is, and returns what it returned."""

    def __call__(
        self, name: str, params: dict[str, Any], progress: Progress
    ) -> dict[str, Any]: ...


class Conf:
    """The NOTES_* settings and their defaults."""

    @property
    def public_url(self) -> str:
        """The site's address for absolute links, without a slash at the end."""
        return cast("str", getattr(settings, "NOTES_PUBLIC_URL", "")).rstrip("/")

    @property
    def vault_dir(self) -> Path | None:
        """The vault that the writer syncs and watches; None when there is none."""
        value = getattr(settings, "NOTES_VAULT_DIR", None)
        return Path(value) if value else None

    @property
    def manual_dir(self) -> Path | None:
        """A vault that gives way to any other without `--delete`; None for none."""
        value = getattr(settings, "NOTES_MANUAL_DIR", None)
        return Path(value) if value else None

    @property
    def attachments_dir(self) -> Path:
        """Where the bytes of attachments are, under their hash."""
        return Path(settings.NOTES_ATTACHMENTS_DIR)

    @property
    def cache_dir(self) -> Path:
        """Where boots leave what they made, for the next; may be deleted any time."""
        return Path(settings.NOTES_CACHE_DIR)

    @property
    def own_dirs(self) -> tuple[Path, ...]:
        """
        Where the site keeps its own files, which are never part of a vault.

        Beyond what is private there: opening the database's file and closing it
        again drops the locks that SQLite has on it in this process.
        """
        name = str(settings.DATABASES["default"]["NAME"])
        is_in_memory = name.startswith(("file:", ":memory:"))
        database = () if is_in_memory else (Path(name).parent,)
        return (self.attachments_dir, *database)

    @property
    def exclude(self) -> tuple[str, ...]:
        """Patterns, as in a .gitignore, of files that are left out of the site."""
        return tuple(getattr(settings, "NOTES_EXCLUDE", ("Templates/",)))

    @property
    def max_note_size(self) -> int:
        """In bytes; a larger note is skipped."""
        return int(getattr(settings, "NOTES_MAX_NOTE_SIZE", 5 * 1024**2))

    @property
    def max_attachment_size(self) -> int:
        """In bytes; a larger attachment is skipped."""
        return int(getattr(settings, "NOTES_MAX_ATTACHMENT_SIZE", 200 * 1024**2))

    @property
    def run_as_writer(self) -> RunAsWriter:
        """What runs a job where the writer is: a dotted path, or the callable."""
        value: str | RunAsWriter = settings.NOTES_RUN_AS_WRITER
        return import_string(value) if isinstance(value, str) else value

    @property
    def epoch(self) -> Callable[[], int]:
        """What tells the epoch of the open write transaction; 0 without such."""
        return _number_from("NOTES_EPOCH")

    @property
    def expected_sequence(self) -> Callable[[], int]:
        """
        What tells the last sequence that this instance has acknowledged to a client.

        A process that has read less catches up before it answers a reader.
        """
        return _number_from("NOTES_EXPECTED_SEQUENCE")

    @property
    def patient_readers(self) -> int:
        """How many readers of a process may wait for what it has not caught up with."""
        return int(getattr(settings, "NOTES_PATIENT_READERS", 8))


def _number_from(name: str) -> Callable[[], int]:
    """Return the callable that a setting names by its dotted path."""
    value: str | Callable[[], int] | None = getattr(settings, name, None)
    if value is None:
        return int  # which returns 0
    return import_string(value) if isinstance(value, str) else value


conf = Conf()
