"""Signs of life from what SQLite may be at for long: copies, and migrations."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection

Report = Callable[[int, int, str], None]
"""Takes what is done, of how many, and of what; called as long as there is progress."""

# A copy is made in steps of so many pages, which report.
_STEP_PAGES = 1024
# So many instructions of SQLite's machine are some milliseconds of a migration.
_LOOK_INSTRUCTIONS = 100_000


def report_to_nobody(done: int, total: int, what: str) -> None:
    """Take a report, and do nothing."""


def copy(target: sqlite3.Connection, what: str, report: Report) -> None:
    """
    Copy the default database to *target* by SQLite's backup API.

    Args:
        target: open on what is to be the copy.
        what: is copied for, in the reports.
        report: told of each step.
    """
    connection.ensure_connection()
    live: Any = connection.connection
    (page_size,) = live.execute("PRAGMA page_size").fetchone()

    def step(_: int, remaining: int, total: int) -> None:
        done, all_of_it = (total - remaining) * page_size, total * page_size
        report(done >> 20, all_of_it >> 20, f"MB copied {what}")

    # One read transaction: without it each write that another process makes between
    # two steps would begin the copy again.
    live.execute("BEGIN")
    try:
        live.execute("SELECT 1 FROM sqlite_master").fetchone()
        live.backup(target, pages=_STEP_PAGES, progress=step)
    finally:
        live.rollback()


@contextlib.contextmanager
def watched(what: str, report: Report) -> Iterator[None]:
    """
    Report that the default database is at work, inside.

    Each statement is a sign of it; a long one gives more, each time SQLite looks up.
    """
    connection.ensure_connection()
    raw: Any = connection.connection
    began = time.monotonic()

    def look(*_: object) -> int:
        report(0, 0, f"{what} for {time.monotonic() - began:.0f} s")
        return 0  # go on

    def look_and_execute(execute: Callable[..., Any], *arguments: Any) -> Any:
        look()
        return execute(*arguments)

    raw.set_progress_handler(look, _LOOK_INSTRUCTIONS)
    try:
        with connection.execute_wrapper(look_and_execute):
            yield
    finally:
        raw.set_progress_handler(None, 0)
