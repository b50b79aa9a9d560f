"""The writer process's side of the slot: take, prepare, release, resume."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from lifecycle import epochs, gate, locks, peers, schema, timeline, writer_main
from lifecycle.models import Epoch
from lifecycle.slot import WriterSlot
from lifecycle.writer_main import Writer
from tests.lifecycle.guarded import begin_epoch, names, outsider, row
from tests.lifecycle.migrations_of import Migrations
from tests.processes import wait_until

log: list[str] = []
go = threading.Event()


def subsystem(stop: threading.Event) -> None:
    """Run to the end; be slow to end when *go* is not set."""
    log.append("began")
    stop.wait(10)
    go.wait(10)
    log.append("ended")


def job(params: dict[str, Any], progress: Any) -> dict[str, Any]:
    log.append(f"job {params['n']}")
    go.wait(10)
    return {}


class Said(Writer):
    """The writer process, in this one; what it says is kept."""

    def __init__(self, instance: Any) -> None:
        super().__init__(instance, socket.socket())
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.on_progress: Callable[[], None] = lambda: None

    def say(self, said: str, **details: Any) -> None:
        if said == "progress":
            self.on_progress()
        self.said.append((said, details))

    def obey(self, command: str, successor: str = "") -> tuple[str, dict[str, Any]]:
        """Do as when a packet with *command* comes; return what it says last."""
        held = self._instance.slot.descriptor
        descriptors = [os.dup(held)] if command == "take" and held is not None else []
        self.do(command, successor, descriptors)
        return self.said[-1] if self.said else ("", {})

    def stop(self) -> None:
        go.set()
        self._end()
        self._channel.close()


@pytest.fixture
def writer(
    guarded: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Said]:
    settings.LIFECYCLE_WRITER_SUBSYSTEMS = [f"{__name__}.subsystem"]
    settings.LIFECYCLE_JOBS = {"job": f"{__name__}.job"}
    monkeypatch.setattr(writer_main, "_STOP_TIMEOUT", 0.2)
    log.clear()
    go.set()
    run_dir = peers.RunDir(guarded.parent)
    run_dir.create()
    slot = WriterSlot(guarded.parent, "instance me")
    assert slot.try_acquire()
    knobs = {"MIGRATE_ON_HANDOFF": True, "ALLOW_BREAKING_MIGRATIONS": False}
    made = Said(
        SimpleNamespace(
            id="me",
            version="v1",
            run_dir=run_dir,
            slot=slot,
            knobs=knobs,
            lives_beside_older=lambda: False,
        )
    )
    yield made
    made.stop()
    slot.release()


def began(times: int) -> None:
    wait_until(lambda: log.count("began") == times, 5, "the subsystem")


def job_socket(writer: Said) -> Path:
    path: Path = writer._instance.run_dir.path / "me.job"
    return path


def last() -> Epoch:
    found = epochs.last()
    assert found is not None
    return found


def test_a_take_begins_the_next_epoch_and_what_belongs_to_it(writer: Said) -> None:
    said, details = writer.obey("take")
    assert (said, details["epoch"]) == ("running", 1)
    assert details["facts"]["crashed"] == {}
    assert details["facts"]["migrations"]["lifecycle.0001_initial"] is False
    began(1)
    assert job_socket(writer).exists()
    row().save()
    assert (last().holder, last().version, gate.current_epoch()) == ("me", "v1", 1)


def test_a_release_ends_it_all_before_it_is_said(writer: Said) -> None:
    writer.obey("take")
    began(1)
    assert writer.obey("prepare")[0] == "prepared"
    assert log == ["began", "ended"]
    assert not job_socket(writer).exists()
    # Workers write on, till the row says that nobody holds the slot.
    assert last().holder == "me"
    said, details = writer.obey("release", "you")
    assert (said, details["successor"]) == ("released", "you")
    assert details["until"] > 0
    assert (last().holder, last().next, last().taken_by) == ("", "you", "me")
    assert last().until - last().released_at == pytest.approx(5)  # type: ignore[operator]
    with pytest.raises(gate.WriterSlotLostError), gate.write():
        raise AssertionError("nothing may run here")
    # Its copy of the lock is gone: the master's is the last one.
    writer._instance.slot.release()
    assert not locks.is_locked(writer._instance.slot.path)
    writer._instance.slot.try_acquire()


def test_a_slot_that_is_kept_for_another_is_not_taken(
    writer: Said, guarded: Path
) -> None:
    taker, descriptor = peers.register(writer._instance.run_dir, {})
    begin_epoch(guarded, 7, "")
    with outsider(guarded) as other:
        other.execute(
            "UPDATE lifecycle_epoch SET next = ?, until = unixepoch() + 4", [taker]
        )
    said, details = writer.obey("take")
    assert (said, details["successor"]) == ("reserved", taker)
    assert last().epoch == 7
    os.close(descriptor)
    assert writer.obey("take")[1]["epoch"] == 8


def test_a_lock_on_a_file_that_was_replaced_takes_nothing(writer: Said) -> None:
    path = writer._instance.slot.path
    path.rename(path.with_suffix(".old"))
    assert writer.obey("take") == (
        "reserved",
        {"successor": "", "until": pytest.approx(0, abs=1e9)},
    )
    assert epochs.last() is None


def test_a_job_that_runs_calls_the_release_off_and_comes_to_its_end(
    writer: Said,
) -> None:
    go.clear()
    writer.obey("take")
    began(1)
    first = send_job(writer, 1)
    wait_until(lambda: "job 1" in log, 5, "the job")
    assert writer.obey("prepare") == ("release_failed", {"reason": "a job is running"})
    writer.obey("resume")
    # Jobs are taken again, and wait for the one that runs.
    second = send_job(writer, 2)
    assert "job 2" not in log
    go.set()
    assert b'"result"' in read(first)
    assert b'"result"' in read(second)
    began(2)
    assert log.count("ended") == 1
    assert writer.obey("prepare")[0] == "prepared"
    assert log.count("ended") == 2


def test_what_ended_for_a_replaced_lock_file_does_not_begin_again(
    writer: Said,
) -> None:
    """Another instance may run it by now, however long the job here lasts."""
    go.clear()
    writer.obey("take")
    began(1)
    running = send_job(writer, 1)
    wait_until(lambda: "job 1" in log, 5, "the job")
    path = writer._instance.slot.path
    path.rename(path.with_suffix(".old"))
    assert writer.obey("prepare") == ("release_failed", {"reason": "a job is running"})
    writer.obey("resume")
    assert not job_socket(writer).exists()
    go.set()
    assert b'"result"' in read(running)
    assert writer.obey("prepare")[0] == "prepared"
    assert log == ["began", "job 1", "ended"]


def send_job(writer: Said, number: int) -> socket.socket:
    connection = writer._instance.run_dir.connect("me.job", 10)
    connection.sendall(b'{"name": "job", "params": {"n": %d}}\n' % number)
    return connection


def read(connection: socket.socket) -> bytes:
    with connection, connection.makefile("rb") as stream:
        return stream.read()


def test_a_subsystem_that_does_not_end_calls_the_release_off_and_begins_again_later(
    writer: Said,
) -> None:
    go.clear()
    writer.obey("take")
    began(1)
    reason = f"{__name__}.subsystem does not end"
    assert writer.obey("prepare") == ("release_failed", {"reason": reason})
    writer.obey("resume")
    assert log == ["began"]
    go.set()
    began(2)
    assert log == ["began", "ended", "began"]


def test_a_database_that_is_locked_calls_the_release_off(
    writer: Said, guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**connection.settings_dict["OPTIONS"], "timeout": 0.05}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    writer.obey("take")
    writer.obey("prepare")
    connection.close()
    with outsider(guarded) as other:
        other.execute("BEGIN IMMEDIATE")
        said, details = writer.obey("release", "you")
    assert (said, details) == ("release_failed", {"reason": "database is locked"})
    # The tenure goes on as if nothing had been asked.
    writer.obey("resume")
    began(2)
    assert job_socket(writer).exists()
    row().save()
    assert names() == ["0001"]
    assert writer.obey("prepare")[0] == "prepared"
    assert writer.obey("release", "you")[0] == "released"


def test_a_release_when_another_epoch_has_begun_gives_nothing(
    writer: Said, guarded: Path
) -> None:
    writer.obey("take")
    begin_epoch(guarded, 9, "them")
    writer.obey("prepare")
    assert writer.obey("release", "you") == (
        "released",
        {"successor": "", "until": 0.0},
    )
    assert (last().epoch, last().holder, last().next) == (9, "them", "")
    assert writer.obey("release", "you")[1] == {"successor": "", "until": 0.0}


def test_a_take_is_put_off_while_somebody_keeps_the_database_locked(
    writer: Said, guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds it may be no instance; the readers of this one are not to pay."""
    options = {**connection.settings_dict["OPTIONS"], "timeout": 0.05}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    connection.close()
    with outsider(guarded) as other:
        other.execute("BEGIN IMMEDIATE")
        assert writer.obey("take") == ("reserved", {})
    writer._instance.slot.release()
    assert not locks.is_locked(writer._instance.slot.path)
    writer._instance.slot.try_acquire()
    assert writer.obey("take")[0] == "running"


