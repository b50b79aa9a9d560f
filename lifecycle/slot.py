"""
The writer slot: at most one process of a data directory writes.

Here the slot is a lock on its own file beside the database, taken before
READY and held to the end. The master keeps the descriptor, and the writer
child while it lives; workers close it right after the fork, so that a killed
master frees the slot whatever its workers still do.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from lifecycle import locks


class WriterSlot:
    """The writer slot of one data directory, as one process sees it."""

    def __init__(self, data_dir: Path, owner: str) -> None:
        """
        Make an object that can take the slot.

        Args:
            data_dir: the data directory.
            owner: who to name when somebody else finds the slot taken.
        """
        self.path = data_dir / "writer.lock"
        self._owner = owner
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process took the slot and has not given it back."""
        return self._descriptor is not None

    @property
    def descriptor(self) -> int | None:
        """The lock's descriptor while held."""
        return self._descriptor

    def is_intact(self) -> bool:
        """
        Return whether the lock is held on the file that its path names.

        A file that was unlinked and made again has a lock for somebody else.
        """
        return self._descriptor is not None and locks.same_file(
            self._descriptor, self.path
        )

    def try_acquire(self) -> bool:
        """Take the slot; return False when another process has it. Idempotent."""
        if self._descriptor is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = locks.acquire(self.path)
        if descriptor is None:
            return False
        self._descriptor = descriptor
        record = json.dumps({"owner": self._owner, "pid": os.getpid()})
        # Only people read it: a full disk must not cost the slot.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, record.encode(), 0)
        return True

    def release(self) -> None:
        """Give the slot back. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def recorded_owner(self) -> str:
        """Return the id of the instance that took the slot last; '' for a command."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kind, _, name = str(json.loads(self.path.read_text())["owner"]).partition(
                " "
            )
            return name if kind == "instance" else ""
        return ""

    def describe_holder(self) -> str:
        """Return who took the slot last, for a message to a person."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(self.path.read_text())
            return f"{record['owner']} (pid {record['pid']})"
        return "another process"
