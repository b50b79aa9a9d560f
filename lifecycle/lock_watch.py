"""
Waiting till a lock may be free, or another thread has something to say.

inotify(7) tells when a descriptor that could write to the lock's file was closed:
so its end is seen at once, also when the holder was killed. Where no watch can be
had (the user's are used up), a wait ends early and the caller looks for itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import time
from pathlib import Path

_IN_CLOSE_WRITE = 0x8
_IN_ATTRIB = 0x4
"""Of a file that was unlinked while it is open."""
# The event comes a moment before the lock is gone, see __fput in the kernel's
# fs/file_table.c: so for this long, in seconds, a wait lasts no longer than that.
_AFTERGLOW = 0.02
_AFTERGLOW_WAIT = 0.001
# The longest wait without a watch, in seconds.
_BLIND_WAIT = 0.01


class LockWatch:
    """
    What one thread waits on; any thread may wake it.

    Whoever tries the lock by opening its file for writing wakes all that watch, so
    look first: `locks.acquire` does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Each word ends one wait: who takes one item at a time misses none.
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK | os.EFD_SEMAPHORE)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify: int = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self._touched_at = float("-inf")

    def wake(self) -> None:
        """End the wait that is on, or one that begins. From any thread."""
        os.eventfd_write(self._bell, 1)

    def wait(self, seconds: float) -> None:
        """Wait for a word, for the lock's file to be let go, at most so many *seconds*."""
        if not self._is_watching():
            seconds = min(seconds, _BLIND_WAIT)
        if time.monotonic() - self._touched_at < _AFTERGLOW:
            seconds = min(seconds, _AFTERGLOW_WAIT)
        poller = select.poll()
        for descriptor in (self._bell, self._inotify):
            if descriptor >= 0:
                poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(seconds * 1000):
            if descriptor == self._inotify:
                self._touched_at = time.monotonic()
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, 4096)

    def _is_watching(self) -> bool:
        """Watch the file that the path names now; return whether that can be had."""
        # For a file that is watched already this changes nothing.
        added = self._libc.inotify_add_watch(
            self._inotify, os.fsencode(self._path), _IN_CLOSE_WRITE | _IN_ATTRIB
        )
        return bool(added >= 0)

    def close_in_child(self) -> None:
        """Close the descriptors. For a child, right after its fork."""
        for descriptor in (self._bell, self._inotify):
            if descriptor >= 0:
                os.close(descriptor)
