"""Commands that write: guests of the holder, or the holder for their run."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import OperationalError, connection, transaction

from lifecycle import gate, locks, peers
from lifecycle.guests import GuestAuthority, GuestSlotLostError, SlotTakenError
from lifecycle.models import Epoch
from lifecycle.slot import WriterSlot
from tests.lifecycle.children import run_in_child
from tests.lifecycle.guarded import begin_epoch, names, outsider, row
from tests.lifecycle.instances import manage, sample_environ


@pytest.fixture
def guest(guarded: Path) -> GuestAuthority:
    """Be a command."""
    made = GuestAuthority(guarded.parent, "manage.py test")
    gate.set_authority(made)
    return made


@pytest.fixture
def holder(guarded: Path) -> Iterator[WriterSlot]:
    """Somebody that holds the slot."""
    slot = WriterSlot(guarded.parent, "instance abc")
    assert slot.try_acquire()
    begin_epoch(guarded, 7, "abc")
    yield slot
    slot.release()


def epochs() -> list[tuple[int, str, str]]:
    return list(Epoch.objects.values_list("epoch", "holder", "taken_by"))


def is_taken(guarded: Path) -> bool:
    return locks.is_locked(guarded.parent / "writer.lock")


def test_reading_takes_nothing(guest: GuestAuthority, guarded: Path) -> None:
    assert (names(), epochs()) == ([], [])
    assert not is_taken(guarded)
    assert guest.epoch() == 0


def test_with_no_holder_the_first_write_takes_the_slot_for_the_run(
    guest: GuestAuthority, guarded: Path
) -> None:
    row("1").save()
    assert is_taken(guarded)
    name = f"manage.py test (pid {os.getpid()})"
    assert epochs() == [(1, name, name)]
    with transaction.atomic():
        row("2").save()
    with gate.write():
        row("3").save()
        assert gate.transaction_epoch() == guest.epoch() == 1
    assert len(epochs()) == 1
    guest.release()
    guest.release()
    assert not is_taken(guarded)
    assert epochs() == [(1, "", name)]
    assert Epoch.objects.get().released_at is not None
    row("4").save()
    assert [holder for _, holder, _ in epochs()] == ["", name]
    assert names() == ["1", "2", "3", "4"]


def test_beside_a_holder_it_writes_under_the_holders_epoch(
    guest: GuestAuthority, holder: WriterSlot
) -> None:
    row("1").save()
    with transaction.atomic():
        row("2").save()
    assert (guest.epoch(), epochs()) == (7, [(7, "abc", "abc")])
    guest.release()
    assert epochs() == [(7, "abc", "abc")]
    assert names() == ["1", "2"]


def test_when_the_holder_has_changed_it_stops_with_status_three(
    guest: GuestAuthority, holder: WriterSlot, guarded: Path
) -> None:
    row("1").save()
    begin_epoch(guarded, 8, "def")
    with pytest.raises(GuestSlotLostError) as caught:
        row("2").save()
    assert isinstance(caught.value, CommandError)
    assert (caught.value.returncode, caught.value.found) == (3, 8)
    assert str(caught.value) == (
        "The writer slot has moved on: this process writes under epoch 7, the database "
        "is at 8. Nothing was written. The slot is held by def; run it again."
    )
    assert names() == ["1"]


def test_it_takes_the_slot_of_a_holder_that_crashed(
    guest: GuestAuthority, holder: WriterSlot
) -> None:
    holder.release()
    row("1").save()
    assert [epoch for epoch, _, _ in epochs()] == [7, 8]


def test_it_does_not_get_in_between_a_giver_and_its_taker(
    guest: GuestAuthority, guarded: Path, settings: Any
) -> None:
    settings.LIFECYCLE_JOB_TIMEOUT = 0.05
    run_dir = peers.RunDir(guarded.parent)
    taker, descriptor = peers.register(run_dir, {})
    begin_epoch(guarded, 7, "")
    with outsider(guarded) as other:
        other.execute(
            "UPDATE lifecycle_epoch SET next = ?, until = unixepoch() + 4", [taker]
        )
    with pytest.raises(SlotTakenError):
        row().save()
    assert not is_taken(guarded)
    assert [epoch for epoch, _, _ in epochs()] == [7]
    # It has died: nothing is kept for it.
    os.close(descriptor)
    row().save()
    assert [epoch for epoch, _, _ in epochs()] == [7, 8]


@pytest.mark.parametrize("until", ["unixepoch() - 1", "unixepoch() + 3600"])
def test_a_reservation_lapses_and_a_clock_that_is_set_back_makes_none(
    guest: GuestAuthority, guarded: Path, until: str
) -> None:
    taker, descriptor = peers.register(peers.RunDir(guarded.parent), {})
    begin_epoch(guarded, 7, "")
    with outsider(guarded) as other:
        other.execute(f"UPDATE lifecycle_epoch SET next = ?, until = {until}", [taker])  # noqa: S608
    row().save()
    assert [epoch for epoch, _, _ in epochs()] == [7, 8]
    os.close(descriptor)


def test_it_waits_for_a_lock_that_is_taken_without_an_epoch(
    guest: GuestAuthority, guarded: Path, settings: Any
) -> None:
    settings.LIFECYCLE_JOB_TIMEOUT = 0.05
    other = WriterSlot(guarded.parent, "manage.py migrate")
    assert other.try_acquire()
    with pytest.raises(SlotTakenError) as caught:
        row().save()
    assert caught.value.returncode == 3
    assert str(caught.value) == (
        f"The writer slot is held by manage.py migrate (pid {os.getpid()}), beside "
        "which nothing can be written now (waited 0.05 s). Nothing was written. "
        "Try again when it is done."
    )
    assert names() == []
    settings.LIFECYCLE_JOB_TIMEOUT = 10.0
    release = threading.Timer(0.1, other.release)
    release.start()
    row().save()
    release.join()
    assert names() == ["0001"]


def test_a_lock_file_that_was_replaced_gives_nothing(
    guest: GuestAuthority, guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = locks.acquire
    replaced: list[Path] = []

    def replace(path: Path) -> int | None:
        found = acquire(path)
        if not replaced:
            replaced.append(path.rename(path.with_suffix(".old")))
        return found

    monkeypatch.setattr(locks, "acquire", replace)
    row().save()
    assert len(epochs()) == 1
    assert is_taken(guarded)
    assert not locks.is_locked(replaced[0])


def test_a_database_that_is_locked_leaves_the_slot_free(
    guest: GuestAuthority, guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**connection.settings_dict["OPTIONS"], "timeout": 0.05}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    with outsider(guarded) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            row().save()
        assert not is_taken(guarded)
    row().save()
    assert names() == ["0001"]


def test_two_threads_of_a_command_take_the_slot_once(guest: GuestAuthority) -> None:
    began = threading.Barrier(4)
    failures: list[Exception] = []

    def write(name: str) -> None:
        try:
            began.wait(10)
            row(name).save()
        except Exception as exc:  # noqa: BLE001 - shown by the test
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (len(epochs()), names()) == (1, ["0", "1", "2", "3"])


def test_a_forked_child_does_not_end_its_parents_tenure(
    guest: GuestAuthority, guarded: Path
) -> None:
    row().save()
    connection.close()
    assert run_in_child(guest.release) == 0
    assert is_taken(guarded)
    assert epochs()[0][1] != ""


def test_before_there_are_tables_it_has_the_lock_only(
    guest: GuestAuthority, guarded: Path
) -> None:
    connection.close()
    for path in guarded.parent.glob("x.sqlite3*"):
        path.unlink()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a INTEGER)")
    assert is_taken(guarded)
    assert guest.epoch() == 0


# -- processes of their own ---------------------------------------------------

WRITES = """
import django
django.setup()
from tests.lifecycle.sample.models import Entry
Entry.objects.create(text="by a command")
"""


def slot_rows(data_dir: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(data_dir / "sample.sqlite3")) as database:
        query = "SELECT holder, released_at IS NULL, taken_by FROM lifecycle_epoch"
        return database.execute(query).fetchall()


def test_a_command_gives_the_slot_back_when_it_ends(
    migrated: Path, data_dir: Path
) -> None:
    done = manage(data_dir, "shell", "-c", WRITES)
    assert (done.returncode, done.stderr) == (0, "")
    ((holder, is_held, taken_by),) = slot_rows(data_dir)
    assert (holder, is_held) == ("", 0)
    assert taken_by.startswith("__main__.py shell (pid ")
    assert not locks.is_locked(data_dir / "writer.lock")


def test_a_command_that_is_killed_leaves_the_slot_free(
    migrated: Path, data_dir: Path
) -> None:
    waiting = "print('written', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", WRITES + waiting],
        env=sample_environ(data_dir),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        assert locks.is_locked(data_dir / "writer.lock")
        process.send_signal(signal.SIGKILL)
    assert not locks.is_locked(data_dir / "writer.lock")
    ((holder, is_held, _),) = slot_rows(data_dir)
    assert (holder != "", is_held) == (True, 1)
