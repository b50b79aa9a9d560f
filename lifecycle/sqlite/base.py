"""
Django's SQLite backend with a gate in front of every write.

Outside the gate a connection is query-only and its transactions are plain
BEGIN, so that readers never wait and a stray write fails at once. A write
transaction is BEGIN IMMEDIATE followed by a look at the epoch: it commits under
the epoch that it began under, or not at all.

Only the file that lifecycle guards has a gate; test databases and rehearsal
copies are Django's as ever.
"""

from __future__ import annotations

import collections
import sqlite3
import time
from collections.abc import Iterable
from typing import Any

from django.db.backends.sqlite3 import base, features
from django.db.transaction import atomic

from lifecycle import gate, litestream
from lifecycle.unfit import unfit_text

# Between two tries to begin a write transaction, in seconds.
_RETRY_INTERVAL = 0.001
# What Django's `timeout` is when a database has none, in seconds.
_BUSY_TIMEOUT = 5.0


class GateCursor(base.SQLiteCursorWrapper):
    """A cursor that tells a stray write what to do instead."""

    wrapper: DatabaseWrapper
    _kept: collections.deque[Any] | None = None
    """The rows of a write that has been committed already."""

    def execute(self, query: str, params: Any = None) -> Any:
        """Run *query*; a write outside the gate is refused, or let in by itself."""
        self._kept = None
        try:
            return super().execute(query, params)
        except sqlite3.OperationalError as exc:
            if not self.wrapper.is_stray_write(exc):
                raise
            if not self.wrapper.may_open_itself():
                raise gate.WriteOutsideGateError from exc
        # One statement in autocommit mode, by code that writes by right: a
        # transaction of its own gives it the look at the epoch.
        with atomic(using=self.wrapper.alias):
            super().execute(query, params)
            # What RETURNING gives is read first: a statement that has rows left
            # cannot be committed.
            self._kept = collections.deque(super().fetchall())
        return self

    def fetchone(self) -> Any:
        """Return the next row."""
        if self._kept is None:
            return super().fetchone()
        return self._kept.popleft() if self._kept else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next *size* rows."""
        size = self.arraysize if size is None else size
        if self._kept is None:
            return super().fetchmany(size)
        return [self._kept.popleft() for _ in range(min(size, len(self._kept)))]

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        if self._kept is None:
            return super().fetchall()
        return self.fetchmany(len(self._kept))

    def __next__(self) -> Any:
        if self._kept is None:
            return super().__next__()
        if not self._kept:
            raise StopIteration
        return self._kept.popleft()

    def executemany(self, query: str, param_list: Iterable[Any]) -> Any:
        """Run *query* for each; see `execute`."""
        self._kept = None
        parameters = list(param_list)
        try:
            return super().executemany(query, parameters)
        except sqlite3.OperationalError as exc:
            if not self.wrapper.is_stray_write(exc):
                raise
            if not self.wrapper.may_open_itself():
                raise gate.WriteOutsideGateError from exc
        with atomic(using=self.wrapper.alias):
            return super().executemany(query, parameters)


class DatabaseFeatures(features.DatabaseFeatures):
    """Django's, less a question that it asks in a transaction of its own."""

    supports_json_field = True
    """Since SQLite 3.38 always; asking would make a guest of every command."""


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose writes go through the gate."""

    features_class = DatabaseFeatures

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate_is_opening = False
        """Set by `gate.write` around the start of its transaction."""
        self.patience: float | None = None
        """Set with it: how long to wait for others, in seconds."""
        self.in_maintenance = False
        """Set by `gate.maintenance`."""
        self._is_writable = False
        self._shut_depth = 0

    # -- what the gate asks ---------------------------------------------------

    @property
    def is_guarded(self) -> bool:
        """Whether this connection is to the file that lifecycle guards."""
        return gate.guards(self.settings_dict["NAME"])

    def is_stray_write(self, exc: sqlite3.OperationalError) -> bool:
        """Return whether *exc* is query_only's refusal of a write."""
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        return code == sqlite3.SQLITE_READONLY and not self._is_writable

    def may_open_itself(self) -> bool:
        """Return whether a write outside the gate opens it."""
        return (
            self.is_guarded
            and not self._shut_depth
            and not self.in_atomic_block
            and gate.authority().is_automatic
        )

    def set_writable(self, writable: bool) -> None:
        """Turn query_only off or on, on the live connection."""
        assert self.connection is not None  # noqa: S101 - for the type checker
        self.connection.execute(f"PRAGMA query_only = {'OFF' if writable else 'ON'}")
        self._is_writable = writable

    def begin_immediate(self) -> None:
        """
        Begin a write transaction on the live connection, when it can be had in time.

        SQLite's own wait sleeps longer each time, up to 0.1 s, and then competes with
        who has just come. In a handoff everybody waits for one who waits here.

        Raises:
            sqlite3.OperationalError: the database was locked for the whole time-out.
        """
        raw: Any = self.connection
        timeout: float = self.settings_dict["OPTIONS"].get("timeout", _BUSY_TIMEOUT)
        patience = timeout if self.patience is None else self.patience
        deadline = time.monotonic() + patience
        raw.execute("PRAGMA busy_timeout = 0")
        try:
            while not raw.in_transaction:
                try:
                    raw.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as exc:
                    is_busy = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                    if not is_busy or time.monotonic() >= deadline:
                        raise
                    time.sleep(_RETRY_INTERVAL)
        finally:
            raw.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}")

    def shut(self) -> None:
        """Refuse writes until `unshut`, also in a test's own database."""
        self._shut_depth += 1
        if self._shut_depth == 1 and self.connection is not None:
            self.set_writable(False)

    def unshut(self) -> None:
        """Undo one `shut`."""
        self._shut_depth -= 1
        if self._shut_depth == 0 and self.connection is not None:
            self.set_writable(not self.is_guarded or self.in_maintenance)

    # -- what Django calls ----------------------------------------------------

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a connection, query-only when it is guarded."""
        try:
            connection = super().get_new_connection(conn_params)
        except sqlite3.Error as exc:
            if self.is_guarded:
                # SQLite names neither the file nor what to do.
                exc.args = (unfit_text(exc),)
            raise
        self._is_writable = self.in_maintenance or not (
            self.is_guarded or self._shut_depth
        )
        if not self._is_writable:
            connection.execute("PRAGMA query_only = ON")
        if self.is_guarded and litestream.has_checkpoints():
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def close_if_unusable_or_obsolete(self) -> None:
        """Stay open through Django's request signals when the gate is open around them."""
        if not self.in_atomic_block:
            super().close_if_unusable_or_obsolete()

    def create_cursor(self, name: str | None = None) -> Any:
        """Return a cursor that knows its connection."""
        cursor = self.connection.cursor(factory=GateCursor)
        cursor.wrapper = self
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        if self._shut_depth or (self.is_guarded and not self._opens()):
            self.cursor().execute("BEGIN")
            return
        if not self.is_guarded:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
            return
        if not self.in_maintenance:
            gate.authority().prepare(self)
            self.set_writable(True)
        try:
            with self.wrap_database_errors:
                self.begin_immediate()
            # In maintenance the tables of epochs may not be there (yet, or any more).
            if not self.in_maintenance or gate.has_moved_on(self):
                gate.authority().check(self)
        except BaseException:
            self.connection.rollback()
            if not self.in_maintenance:
                self.set_writable(False)
            raise

    def _opens(self) -> bool:
        """Return whether a transaction that starts now is to write."""
        if self.in_maintenance or self.gate_is_opening:
            return True
        return gate.authority().is_automatic

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self._close_gate()

    def _rollback(self) -> None:
        super()._rollback()  # type: ignore[misc]
        self._close_gate()

    def _close_gate(self) -> None:
        if (
            self._is_writable
            and self.connection is not None
            and self.is_guarded
            and not self.in_maintenance
        ):
            self.set_writable(False)
