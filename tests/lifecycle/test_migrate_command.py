"""manage.py migrate: under the writer slot, judged, after a snapshot."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lifecycle import locks
from lifecycle.slot import WriterSlot
from tests.lifecycle.instances import manage


def rows(data_dir: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(data_dir / "sample.sqlite3")) as database:
        return database.execute(query).fetchall()


def tables(data_dir: Path) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE name LIKE 'sample_%'"
    return {name for (name,) in rows(data_dir, query)}


def test_beside_a_holder_it_ends_with_status_three(
    migrated: Path, data_dir: Path
) -> None:
    slot = WriterSlot(data_dir, "instance abc")
    assert slot.try_acquire()
    done = manage(data_dir, "migrate", "sample", "zero")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"CommandError: The writer slot is held by instance abc (pid {os.getpid()}). "
        "An instance runs migrations itself when it takes the slot: deploy the new "
        "version, or stop every instance first.\n"
    )
    assert tables(data_dir) == {"sample_entry"}
    # What only looks may look.
    assert manage(data_dir, "migrate", "--check").returncode == 0
    assert manage(data_dir, "migrate", "--plan").stdout == (
        "Planned operations:\n  No planned migration operations.\n"
    )
    slot.release()


def test_it_has_an_epoch_of_its_own_for_its_run(migrated: Path, data_dir: Path) -> None:
    done = manage(data_dir, "migrate", "sample", "zero")
    assert (done.returncode, done.stderr) == (0, "")
    assert tables(data_dir) == set()
    ((epoch, holder, taken_by),) = rows(
        data_dir, "SELECT epoch, holder, taken_by FROM lifecycle_epoch"
    )
    assert (epoch, holder) == (1, "")
    assert taken_by.startswith("manage.py migrate (pid ")
    assert not locks.is_locked(data_dir / "writer.lock")
    # What it dropped is in a copy.
    (snapshot,) = (data_dir / "snapshots").glob("*-before-sample.zero.sqlite3")
    with contextlib.closing(sqlite3.connect(snapshot)) as copy:
        assert copy.execute("SELECT count(*) FROM sample_entry").fetchone() == (0,)


def test_it_records_a_verdict_on_each_and_keeps_a_snapshot(
    migrated: Path, data_dir: Path
) -> None:
    assert manage(data_dir, "migrate", "sample", "zero").returncode == 0
    done = manage(data_dir, "migrate")
    assert (done.returncode, done.stderr) == (0, "")
    (snapshot,) = (data_dir / "snapshots").glob("*-before-sample.0001_initial.sqlite3")
    query = (
        "SELECT is_compatible, reason, snapshot FROM lifecycle_appliedmigration "
        "WHERE app = 'sample'"
    )
    assert rows(data_dir, query) == [(1, "", str(snapshot))]
    with contextlib.closing(sqlite3.connect(snapshot)) as copy:
        found = copy.execute("SELECT name FROM sqlite_master").fetchall()
    assert ("sample_entry",) not in found
    assert ("lifecycle_epoch",) in found


def test_a_new_database_is_migrated_without_a_snapshot(data_dir: Path) -> None:
    done = manage(data_dir, "migrate")
    assert (done.returncode, done.stderr) == (0, "")
    assert tables(data_dir) == {"sample_entry"}
    assert not (data_dir / "snapshots").exists()
    assert not locks.is_locked(data_dir / "writer.lock")


@pytest.mark.usefixtures("db")
def test_a_database_without_a_gate_is_migrated_as_ever() -> None:
    """As the one of a test run, and a copy for a rehearsal."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
