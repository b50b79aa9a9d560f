"""Housekeeping of the database."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from lifecycle import vacuum


def fill(path: Path, rows: int) -> None:
    """Make a table of *rows* × 4 KB in *path* and empty it again."""
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE IF NOT EXISTS fat (b BLOB)")
        raw.executemany("INSERT INTO fat VALUES (zeroblob(4000))", [()] * rows)


def thin(path: Path, share: float) -> None:
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM fat WHERE rowid % 100 < ?", (share * 100,))


def size(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        return int(pages * raw.execute("PRAGMA page_size").fetchone()[0])


def test_a_vacuum_is_made_when_it_gives_much_back(guarded: Path) -> None:
    fill(guarded, 1000)
    thin(guarded, 0.1)
    before = size(guarded)
    vacuum.keep_house(threading.Event())
    assert size(guarded) == before
    thin(guarded, 0.8)
    vacuum.keep_house(threading.Event())
    assert size(guarded) < before / 2
    # The WAL does not keep what VACUUM wrote into it.
    assert Path(f"{guarded}-wal").stat().st_size == 0
    with contextlib.closing(sqlite3.connect(guarded)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_handoff_ends_a_vacuum_and_so_does_a_writers_patience(
    guarded: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fill(guarded, 4000)
    thin(guarded, 0.5)
    before = size(guarded)
    stop = threading.Event()
    stop.set()
    vacuum.keep_house(stop)
    assert size(guarded) == before
    assert "vacuum" not in caplog.text
    settings.LIFECYCLE_WRITE_HOLD_TIMEOUT = 0.0
    vacuum.keep_house(threading.Event())
    assert size(guarded) == before
    assert "event=vacuum_given_up" in caplog.text


def test_the_subsystem_is_off_unless_it_is_on(
    guarded: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "INTERVAL", 0.01)
    vacuum.run(threading.Event())  # returns
    settings.LIFECYCLE_VACUUM_CRON = True
    stop = threading.Event()
    looked = []

    def keep_house(event: threading.Event) -> None:
        looked.append(event)
        stop.set()

    monkeypatch.setattr(vacuum, "keep_house", keep_house)
    vacuum.run(stop)
    assert looked == [stop]
