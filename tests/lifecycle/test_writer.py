"""The writer process, and what its instance does without it."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.lifecycle.instances import Instance, instance, is_alive
from tests.processes import wait_until

pytestmark = pytest.mark.process

TASKS = "tests.lifecycle.sample.tasks"


def running_writer(one: Instance, but: int = 0) -> int:
    """Return the pid of the writer process that runs the tenure, once it does."""

    def look() -> int:
        pid = int(one.status()["writer"])
        has_socket = (one.data_dir / "run" / f"{one.id}.job").exists()
        return pid if pid != but and has_socket else 0

    return wait_until(look, 10, "the writer process")


def markers(data_dir: Path) -> set[int]:
    """Return the pids of the writer processes that began the steady subsystem."""
    return {int(path.suffix[1:]) for path in data_dir.parent.glob("writer.*")}


def test_a_writer_that_is_killed_is_followed_by_another_under_a_new_epoch(
    migrated: Path, data_dir: Path
) -> None:
    with instance(
        data_dir, SAMPLE_WRITER_SUBSYSTEMS=f"{TASKS}.steady_subsystem"
    ) as one:
        one.wait_ready()
        first = running_writer(one)
        wait_until(lambda: markers(data_dir) == {first}, 5, "its subsystem")
        epoch = one.status()["epoch"]
        os.kill(first, signal.SIGKILL)
        second = running_writer(one, but=first)
        wait_until(lambda: markers(data_dir) == {first, second}, 5, "its successor's")
        assert one.events("writer_died") == [f"event=writer_died pid={first}"]
        # The slot was kept all the while, and readers noticed nothing.
        assert one.status()["phase"] == "ready"
        assert one.status()["epoch"] > epoch
        assert one.probe("/readyz")[0] == 200


def test_a_writer_dies_with_its_master(migrated: Path, data_dir: Path) -> None:
    with instance(data_dir) as one:
        one.wait_ready()
        writer = running_writer(one)
        # Stopped, it cannot read that its channel has ended: the kernel must do it.
        os.kill(writer, signal.SIGSTOP)
        one.process.kill()
        one.process.wait()
        wait_until(lambda: not is_alive(writer), 2, "its end", interval=0.005)


def test_a_subsystem_that_fails_does_not_end_the_others(
    migrated: Path, data_dir: Path
) -> None:
    with instance(
        data_dir,
        SAMPLE_WRITER_SUBSYSTEMS=f"{TASKS}.failing_subsystem {TASKS}.steady_subsystem",
    ) as one:
        one.wait_ready()
        writer = running_writer(one)
        wait_until(lambda: one.events("subsystem_failed"), 5, "its log line")
        assert one.events("subsystem_failed") == [
            f"event=subsystem_failed subsystem={TASKS}.failing_subsystem"
        ]
        assert one.log.count("ValueError: this subsystem has a bug") == 1
        assert (data_dir.parent / f"writer.{writer}").exists()
        # At the end of the instance, the other one is told to stop.
        one.process.send_signal(signal.SIGTERM)
        assert one.wait_end() == 0
        assert (data_dir.parent / f"stopped.{writer}").exists()


def test_signals_to_the_whole_group_leave_the_writer_to_its_master(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir, SHUTDOWN_GRACE_PERIOD="60s") as one:
        one.wait_ready()
        writer = running_writer(one)
        (worker,) = one.status()["workers"]
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM):
            os.killpg(one.process.pid, number)
        wait_until(lambda: one.status()["phase"] == "draining", 5, "the drain")
        assert one.get("/") == (200, "home")
        assert (is_alive(writer), is_alive(worker)) == (True, True)
        assert one.status()["workers"] == [worker]


def is_refused(one: Instance, line: str) -> bool:
    return line in one.events("refused")


def test_hup_and_usr2_are_refused_with_a_hint_and_serving_goes_on(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir) as one:
        one.wait_ready()
        (worker,) = one.status()["workers"]
        for number, name in ((signal.SIGHUP, "SIGHUP"), (signal.SIGUSR2, "SIGUSR2")):
            one.process.send_signal(number)
            line = (
                f'event=refused signal={name} hint="to deploy, start the new version '
                'beside this one, then send SIGTERM here"'
            )
            wait_until(partial(is_refused, one, line), 5, line)
            assert one.get("/") == (200, "home")
        assert one.status()["workers"] == [worker]
        assert one.probe("/readyz") == (200, "ok\n")


def test_a_worker_starter_that_fails_does_not_stop_the_worker(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir, SAMPLE_WORKER_STARTERS=f"{TASKS}.failing_starter") as one:
        one.wait_ready()
        assert one.get("/") == (200, "home")
        assert one.events("worker_starter_failed") == [
            f"event=worker_starter_failed starter={TASKS}.failing_starter"
        ]
        assert one.log.count("ValueError: this starter has a bug") == 1


def test_a_worker_that_is_replaced_does_not_turn_readyz(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir, WORKERS="2") as one:
        one.wait_ready()
        before = set(one.status()["workers"])
        os.kill(min(before), signal.SIGKILL)
        seen: set[int] = set()

        def replaced() -> bool:
            seen.add(one.probe("/readyz")[0])
            return len(set(one.status()["workers"]) - before) == 1

        wait_until(replaced, 10, "another worker")
        assert seen == {200}
