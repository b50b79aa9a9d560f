"""
Locks that the kernel gives back when their holder dies.

Open-file-description locks (fcntl(2), "Open file description locks"): they
belong to the descriptor, not to the process, so opening and closing the file
elsewhere leaves them alone. A forked child that keeps the descriptor keeps
the lock; one that closes it changes nothing. Nobody here ever unlocks: a lock
ends when its last descriptor is closed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path

_FLOCK = "hhqqi0q"


def _request(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def try_lock(descriptor: int) -> bool:
    """Lock *descriptor*'s file for writing; return False when another has it."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK))
    except OSError as exc:
        if exc.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def is_locked(path: Path) -> bool:
    """
    Return whether somebody holds the lock on *path*; False when it is not there.

    Never takes the lock, not even for a moment.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK))
    finally:
        os.close(descriptor)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def same_file(descriptor: int, path: Path) -> bool:
    """Return whether *path* still names the file behind *descriptor*."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def close_copies(path: Path) -> None:
    """
    Close every descriptor of this process that is open on *path*.

    For a child, right after its fork: a thread of the parent may have been
    between locking and noting the descriptor, which the child then has unknown.
    """
    for entry in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):
            if same_file(int(entry.name), path):
                os.close(int(entry.name))


def acquire(path: Path) -> int | None:
    """
    Lock *path*, made when missing, and return its descriptor; None when held.

    A lock file that is unlinked and made again has two holders: so the file
    behind the descriptor is compared with the path after locking.
    """
    while True:
        if is_locked(path):
            # Not opened for writing: to close it then would wake whoever watches.
            return None
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            locked = try_lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        if locked and same_file(descriptor, path):
            return descriptor
        os.close(descriptor)
        if not locked:
            return None
