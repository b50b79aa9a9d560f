"""What can go wrong with backups; each message is one line for an operator."""

from __future__ import annotations

from lifecycle.exceptions import LifecycleError


class BackupError(LifecycleError):
    """
    The base of them all, and what failed here and now.

    Attributes:
        returncode: the exit code of a command that meets it.
    """

    returncode = 1


class StoreError(BackupError):
    """The store does not answer, or refuses."""


class DamagedError(BackupError):
    """A backup that is not what its manifest says; another one may be."""


class UnreadableError(DamagedError):
    """A part of a backup that a store does not give, which answers otherwise."""


class UnfinishedError(DamagedError):
    """What a backup that was cut short has left: it never was one."""


class NotNowError(BackupError):
    """Something else has to end first: another backup, or an instance."""

    returncode = 3
