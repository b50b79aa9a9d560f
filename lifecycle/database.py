"""
The database at the start: fit to be served, migrated, and no newer than the code.

Migrations that are pending are rehearsed on a copy, from which the warmup
reads; the real ones run later, under the writer slot.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from django.db import DatabaseError, connections

from lifecycle import schema
from lifecycle.conf import conf
from lifecycle.exceptions import LifecycleError
from lifecycle.mounts import mounts
from lifecycle.progress import Report, copy, report_to_nobody, watched
from lifecycle.sidecars import sidecars
from lifecycle.unfit import unfit_text

__all__ = [
    "DatabaseError",
    "DatabaseUnfitError",
    "check",
    "conf",
    "exists",
    "rehearsed",
    "unfit",
]

logger = logging.getLogger(__name__)

# SQLite in WAL needs shared memory between its processes: one host only.
_NETWORK_FILESYSTEMS = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse.ceph",
    "fuse.glusterfs",
    "fuse.juicefs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
}


class DatabaseUnfitError(LifecycleError):
    """The database cannot be served; the message says what, where, what to do."""

    returncode = 1
    """Of a command that ends by it."""


def unfit(error: Exception) -> DatabaseUnfitError:
    """Return what to raise for *error*, SQLite's own or Django's around it."""
    return DatabaseUnfitError(unfit_text(error.__cause__ or error))


def check_for_command() -> None:
    """
    Raise for a database that a command cannot write to.

    Raises:
        DatabaseUnfitError: as `check`; or there is none, or it lacks migrations.
    """
    check()
    if not exists():
        raise DatabaseUnfitError(
            f"There is no database at {conf.database_path}. "
            "Run: python manage.py migrate"
        )
    try:
        pending = [verdict.name for verdict in schema.pending()]
    except DatabaseError as exc:
        raise unfit(exc) from exc
    if pending:
        raise DatabaseUnfitError(
            f"Database {conf.database_path} lacks migrations that this version needs: "
            f"{', '.join(pending)}. Run: python manage.py migrate"
        )


def exists() -> bool:
    """Return whether there is a database file with something in it."""
    path = conf.database_path
    return path.exists() and path.stat().st_size > 0


def check() -> None:
    """
    Raise for a database that this code cannot serve: no write, no lock.

    Raises:
        DatabaseUnfitError: it is corrupt, unwritable, on a network filesystem, or
            newer than the code.
    """
    path = conf.database_path
    _check_place(path)
    if not exists():
        return
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10)
        ) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as exc:
        raise unfit(exc) from exc
    refuse_newer()


def refuse_newer() -> None:
    """
    Raise when the database has migrations that this code cannot live with.

    Raises:
        DatabaseUnfitError: names them, and the snapshots made before them.
    """
    unknown = schema.unknown_and_breaking()
    if unknown:
        raise DatabaseUnfitError(
            f"Database {conf.database_path} is newer than this code: it has "
            f"{', '.join(unknown)}, which this version neither knows nor can live with. "
            "Start the newer version, or restore what was saved before."
        )


def _check_place(path: Path) -> None:
    kind = filesystem_of(path.parent)
    if kind in _NETWORK_FILESYSTEMS:
        raise DatabaseUnfitError(
            f"Database {path} is on a network filesystem ({kind}), where SQLite's WAL "
            "cannot work. Set DATA_DIR to a folder on a local disk."
        )
    # SQLite's own two, and the slot's, are left by a command that another user ran.
    own = [Path(f"{path}-wal"), Path(f"{path}-shm"), conf.data_dir / "writer.lock"]
    for place in (path.parent, path, *own):
        if place.exists() and not os.access(place, os.W_OK):
            raise DatabaseUnfitError(
                f"Database {path} cannot be written: no write permission on {place}. "
                f"Give it to user {os.geteuid()}, or set DATA_DIR to another folder."
            )


def filesystem_of(path: Path, mountinfo: str | None = None) -> str:
    """Return the type of the filesystem that *path* is on, as mountinfo has it."""
    real = path.resolve()
    best, kind = -1, ""
    for mount in mounts(mountinfo):
        # Of two mounts on one point the later one is what is seen.
        if real.is_relative_to(mount.point) and len(mount.point.parts) >= best:
            best, kind = len(mount.point.parts), mount.kind
    return kind


@contextlib.contextmanager
def rehearsed(
    scratch: Path, names: list[str], report: Report = report_to_nobody
) -> Iterator[None]:
    """
    Point the default database at a copy with *names* migrated, and back.

    The copy is made by SQLite's backup API, so that it is consistent while
    another instance writes. Nothing of it is left afterwards.

    Args:
        scratch: where the copy is to be.
        names: the migrations that are pending.
        report: told of progress, as long as there is some.

    Raises:
        DatabaseUnfitError: no copy can be made.
        MigrationsFailedError: the migrations raise; the database is as it was.
    """
    connection = connections["default"]
    original = connection.settings_dict["NAME"]
    began = time.monotonic()
    try:
        _copy(scratch, report)
        connection.settings_dict["NAME"] = str(scratch)
        with watched("rehearsing migrations", report):
            schema.run_migrations(
                names, "fail on a copy", f"{original} is as it was; mend them first."
            )
        logger.info(
            "event=migrations_rehearsed migrations=%s seconds=%.3f",
            ",".join(names),
            time.monotonic() - began,
        )
        yield
    finally:
        connections.close_all()
        connection.settings_dict["NAME"] = original
        for path in (scratch, *sidecars(scratch)):
            path.unlink(missing_ok=True)


def _copy(target: Path, report: Report) -> None:
    try:
        with contextlib.closing(sqlite3.connect(target)) as made:
            # Nobody else sees the copy, and no sync at its end keeps us waiting.
            made.execute("PRAGMA synchronous = OFF")
            copy(made, "to rehearse migrations on", report)
    except sqlite3.Error as exc:
        size = conf.database_path.stat().st_size >> 20
        raise DatabaseUnfitError(
            f"No copy of {conf.database_path} ({size} MB) can be made in "
            f"{target.parent} to rehearse migrations on: {exc}. Make room on the disk."
        ) from exc
    finally:
        connections.close_all()
