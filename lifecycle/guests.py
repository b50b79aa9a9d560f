"""
Commands that write: guests of the holder, or the holder for their run.

In each transaction of a guest the epoch is the one that it began under. Where
nobody holds the slot a command takes it, and gives it back when it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.management.base import CommandError
from django.db import connections
from django.db.utils import DatabaseError

from lifecycle import epochs, gate
from lifecycle.conf import conf
from lifecycle.exceptions import LifecycleError
from lifecycle.peers import RunDir
from lifecycle.slot import WriterSlot

if TYPE_CHECKING:
    from lifecycle.sqlite.base import DatabaseWrapper

# Between two looks for a holder, in seconds.
_POLL = 0.02


class GuestSlotLostError(gate.WriterSlotLostError, CommandError):
    """
    A command's write under an epoch that is over; it ends with status 3.

    Attributes:
        holder: who has the slot now; '' for nobody.
    """

    def __init__(self, expected: int, found: int, holder: str) -> None:
        super().__init__(expected, found)
        self.args = (f"{self} The slot is held by {holder or 'nobody'}; run it again.",)
        self.returncode = 3
        self.holder = holder


class SlotTakenError(LifecycleError, CommandError):
    """A command that finds nobody to write under; the message names who is there."""

    def __init__(self, holder: str, seconds: float) -> None:
        super().__init__(
            f"The writer slot is held by {holder}, beside which nothing can be written "
            f"now (waited {seconds:g} s). Nothing was written. Try again when it is done.",
            returncode=3,
        )


class GuestAuthority:
    """
    A command's: the epoch it began under, or a tenure of its own.

    Nothing is taken before the first write. With no holder the slot is taken
    then, and given back when the process ends.
    """

    is_automatic = True

    def __init__(self, data_dir: Path, name: str) -> None:
        self._name = f"{name} (pid {os.getpid()})"
        self._pid = os.getpid()
        self._data_dir = data_dir
        self._slot = WriterSlot(data_dir, name)
        self._epoch: int | None = None
        self._lock = threading.RLock()

    def epoch(self) -> int:
        """Return the epoch that this command writes under; 0 before its first write."""
        return self._epoch or 0

    def prepare(self, connection: DatabaseWrapper) -> None:
        """
        Before the first write: note the epoch, or begin one when nobody holds it.

        Raises:
            SlotTakenError: the lock is taken, but not under an epoch: by another
                command that migrates, say. Waits for it up to *LIFECYCLE_JOB_TIMEOUT*.
        """
        with self._lock:
            deadline = time.monotonic() + conf.job_timeout
            while self._epoch is None and not self.take():
                epoch, holder = gate.read_epoch(connection)
                if holder:
                    self._epoch = epoch
                elif time.monotonic() >= deadline:
                    raise SlotTakenError(self.describe_holder(), conf.job_timeout)
                else:
                    time.sleep(_POLL)

    def take(self) -> bool:
        """Take the slot and begin an epoch; return False when somebody has it."""
        with self._lock:
            if self._slot.is_held:
                return True
            if not self._slot.try_acquire():
                return False
            try:
                self._epoch = epochs.begin(
                    self._name, "", RunDir(self._data_dir), self._slot.is_intact
                )
            except epochs.NotOursError:
                self._slot.release()
                return False
            except BaseException:
                self._slot.release()
                raise
            atexit.register(self.release)
            return True

    def describe_holder(self) -> str:
        """Return who took the slot last, for a message to a person."""
        return self._slot.describe_holder()

    def check(self, connection: DatabaseWrapper) -> None:
        """See `Authority.check`."""
        found, holder = gate.read_epoch(connection)
        if found != self._epoch:
            raise GuestSlotLostError(self._epoch or 0, found, holder)

    def release(self) -> None:
        """End the tenure, if there is one. Idempotent."""
        if not self._slot.is_held or os.getpid() != self._pid:
            return  # a forked child has no say in its parent's tenure
        with (
            contextlib.suppress(DatabaseError, LifecycleError, sqlite3.Error),
            gate.write(),
        ):
            connections["default"].connection.execute(
                "UPDATE lifecycle_epoch SET holder = '', released_at = ? WHERE epoch = ?",
                (time.time(), self._epoch),
            )
        connections.close_all()
        self._slot.release()
        self._epoch = None