def test_a_migration_that_gets_on_is_told_now_and_then(
    writer: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def migrate(*args: object, report: Any, **kwargs: object) -> bool:
        for _ in range(1000):
            report(0, 0, "migrating")
        return True

    monkeypatch.setattr(schema, "migrate", migrate)
    monkeypatch.setattr(writer_main, "_PROGRESS_INTERVAL", 1000.0)
    writer.obey("take")
    assert [said for said, _ in writer.said] == ["progress", "running"]


def test_a_taker_whose_lock_file_is_replaced_in_a_migration_stands_by(
    migrations: Migrations, writer: Said, guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves readers, and migrates further once the slot is its own again."""
    monkeypatch.setattr(writer_main, "_PROGRESS_INTERVAL", 0.0)
    for name, after, column in (
        ("0002_next", "0001_initial", "b"),
        ("0003_then", "0002_next", "c"),
    ):
        added = (
            f'[migrations.AddField("entry", "{column}", models.TextField(null=True))]'
        )
        migrations.write(name, added, after=after)
    writer.on_progress = lambda: take_between(guarded)
    taken = last().epoch + 1
    assert writer.obey("take") == ("reserved", {})
    assert not connection.connection  # one with foreign keys as they were will follow
    assert (last().epoch, last().holder) == (taken + 1, "them")
    assert [one.name for one in schema.pending()] == ["sample.0003_then"]
    writer._instance.slot.release()
    assert not locks.is_locked(writer._instance.slot.path)
    writer._instance.slot.try_acquire()
    writer.on_progress = lambda: None
    assert writer.obey("take")[1]["epoch"] == taken + 2
    assert schema.pending() == []


def take_between(guarded: Path) -> None:
    """Begin an epoch as another instance, once the first of the two has been run."""
    with outsider(guarded) as other:
        query = "SELECT count(*) FROM django_migrations WHERE name = '0002_next'"
        (is_between,) = other.execute(query).fetchone()
        query = "SELECT epoch, holder FROM lifecycle_epoch ORDER BY epoch DESC"
        epoch, holder = other.execute(query).fetchone()
    if is_between and holder == "me":
        begin_epoch(guarded, epoch + 1, "them")


def test_a_database_that_is_too_new_is_left_alone(writer: Said, guarded: Path) -> None:
    """As a newer instance leaves it that migrated, and died."""
    with outsider(guarded) as other:
        other.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('lifecycle', '9999_newer', '2026-01-01')"
        )
    assert writer.obey("take") == (
        "unfit",
        {
            "reason": f"Database {guarded} is newer than this code: it has "
            "lifecycle.9999_newer, which this version neither knows nor can live with. "
            "Start the newer version, or restore what was saved before."
        },
    )
    assert epochs.last() is None
    writer._instance.slot.release()
    assert not locks.is_locked(writer._instance.slot.path)
    writer._instance.slot.try_acquire()


def test_a_take_that_fails_is_one_line_and_keeps_no_lock(
    writer: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> bool:
        raise schema.MigrationsFailedError("no\nway")

    monkeypatch.setattr(schema, "migrate", fail)
    assert writer.obey("take") == ("failed", {"reason": "no way"})
    writer._instance.slot.release()
    assert not locks.is_locked(writer._instance.slot.path)
    writer._instance.slot.try_acquire()


def test_releases_that_crashed_are_refused_for_a_while_that_doubles(
    guarded: Path,
) -> None:
    with outsider(guarded) as other:
        for epoch, holder, version, since, released_at in (
            (1, "a", "v1", 100.0, None),  # crashed
            (2, "b", "v2", 110.0, None),  # crashed
            (3, "", "v1", 120.0, 130.0),
            (4, "b", "v2", 140.0, None),  # crashed again
            (5, "a", "v1", 150.0, None),  # holds it now
        ):
            other.execute(
                "INSERT INTO lifecycle_epoch (epoch, holder, taken_by, version, since, "
                "released_at, next, until) VALUES (?, ?, ?, ?, ?, ?, '', 0)",
                (epoch, holder, holder, version, since, released_at),
            )
    assert epochs.crashed_releases() == {"v1": 110.0 + 10, "v2": 150.0 + 20}


def test_one_that_was_to_end_has_not_crashed(guarded: Path) -> None:
    """Its writer process died in its last release, or it was killed in its drain."""
    # In the order of the epochs: who held it, and whether it was to end by then.
    with outsider(guarded) as other:
        for epoch, taken_by in enumerate("abbcd", start=1):
            other.execute(
                "INSERT INTO lifecycle_epoch (epoch, holder, taken_by, version, since, "
                "released_at, next, until) VALUES (?, ?, ?, ?, ?, NULL, '', 0)",
                (epoch, taken_by, taken_by, f"v-{taken_by}", 10.0 * epoch),
            )
    timeline.record(guarded.parent, "a", "draining", epoch=1)
    # Its first tenure ended in a crash, and in the next it was told to end.
    timeline.record(guarded.parent, "b", "draining", epoch=3)
    # This one failed at the take; then it ended, and wrote it down.
    timeline.record(guarded.parent, "c", "draining", epoch=0)
    timeline.record(guarded.parent, "c", "stopped", epoch=4)
    assert epochs.crashed_releases() == {"v-b": 30.0 + 10, "v-c": 50.0 + 10}
