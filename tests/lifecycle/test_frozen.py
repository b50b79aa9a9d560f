"""A holder that is frozen is ended; nobody else is."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lifecycle import frozen, peers
from lifecycle.frozen import SILENCE_LIMIT, FrozenHolder, kill, process_identity
from lifecycle.peers import Peer
from lifecycle.slot import WriterSlot
from tests.lifecycle.children import python, said
from tests.processes import is_stopped, wait_until

CHILD = """
import json, sys
from lifecycle.frozen import process_identity
print(json.dumps(process_identity()), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child() -> Iterator[tuple[Any, dict[str, Any]]]:
    """A process, and what it says of itself."""
    with python(CHILD) as process:
        yield process, json.loads(said(process))


def test_the_process_that_is_named_is_killed_though_it_is_stopped(child: Any) -> None:
    process, identity = child
    os.kill(process.pid, signal.SIGSTOP)
    assert kill(identity)
    assert process.wait(5) == -signal.SIGKILL
    assert not kill(identity)


WITH_CHILDREN = """
import json, os, sys
from lifecycle.frozen import process_identity
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        sys.stdin.read()
        os._exit(0)
    children.append(child)
print(json.dumps([process_identity(), *children]), flush=True)
sys.stdin.read()
"""


def test_children_that_are_stopped_are_killed_with_it_and_others_go_on() -> None:
    """A worker that is stopped inside a transaction keeps everybody from writing."""
    with python(WITH_CHILDREN) as process:
        identity, stopped, running = json.loads(said(process))
        for pid in (stopped, process.pid):
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(stopped), 5, "the child's stop")
        assert kill(identity)
        assert process.wait(5) == -signal.SIGKILL
        wait_until(lambda: not is_stopped(stopped), 5, "the child's end")
        os.kill(running, 0)  # it lives
        assert process.stdin is not None
        process.stdin.close()  # and ends by itself
        process.stdin = None


@pytest.mark.parametrize(
    "change",
    [
        {"start_ticks": 1},  # its pid is another's now
        {"pid_namespace": "pid:[1]"},  # it is a pid elsewhere
    ],
)
def test_another_process_is_left_alone(child: Any, change: dict[str, Any]) -> None:
    process, identity = child
    assert not kill({**identity, **change})
    assert process.poll() is None


@pytest.mark.parametrize("lacks", ["pid", "start_ticks", "pid_namespace"])
def test_a_record_of_an_older_version_kills_nobody(child: Any, lacks: str) -> None:
    process, identity = child
    del identity[lacks]
    assert not kill(identity)
    assert process.poll() is None


