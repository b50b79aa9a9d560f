"""The slot's keeper in the master: who may have it, and how asks are answered."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lifecycle import keeper as module
from lifecycle import locks
from lifecycle import writer as module_of_writer
from lifecycle.keeper import SlotKeeper, parse_ask
from lifecycle.page import SharedPage
from lifecycle.peers import RunDir
from lifecycle.slot import WriterSlot
from lifecycle.tenure import Ask, Event, Said


@pytest.fixture
def keeper(data_dir: Path) -> Iterator[SlotKeeper]:
    """Return the keeper of an instance, 'me', beside which 'you' lives."""
    run_dir = RunDir(data_dir)
    run_dir.create()
    living = locks.acquire(run_dir.path / "you.lock")
    assert living is not None
    instance: Any = SimpleNamespace(
        knobs={"WRITER_ACQUIRE_TIMEOUT": 0.0},
        page=SharedPage(),
        run_dir=run_dir,
        slot=WriterSlot(data_dir, "instance me"),
        version="v1",
    )
    yield SlotKeeper(instance)
    os.close(living)


def ask(*migrations: str, version: str = "v2", asker: str = "you") -> Ask:
    return Ask(asker, version, frozenset(migrations))


@pytest.mark.parametrize(
    ("knows", "objection"),
    [
        (["notes.0001", "notes.0002"], ""),
        # Older code, which can live with the last one.
        (["notes.0001"], ""),
        (["notes.0002"], "its code lacks applied migrations: notes.0001"),
        (
            ["notes.0003", "shop.0009"],
            "its code lacks applied migrations: notes.0001, shop.0001",
        ),
        # It has dropped an application, or is from before there was one.
        (["shop.0001"], ""),
    ],
)
def test_an_asker_has_to_know_what_it_cannot_live_without(
    keeper: SlotKeeper, knows: list[str], objection: str
) -> None:
    keeper.writer.facts = {
        "migrations": {"notes.0001": False, "notes.0002": True, "shop.0001": False}
    }
    assert keeper.objection(ask(*knows)) == objection


def test_a_version_that_crashed_has_to_wait(keeper: SlotKeeper) -> None:
    now = time.time()
    keeper.writer.facts = {"crashed": {"v2": now + 9.6, "v3": now - 1, "v1": now + 60}}
    assert keeper.objection(ask()) in {
        f"version v2 crashed while it held the slot; it may ask again in {s} s"
        for s in (9, 10)
    }
    assert keeper.objection(ask(version="v3")) == ""
    assert keeper.objection(ask(version="v4")) == ""
    # Another instance of the version that holds the slot now is no worse than that.
    assert keeper.objection(ask(version="v1")) == ""


def test_an_asker_that_has_died_since_gets_nothing(keeper: SlotKeeper) -> None:
    assert keeper.objection(ask()) == ""
    assert keeper.objection(ask(asker="he")) == "instance he is gone"


def test_an_ask_waits_for_its_own_answer(keeper: SlotKeeper) -> None:
    got: dict[str, str] = {}

    def send(asker: str) -> None:
        got[asker] = keeper.receive(ask(asker=asker))

    threads = [threading.Thread(target=send, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    answered: set[str] = set()
    while len(answered) < 2:
        found = keeper.next_ask()
        if found is not None:
            keeper.answer(found, f"not {found.asker}")
            answered.add(found.asker)
    for thread in threads:
        thread.join()
    assert got == {"a": "not a", "b": "not b"}
    assert keeper.next_ask() is None


def test_reports_of_the_tenure_before_are_dropped(keeper: SlotKeeper) -> None:
    released = Event(Said.RELEASED, attempt=2)
    keeper.tell_writer("take", 1)
    keeper.writer._events.append(released)
    assert keeper.next_event() is released
    keeper.tell_writer("take", 3)
    taken = Event(Said.RUNNING, attempt=3)
    keeper.writer._events.extend([released, taken])
    assert keeper.next_event() is taken
    assert keeper.next_event() is None
    assert (
        keeper.writer._holding
    )  # a process that dies now is followed by one that takes


def test_an_ask_that_nobody_decides_is_refused_in_time(
    keeper: SlotKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ASK_TIMEOUT", 0.05)
    assert keeper.receive(ask()) == "the holder did not decide in time"


def test_it_takes_no_slot_in_a_drain(keeper: SlotKeeper) -> None:
    from lifecycle.phases import Phase

    assert keeper.may_acquire()
    keeper._instance.page.phase = Phase.DRAINING
    assert not keeper.may_acquire()


def test_it_notices_that_its_lock_is_on_another_file(keeper: SlotKeeper) -> None:
    assert keeper.lock()
    assert not keeper.has_lost_lock()
    keeper._instance.slot.path.unlink()
    assert keeper.has_lost_lock()
    keeper.unlock()
    assert keeper.lock()
    assert not keeper.has_lost_lock()
    keeper.unlock()


def test_an_ask_is_read_from_what_a_peer_sends() -> None:
    body = {"asker": "you", "version": "v2", "migrations": ["a.1", "b.2"]}
    assert parse_ask(body) == ask("a.1", "b.2")


@pytest.mark.parametrize("body", [None, [], {}, {"asker": "you", "version": "v2"}, 7])
def test_what_is_no_ask_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match="not an ask for the writer slot"):
        parse_ask(body)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    return made


def test_a_writer_that_says_nothing_is_killed_but_not_after_a_freeze_of_its_master(
    keeper: SlotKeeper, clock: SimpleNamespace
) -> None:
    """Where both were frozen, the master may go on before its writer has said a word."""
    writer = keeper.writer
    with subprocess.Popen(["sleep", "100"]) as process:
        writer._pid, writer._pidfd = process.pid, os.pidfd_open(process.pid)
        writer.tend()
        clock.now += 60
        for _ in range(5):
            writer.tend()
            clock.now += 1
        is_spared = not module_of_writer.has_exited(writer._pidfd, 0.1)
        clock.now += 1
        writer.tend()
        assert process.wait(5) == -signal.SIGKILL
    os.close(writer._pidfd)
    assert is_spared


def test_a_writer_that_has_ended_is_lacked_once_gunicorns_loop_is_over(
    keeper: SlotKeeper,
) -> None:
    """Before that another one follows it."""
    with subprocess.Popen(["sleep", "100"]) as process:
        keeper.writer._pid, keeper.writer._pidfd = (
            process.pid,
            os.pidfd_open(process.pid),
        )
        keeper._instance.is_stopping = True
        is_lacked = [keeper.lacks_writer()]
        process.kill()
        process.wait()
        is_lacked.append(keeper.lacks_writer())
        keeper._instance.is_stopping = False
        is_lacked.append(keeper.lacks_writer())
    os.close(keeper.writer._pidfd)
    assert is_lacked == [False, True, False]


def test_a_writer_that_is_frozen_does_not_keep_the_lock_from_the_next_for_long(
    keeper: SlotKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a copy of the lock; it is killed as soon as it has been silent too long."""
    writer = keeper.writer
    looks = iter(range(1000))  # a second passes between two
    monkeypatch.setattr(time, "monotonic", lambda: float(next(looks)))
    ours, theirs = socket.socketpair()
    with theirs, subprocess.Popen(["sleep", "100"]) as process:
        process.send_signal(signal.SIGSTOP)
        writer._pid, writer._pidfd = process.pid, os.pidfd_open(process.pid)
        writer._channel, writer._heard_at = ours, 0.0
        writer.stop()
        monkeypatch.undo()
        assert process.wait(5) == -signal.SIGKILL
    assert next(looks) < module_of_writer._STOP_TIMEOUT
    assert writer.pid == 0
