"""
The write gate: who may write, and under which epoch.

Every process that opens the guarded database has an *authority*. A worker's
lets only gated requests write, under its instance's epoch; the writer process
writes under its own; a command is a guest under the epoch that it found, or
takes the slot for its run when nobody holds it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections, transaction
from django.db.utils import DatabaseError, OperationalError

from lifecycle.conf import conf
from lifecycle.exceptions import LifecycleError

if TYPE_CHECKING:
    from lifecycle.page import SharedPage
    from lifecycle.sqlite.base import DatabaseWrapper


class WriterSlotLostError(LifecycleError):
    """
    A write transaction that began under an epoch which is not the last any more.

    Attributes:
        returncode: the exit code of a command that meets it.
    """

    returncode = 3

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"The writer slot has moved on: this process writes under epoch {expected}, "
            f"the database is at {found}. Nothing was written."
        )
        self.expected = expected
        self.found = found


class WriteOutsideGateError(LifecycleError, DatabaseError):
    """A write where only reading is allowed; the message names the fix."""

    def __init__(self) -> None:
        super().__init__(
            "A write outside the write gate. Send it as POST, PUT, PATCH or DELETE, or "
            "put it into `with lifecycle.gate.write():`."
        )


class Authority(Protocol):
    """What lets a process write."""

    is_automatic: bool
    """Whether every transaction of this process may write."""

    def prepare(self, connection: DatabaseWrapper) -> None:
        """Get ready for a write transaction that *connection* is about to begin."""

    def check(self, connection: DatabaseWrapper) -> None:
        """
        Raise WriterSlotLostError unless this process may write in the transaction
        that *connection* has just begun (IMMEDIATE).
        """

    def epoch(self) -> int:
        """Return the epoch that this process writes under; 0 when it may not."""


def read_epoch(connection: DatabaseWrapper) -> tuple[int, str]:
    """Return the newest epoch and its holder; (0, '') in a database without one."""
    try:
        row = connection.connection.execute(
            "SELECT epoch, holder FROM lifecycle_epoch ORDER BY epoch DESC LIMIT 1"
        ).fetchone()
    except sqlite3.OperationalError as exc:
        if not _lacks_table(exc):
            raise
        return 0, ""  # nobody has held it
    return (row[0], row[1]) if row else (0, "")


def has_moved_on(connection: DatabaseWrapper) -> bool:
    """Return whether an epoch has begun after the one that this process writes under."""
    return read_epoch(connection)[0] > authority().epoch()


def begin_epoch(
    connection: DatabaseWrapper,
    check: Callable[[], None],
    holder: str,
    version: str = "",
) -> int:
    """
    Begin the next epoch in a transaction of its own and return it.

    For whoever has the slot's lock; *check* raises when that gives no right to it,
    and then nothing is done. It is called inside the transaction: so whoever locked a
    newer file, or is next by right, begins a later epoch. In a database whose tables
    are not there yet the epoch is 0: nobody else can write there either.
    """
    raw = connection.connection
    connection.set_writable(True)
    try:
        with connection.wrap_database_errors:
            connection.begin_immediate()
            try:
                check()
                last, _ = read_epoch(connection)
                raw.execute(
                    "INSERT INTO lifecycle_epoch (epoch, holder, taken_by, version, "
                    "since, released_at, next, until) "
                    "VALUES (?, ?, ?, ?, ?, NULL, '', 0)",
                    (last + 1, holder, holder, version, time.time()),
                )
                raw.commit()
            except BaseException as exc:
                raw.rollback()
                if _lacks_table(exc):
                    return 0
                raise
        return last + 1
    finally:
        connection.set_writable(False)


def is_busy(exc: BaseException) -> bool:
    """Return whether *exc* says that somebody else kept the database locked."""
    code = getattr(exc.__cause__ or exc, "sqlite_errorcode", 0) & 0xFF
    return bool(code == sqlite3.SQLITE_BUSY)


def _lacks_table(exc: BaseException) -> bool:
    return isinstance(exc, sqlite3.OperationalError) and "no such table" in str(exc)


class WorkerAuthority:
    """A worker's: the epoch is its instance's, read from the shared page."""

    is_automatic = False

    def __init__(self, page: SharedPage) -> None:
        self._page = page

    def epoch(self) -> int:
        """Return the instance's epoch; 0 while it is giving the slot away."""
        return 0 if self._page.is_closing else self._page.epoch

    def prepare(self, connection: DatabaseWrapper) -> None:
        """Do nothing: the instance took the slot."""

    def check(self, connection: DatabaseWrapper) -> None:
        """See `Authority.check`."""
        _compare(self._page.epoch, connection)