def test_a_process_of_another_user_is_left_alone(
    child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pidfd: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    assert not kill(child[1])


class World:
    """Peers that answer or do not, on a clock of their own."""

    def __init__(self, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.statuses: dict[str, dict[str, Any] | None] = {}
        self.killed: list[str] = []
        self.slot = WriterSlot(data_dir, "instance me")
        self.knobs = {"KILL_FROZEN_HOLDER": True}
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(peers, "ask", self._ask)
        monkeypatch.setattr(frozen, "kill", self._kill)
        instance: Any = SimpleNamespace(
            slot=self.slot,
            knobs=self.knobs,
            run_dir=peers.RunDir(data_dir),
            living_peers=lambda: [Peer(name, {"id": name}) for name in self.statuses],
        )
        self.holder = FrozenHolder(instance)

    def _ask(
        self, run_dir: Any, peer: Peer, path: str, timeout: float
    ) -> dict[str, Any]:
        status = self.statuses[peer.id]
        if status is None:
            raise TimeoutError
        return status

    def _kill(self, record: dict[str, Any]) -> bool:
        self.killed.append(record["id"])
        return True

    def watch(self, seconds: float) -> None:
        """Look once a second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.holder.look()


@pytest.fixture
def world(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(data_dir, monkeypatch)


HOLDS: dict[str, Any] = {"holds_slot": True}
STANDS_BY: dict[str, Any] = {"holds_slot": False}


def test_a_holder_that_is_silent_for_too_long_is_killed_once(world: World) -> None:
    world.statuses = {"a": HOLDS, "b": STANDS_BY}
    world.watch(10)
    assert world.holder.answers
    world.statuses["a"] = None
    world.watch(SILENCE_LIMIT - 1)
    assert (world.killed, world.holder.answers) == ([], True)
    world.watch(1)
    assert (world.killed, world.holder.answers) == (["a"], False)
    world.watch(10)
    assert world.killed == ["a"]


def test_one_that_answers_in_between_gets_its_time_again(world: World) -> None:
    world.statuses = {"a": HOLDS}
    world.watch(1)
    for _ in range(3):
        world.statuses["a"] = None
        world.watch(SILENCE_LIMIT - 1)
        world.statuses["a"] = HOLDS
        world.watch(1)
    assert world.killed == []


def test_a_peer_that_holds_nothing_may_be_silent(world: World) -> None:
    world.statuses = {"a": HOLDS, "b": None}
    world.watch(20)
    assert world.killed == []


def test_a_holder_is_known_by_the_lock_file_though_it_never_answered(
    world: World, data_dir: Path
) -> None:
    theirs = WriterSlot(data_dir, "instance a")
    assert theirs.try_acquire()
    world.statuses = {"a": None}
    world.watch(SILENCE_LIMIT + 1)
    assert world.killed == ["a"]
    theirs.release()


def test_one_that_took_the_slot_from_the_expected_one_and_froze_is_killed(
    world: World, data_dir: Path
) -> None:
    world.holder.expect("b")
    theirs = WriterSlot(data_dir, "instance a")
    assert theirs.try_acquire()
    world.statuses = {"a": None, "b": STANDS_BY}
    world.watch(SILENCE_LIMIT + 1)
    assert world.killed == ["a"]
    theirs.release()


def test_one_that_is_given_the_slot_has_its_time_to_take_it(world: World) -> None:
    world.statuses = {"a": STANDS_BY}
    world.holder.expect("a")
    world.watch(SILENCE_LIMIT - 1)
    assert world.holder.answers
    world.watch(20)
    assert (world.killed, world.holder.answers) == ([], False)


def test_one_that_is_given_the_slot_and_freezes_before_it_has_the_lock_is_spared(
    world: World, data_dir: Path
) -> None:
    """It keeps nobody from writing, and its workers may serve."""
    world.statuses = {"a": None}
    world.holder.expect("a")
    world.watch(20)
    assert (world.killed, world.holder.answers) == ([], False)
    # Nor while somebody else has the lock.
    command = WriterSlot(data_dir, "manage.py something")
    assert command.try_acquire()
    world.watch(20)
    assert world.killed == []
    command.release()
    # It goes on, takes the lock and stops again.
    theirs = WriterSlot(data_dir, "instance a")
    assert theirs.try_acquire()
    world.watch(SILENCE_LIMIT + 1)
    assert world.killed == ["a"]
    theirs.release()


def test_a_holder_that_has_told_so_is_killed_though_its_lock_file_was_replaced(
    world: World,
) -> None:
    """It may have been stopped in a transaction, and then nobody can write."""
    world.statuses = {"a": HOLDS}
    world.holder.expect("a")
    world.watch(1)
    world.statuses["a"] = None
    world.watch(SILENCE_LIMIT)
    assert world.killed == ["a"]


def test_a_name_that_is_left_in_the_lock_file_is_no_holder(
    world: World, data_dir: Path
) -> None:
    """Of one that took the lock, and gave it back for it could not begin."""
    theirs = WriterSlot(data_dir, "instance a")
    assert theirs.try_acquire()
    theirs.release()
    assert theirs.recorded_owner() == "a"
    world.statuses = {"a": STANDS_BY, "b": STANDS_BY}
    world.watch(1)
    assert not world.holder.answers


def test_a_holder_that_gives_the_slot_back_is_none_any_more(world: World) -> None:
    world.statuses = {"a": HOLDS}
    world.watch(1)
    world.statuses = {"a": STANDS_BY}
    world.watch(SILENCE_LIMIT)
    assert (world.killed, world.holder.answers) == ([], False)


def test_a_holder_that_drains_is_noted_and_one_that_holds_nothing_is_not(
    world: World,
) -> None:
    world.statuses = {
        "a": {"holds_slot": False, "phase": "draining"},
        "b": {"holds_slot": True, "phase": "ready"},
    }
    world.watch(1)
    assert world.holder.leaving == ""
    world.statuses["b"] = {"holds_slot": True, "phase": "draining"}
    world.watch(1)
    assert world.holder.leaving == "b"


def test_after_a_freeze_of_its_own_it_shoots_nobody_at_once(world: World) -> None:
    """Both were stopped, and it goes on first."""
    world.statuses = {"a": HOLDS}
    world.watch(2)
    world.now += 60
    world.statuses["a"] = None
    world.watch(1)
    assert (world.killed, world.holder.answers) == ([], True)
    world.statuses["a"] = HOLDS
    world.watch(10)
    assert world.killed == []


def test_without_the_knob_it_only_tells(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.knobs["KILL_FROZEN_HOLDER"] = False
    world.statuses = {"a": HOLDS}
    world.watch(1)
    world.statuses["a"] = None
    world.watch(10)
    assert world.killed == []
    assert [record.getMessage() for record in caplog.records] == [
        "event=holder_frozen holder=a silent_seconds=5.0"
    ]


def test_this_process_is_identified() -> None:
    identity = process_identity()
    assert identity["pid"] == os.getpid()
    assert identity["pid_namespace"].startswith("pid:[")
    assert identity["start_ticks"] == frozen.start_ticks(os.getpid()) > 0
