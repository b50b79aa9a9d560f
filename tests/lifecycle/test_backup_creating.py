"""What a backup holds, and what is none."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from typing import Any

import pytest

from lifecycle import litestream
from lifecycle.backup import creating, status
from lifecycle.backup.errors import BackupError
from tests.lifecycle.backups import Site, command, fails


def test_a_backup_is_restored_as_it_was(site: Site) -> None:
    sha256 = site.add_file(b"a picture")
    made = site.back_up()
    site.write("second")
    assert (made.file_count, made.file_bytes) == (1, 9)
    assert "lifecycle.0001_initial" in made.migrations
    with contextlib.closing(sqlite3.connect(site.database)) as raw:
        wanted = [line for line in raw.iterdump() if "second" not in line]
    site.lose()
    restored = site.restore()
    assert (restored.manifest, restored.files, restored.skipped) == (made, 1, [])
    with contextlib.closing(sqlite3.connect(site.database)) as raw:
        assert list(raw.iterdump()) == wanted
    assert (site.files / sha256[:2] / sha256).read_bytes() == b"a picture"
    # Nobody else may read what is in there.
    for path in (site.store, *site.store.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0


def test_a_snapshot_is_of_one_moment_while_others_write(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(sqlite3.connect(site.database)) as raw, raw:
        raw.execute("CREATE TABLE ballast (b BLOB)")
        raw.executemany(
            "INSERT INTO ballast VALUES (?)", [(os.urandom(4096),) for _ in range(600)]
        )
    monkeypatch.setattr("lifecycle.backup.snapshot._STEP_PAGES", 100)
    steps = 0

    def write(what: str, done: int, total: int) -> None:
        nonlocal steps
        if what == "snapshot":
            steps += 1
            # A reader in the way, or a backup that begins again, would never end here.
            assert steps < 50
            site.write(f"during {steps}")

    creating.create("command", write)
    assert steps >= 3
    during = site.words()
    assert len(during) == steps + 1
    site.restore(move_aside=True)
    assert site.words() == ["first"]


def test_what_litestream_keeps_in_a_database_is_not_backed_up(site: Site) -> None:
    with contextlib.closing(sqlite3.connect(site.database)) as raw, raw:
        raw.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INT)")
        raw.execute("CREATE TABLE _litestream_lock (id INTEGER)")
        raw.execute("CREATE TABLE _litestreams (id INTEGER)")  # no table of its own
    site.back_up()
    site.lose()
    site.restore()
    with contextlib.closing(sqlite3.connect(site.database)) as raw:
        tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}
    assert {name for name in tables if name.startswith("_")} == {"_litestreams"}
    assert site.words() == ["first"]
    litestream.refuse_conflicts({"SIMPLE_BACKUP": True}, site.database)


def test_each_file_is_stored_once(site: Site) -> None:
    site.add_file(b"one")
    site.back_up()
    (stored,) = site.stored("*/files/*")
    before = stored.stat().st_mtime_ns
    site.add_file(b"two")
    assert site.back_up().file_count == 2
    assert len(site.stored("*/files/*")) == 2
    assert stored.stat().st_mtime_ns == before


def test_a_damaged_database_is_not_backed_up(site: Site) -> None:
    good = site.back_up()
    with contextlib.closing(sqlite3.connect(site.database)) as raw:
        raw.execute("CREATE INDEX by_word ON words (word)")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX by_word ON words (word) "
            "WHERE 0' WHERE name = 'by_word'"
        )
        raw.commit()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with pytest.raises(BackupError, match="The database is damaged"):
        site.back_up()
    assert site.names() == [good.name]
    noted = status.read(site.data_dir / "backup-status.json")
    assert noted.name == good.name
    assert noted.reason.startswith("The database is damaged")


def test_a_good_backup_that_cannot_be_noted_is_called_good(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(status, "_write", refuse)
    code, line = fails("create")
    (name,) = site.names()
    assert code == 1
    assert line == (
        f"Backup {name} is stored and good, but {site.data_dir}/backup-status.json, "
        "which says so, cannot be written: No space left on device. Make room on the "
        "disk, or see to its permissions."
    )
    command("verify")
