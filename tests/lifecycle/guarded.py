"""What tests do to the guarded database, and see of it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from django.db import connection

from lifecycle.models import AppliedMigration


def row(name: str = "0001") -> AppliedMigration:
    return AppliedMigration(app="a", name=name, is_compatible=True, applied_at=0)


def names() -> list[str]:
    return sorted(AppliedMigration.objects.values_list("name", flat=True))


def columns() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pragma_table_info('t')")
        return [name for (name,) in cursor.fetchall()]


def save_twice() -> None:
    row().save()
    row().save()


@contextlib.contextmanager
def outsider(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection of another process, which knows of no gate."""
    with contextlib.closing(
        sqlite3.connect(path, timeout=0, isolation_level=None)
    ) as other:
        yield other


def begin_epoch(path: Path, epoch: int, holder: str = "somebody") -> None:
    with outsider(path) as other:
        other.execute(
            "INSERT INTO lifecycle_epoch (epoch, holder, taken_by, version, since, "
            "released_at, next, until) VALUES (?, ?, ?, '', 0, NULL, '', 0)",
            (epoch, holder, holder),
        )


def is_query_only() -> bool:
    connection.ensure_connection()
    (value,) = connection.connection.execute("PRAGMA query_only").fetchone()
    return bool(value)


def is_writing(path: Path) -> bool:
    """Return whether somebody has SQLite's write lock."""
    with outsider(path) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        other.rollback()
        return False
