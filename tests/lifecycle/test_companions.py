"""Companions: what works beside the workers, and how it ends."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lifecycle import companions
from lifecycle.companions import Companion
from tests.lifecycle.instances import Instance, instance, is_alive
from tests.processes import wait_until

TASKS = "tests.lifecycle.sample.tasks"


def _pids(one: Instance, name: str) -> set[int]:
    """Return the pids of the processes that left the marker *name*."""
    return {int(path.suffix[1:]) for path in one.data_dir.parent.glob(f"{name}.*")}


@pytest.mark.process
def test_a_companion_is_followed_by_another_and_ends_with_its_master(
    migrated: Path, data_dir: Path
) -> None:
    with instance(
        data_dir, SAMPLE_COMPANIONS=f"{TASKS}.steady_companion", WORKERS="2"
    ) as one:
        one.wait_ready()
        assert _pids(one, "made") == {one.process.pid}
        (first,) = wait_until(lambda: _pids(one, "companion"), 10, "the companion")
        assert one.status()["companions"] == [first]
        # The master decides when it ends.
        for number in (signal.SIGHUP, signal.SIGUSR2):
            os.killpg(one.process.pid, number)
        workers = one.status()["workers"]
        os.kill(first, signal.SIGKILL)
        (second,) = wait_until(
            lambda: _pids(one, "companion") - {first}, 20, "its successor"
        )
        assert one.status()["workers"] == workers
        assert one.probe("/readyz")[0] == 200
        (line,) = one.events("companion_ended")
        assert f"name={TASKS}.steady_companion pid={first} " in line
        # Stopped, it cannot do anything about it itself.
        os.kill(second, signal.SIGSTOP)
        one.process.send_signal(signal.SIGTERM)
        assert one.wait_end() == 0
        assert not is_alive(second)


@pytest.mark.process
def test_work_after_ready_is_done_once_at_the_lowest_priority(
    migrated: Path, data_dir: Path
) -> None:
    with instance(
        data_dir,
        SAMPLE_AFTER_READY=f"{TASKS}.background {TASKS}.failing_background",
    ) as one:
        one.wait_ready()
        lines = wait_until(
            lambda: found if len(found := one.events("companion_ended")) == 2 else [],
            20,
            "the end of both",
        )
        (pid,) = _pids(one, "background")
        assert (data_dir.parent / f"background.{pid}").read_text() == "19"
        assert sum(f"name={TASKS}.background pid={pid} " in line for line in lines) == 1
        assert one.events("companion_crashed") == [
            f"event=companion_crashed name={TASKS}.failing_background"
        ]
        # Neither comes again: the loop has ticked by the time it drains.
        one.process.send_signal(signal.SIGTERM)
        assert one.wait_end() == 0
        assert len(one.events("companion_started")) == 2


def test_one_that_ends_at_once_is_started_ever_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    starts: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(companions, "has_exited", lambda pidfd, timeout: True)
    monkeypatch.setattr(Companion, "_forget", lambda self: setattr(self, "pid", 0))

    def start(self: Companion) -> None:
        self.pid, self._started_at = 1, now
        starts.append(now)

    monkeypatch.setattr(Companion, "_start", start)
    run: Callable[[], None] = lambda: None  # noqa: E731 - it is never called
    companion = Companion(None, "sample", run)  # type: ignore[arg-type]
    for _ in range(1500):
        companion.tend()
        now += 0.25
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert pauses[:10] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_one_that_has_ended_and_was_reaped_is_stopped_without_a_word() -> None:
    """gunicorn's loop reaps every child of the master."""
    master = SimpleNamespace(master_pid=os.getpid(), become_child=lambda **kept: None)
    companion = Companion(master, "short", lambda: None)  # type: ignore[arg-type]
    companion.tend()
    assert os.waitpid(companion.pid, 0)[1] == 0
    companion.stop()
    assert companion.pid == 0