class WriterAuthority:
    """The writer process's: the epoch that it took."""

    is_automatic = True

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def epoch(self) -> int:
        """Return the epoch of the tenure."""
        return self._epoch

    def prepare(self, connection: DatabaseWrapper) -> None:
        """Do nothing: the slot is taken."""

    def check(self, connection: DatabaseWrapper) -> None:
        """See `Authority.check`."""
        _compare(self._epoch, connection)


def _compare(expected: int, connection: DatabaseWrapper) -> None:
    found, holder = read_epoch(connection)
    if not expected or found != expected or not holder:
        raise WriterSlotLostError(expected, found)


class NoAuthority:
    """That of a process that only reads: a master, or a writer between two tenures."""

    is_automatic = False

    def epoch(self) -> int:
        """Return 0."""
        return 0

    def prepare(self, connection: DatabaseWrapper) -> None:
        """Do nothing."""

    def check(self, connection: DatabaseWrapper) -> None:
        """Refuse."""
        raise WriterSlotLostError(0, read_epoch(connection)[0])


_authority: Authority | None = None


def authority() -> Authority:
    """Return this process's authority; that of a guest until another is set."""
    global _authority
    if _authority is None:
        from lifecycle.guests import GuestAuthority

        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
        _authority = GuestAuthority(conf.data_dir, command)
    return _authority


def set_authority(new: Authority | None) -> None:
    """Set this process's authority. For a worker or the writer, after the fork."""
    global _authority
    _authority = new


def current_epoch() -> int:
    """Return the epoch that this process writes under; 0 when it may not."""
    return authority().epoch()


def transaction_epoch() -> int:
    """
    Return the epoch of the open write transaction.

    It has been checked; a worker's own word is 0 as soon as its instance begins to
    release the slot, while writes that were admitted run to their end.
    """
    connection: Any = connections["default"]
    connection.ensure_connection()
    return read_epoch(connection)[0]


def guards(name: object) -> bool:
    """Return whether *name*, of a database, is the file that lifecycle guards."""
    return str(name) == str(conf.database_path)


@contextlib.contextmanager
def write(using: str = "default", *, patience: float | None = None) -> Iterator[None]:
    """
    Open the gate for one transaction; what is inside commits as one, or not at all.

    Inside a transaction that is open already it is a savepoint.

    Args:
        using: which database.
        patience: how long to wait for those who write now, in seconds; by default
            the `timeout` of the database.

    Raises:
        WriterSlotLostError: this process may not write (any more); nothing was done.
        OperationalError: others wrote all the time; nothing was done.
    """
    connection: Any = connections[using]
    if connection.in_atomic_block:
        with transaction.atomic(using=using):
            yield
        return
    block = transaction.atomic(using=using)
    connection.gate_is_opening, connection.patience = True, patience
    try:
        block.__enter__()
    finally:
        connection.gate_is_opening, connection.patience = False, None
    try:
        yield
    except BaseException as exc:
        block.__exit__(type(exc), exc, exc.__traceback__)
        raise
    else:
        block.__exit__(None, None, None)


@contextlib.contextmanager
def maintenance(using: str = "default") -> Iterator[None]:
    """
    Open the gate for what cannot run in one transaction: migrate, VACUUM.

    For whoever holds the writer slot. A transaction inside raises WriterSlotLostError
    once a later epoch has begun; a statement outside of one does not look.
    """
    connection: Any = connections[using]
    connection.ensure_connection()
    was = connection.in_maintenance
    connection.in_maintenance = True
    connection.set_writable(True)
    try:
        yield
    finally:
        connection.in_maintenance = was
        if connection.connection is not None:
            connection.set_writable(was or not connection.is_guarded)


@contextlib.contextmanager
def shut(using: str = "default") -> Iterator[None]:
    """Refuse writes inside, in any database. For a request that must only read."""
    connection: Any = connections[using]
    was_broken = connection.needs_rollback
    connection.shut()
    try:
        yield
    finally:
        connection.unshut()
        if connection.in_atomic_block:
            # A test's own transaction: nothing was written that had to be undone.
            connection.needs_rollback = was_broken


__all__ = [
    "Authority",
    "OperationalError",
    "WorkerAuthority",
    "WriteOutsideGateError",
    "WriterAuthority",
    "WriterSlotLostError",
    "authority",
    "current_epoch",
    "guards",
    "maintenance",
    "read_epoch",
    "set_authority",
    "shut",
    "transaction_epoch",
    "write",
]
