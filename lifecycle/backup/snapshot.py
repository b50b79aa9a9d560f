"""
A snapshot of the database, while others read and write it.

SQLite's backup API, step by step inside one read transaction: so it shows one
moment, and no writer makes it begin again; without the transaction each write does,
and under 100 a second it never ends. Nobody waits for it. Meanwhile the WAL is not
reset, so it grows by what is written.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from lifecycle.backup.errors import BackupError

# A step's pages, and the pause behind each, in seconds: the disk is shared with
# those who write. On a machine that is short of processors each step waits its turn.
_STEP_PAGES = 1024
_PAUSE = 0.01

Progress = Callable[[str, int, int], None]
"""Takes what is done, how many bytes of it, and of how many."""


def take(source: Path, target: Path, progress: Progress) -> float:
    """
    Copy the database *source* as it is now to *target*; return the moment.

    Raises:
        BackupError: it cannot be read, or is damaged, or *target* cannot be written.
    """
    try:
        with (
            contextlib.closing(connect(source)) as live,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            # Nobody else sees the copy, and one that is cut short is thrown away.
            copy.execute("PRAGMA synchronous = OFF")
            copy.execute("PRAGMA journal_mode = OFF")
            page_size: int = live.execute("PRAGMA page_size").fetchone()[0]
            live.execute("BEGIN")
            live.execute("SELECT 1 FROM sqlite_master").fetchone()
            moment = time.time()

            def step(_: int, remaining: int, total: int) -> None:
                progress("snapshot", (total - remaining) * page_size, total * page_size)
                time.sleep(_PAUSE)

            live.backup(copy, pages=_STEP_PAGES, progress=step)
            live.execute("COMMIT")
            _drop_litestream(copy)
        check(target)
    except sqlite3.Error as exc:
        raise BackupError(
            f"No snapshot of {source} can be made in {target.parent}: {exc}. Make room "
            "on the disk, or see to the database."
        ) from exc
    return moment


def _drop_litestream(copy: sqlite3.Connection) -> None:
    """
    Drop the tables of a Litestream beside the site from *copy*.

    They are about its own replica; and a site that was restored with them, where no
    Litestream is, would be taken for one with a Litestream.
    """
    for (name,) in copy.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' "
        "AND name LIKE '\\_litestream\\_%' ESCAPE '\\'"
    ).fetchall():
        copy.execute(f'DROP TABLE "{name}"')


def connect(path: Path) -> sqlite3.Connection:
    """Open *path* for reading; closing it never checkpoints."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=10,
        isolation_level=None,
    )


def check(path: Path) -> None:
    """
    Check every page and index of the database *path*.

    Raises:
        BackupError: it is damaged; what SQLite found first is in the message.
    """
    with contextlib.closing(connect(path)) as connection:
        try:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as exc:
            found = str(exc)
    if found != "ok":
        raise BackupError(
            f"The database is damaged: {' '.join(found.split())}. Nothing was replaced; "
            "restore the last backup that verifies."
        )


def migrations(path: Path) -> list[str]:
    """Return the migrations that have been applied in the database *path*."""
    with contextlib.closing(connect(path)) as connection:
        try:
            rows = connection.execute("SELECT app, name FROM django_migrations")
            return sorted(f"{app}.{name}" for app, name in rows)
        except sqlite3.OperationalError:
            return []  # not Django's
