"""What notes raises. Attributes carry what an author or operator asks next."""

from __future__ import annotations


class NotesError(Exception):
    """Base of every error here; never raised itself."""


class FrontmatterError(NotesError):
    """
    A note's frontmatter that cannot be read.

    Attributes:
        reason: one line, without the place.
        line: the line of the file, from 1.
    """

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(f"line {line}: {reason}")
        self.reason = reason
        self.line = line


class UnreadableFileError(NotesError):
    """A file of the vault that is left out; the message is the reason, one line."""


class SearchNotReadyError(NotesError):
    """The index of the search is still being made; a moment later it is there."""


class SyncError(NotesError):
    """
    Base of what ends a sync before it has written anything; never raised itself.

    Attributes:
        returncode: the exit code of the command.
    """

    returncode = 1


class SettingError(Exception):
    """A setting of the site that is none of what it should be; says why."""


class VaultError(SyncError):
    """A vault that cannot be read at all, or a glob that cannot be understood."""

    returncode = 2


class DeleteGuardError(SyncError):
    """
    A sync that would remove so many notes that it looks like an accident.

    Attributes:
        removed: how many notes it would remove.
        total: how many there are before it.
    """

    returncode = 3

    def __init__(self, removed: int, total: int) -> None:
        super().__init__(
            f"The sync would remove {removed} of {total} notes, so nothing was "
            "written. Run sync_vault with --delete if that is what you want."
        )
        self.removed = removed
        self.total = total


class SyncConflictError(SyncError):
    """Another process wrote again and again while a sync was being prepared."""

    returncode = 3
