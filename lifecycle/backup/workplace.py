"""The folder that a backup or a restore works in, and the lock on it: one at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lifecycle import locks
from lifecycle.backup.conf import backup_conf
from lifecycle.backup.errors import BackupError, NotNowError
from lifecycle.conf import conf

_POLL = 0.1  # seconds
# What stays free for the database itself while a backup is made, in bytes.
_MARGIN = 16 << 20


@contextlib.contextmanager
def opened(wait: float = 0.0) -> Iterator[Path]:
    """
    Give an empty folder on the database's disk, to one process at a time.

    What a killed one left in it is removed. Libraries put their temporary files
    there, too.

    Args:
        wait: for another one to end, in seconds.

    Raises:
        NotNowError: another one is at work.
        BackupError: the folder cannot be made.
    """
    folder = backup_conf.work_dir
    try:
        conf.data_dir.mkdir(parents=True, exist_ok=True)
        lock = _lock(conf.data_dir / "backup.lock", wait)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            with _temporary_files_in(folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    except OSError as exc:
        raise BackupError(
            f"{exc.filename or folder} cannot be written: {exc.strerror or exc}. Make "
            "room on the disk, or see to its permissions. Nothing was replaced."
        ) from exc


def clear() -> bool:
    """Remove what a killed one left; return False when there is one at work instead."""
    folder = backup_conf.work_dir
    if folder.exists():
        with contextlib.suppress(OSError):  # it is tried again by the next backup
            lock = locks.acquire(conf.data_dir / "backup.lock")
            if lock is None:
                return False
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    return True


def _lock(path: Path, wait: float) -> int:
    deadline = time.monotonic() + wait
    while True:
        descriptor = locks.acquire(path)
        if descriptor is not None:
            return descriptor
        if time.monotonic() >= deadline:
            raise NotNowError(
                "Another backup or restore of this data directory is at work. "
                "Try again when it is done."
            )
        time.sleep(_POLL)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def need_room(folder: Path, needed: int, what: str) -> None:
    """
    Raise unless *folder*'s disk has room for *needed* bytes and a margin.

    Raises:
        BackupError: it has not; the database would be the next to run out of it.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _MARGIN:
        raise BackupError(
            f"{folder} has {free >> 20} MB left, and {what} needs "
            f"{(needed + _MARGIN) >> 20} MB. Make room on the disk."
        )
