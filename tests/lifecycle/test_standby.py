"""Instances side by side on one data directory, as seen from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lifecycle import locks
from lifecycle.slot import WriterSlot
from tests.lifecycle.instances import (
    ROOT,
    Instance,
    instance,
    is_alive,
    manage,
    refuses,
    run_files,
)
from tests.lifecycle.migrations_of import Migrations
from tests.processes import free_port, wait_until

pytestmark = pytest.mark.process

TASKS = "tests.lifecycle.sample.tasks"


def markers(data_dir: Path, name: str) -> set[int]:
    """Return the pids that the steady subsystem has written of itself as *name*."""
    return {int(path.suffix[1:]) for path in data_dir.parent.glob(f"{name}.*")}


def test_a_demoted_instance_serves_reads_and_takes_the_slot_of_a_killed_one(
    migrated: Path, data_dir: Path
) -> None:
    subsystems = f"{TASKS}.steady_subsystem"
    with instance(data_dir, SAMPLE_WRITER_SUBSYSTEMS=subsystems) as one:
        one.wait_ready()
        wait_until(lambda: markers(data_dir, "writer"), 5, "the first's subsystem")
        (first,) = markers(data_dir, "writer")
        with instance(
            data_dir,
            INTERNAL_LISTEN_ADDR=one.internal,
            SAMPLE_WRITER_SUBSYSTEMS=subsystems,
        ) as two:
            # The address of the probes is the first's; the second has its socket.
            wait_until(lambda: two.status()["holds_slot"], 15, "the handoff")
            assert two.probe_by_socket("/livez") == (200, "ok\n")
            assert two.probe_by_socket("/healthz")[0] == 200
            two.wait_ready(5)
            wait_until(lambda: one.status()["phase"] == "standby", 5, "the demotion")
            one.wait_ready(5)
            assert one.probe("/readyz") == (200, "ok\n")
            assert one.get("/entries") == (200, "0")
            # The first's subsystem had ended before the second's began.
            assert markers(data_dir, "stopped") == {first}
            wait_until(lambda: len(markers(data_dir, "writer")) == 2, 5, "the second's")
            (second,) = markers(data_dir, "writer") - {first}
            assert second == two.status()["writer"]

            two.process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            wait_until(lambda: one.status()["holds_slot"], 5, "the slot", interval=0.01)
            assert time.monotonic() - killed < 1
            # The kernel ends a writer with its master: they never write at once.
            assert not is_alive(second)
            one.wait_ready(5)
            wait_until(lambda: one.status()["phase"] == "ready", 5, "the first's turn")


def test_older_instances_do_not_take_back_what_they_cannot_live_with(
    migrated: Path, data_dir: Path, tmp_path: Path
) -> None:
    newer = Migrations(tmp_path, "migrations_of_the_newer")
    newer.write("0002_next", """[migrations.RemoveField("entry", "text")]""")
    older = {"RELEASE": "v1", "WRITER_ACQUIRE_TIMEOUT": "2s"}
    with instance(data_dir, **older) as one, instance(data_dir, **older) as other:
        for each in (one, other):
            each.wait_ready(60)
        with instance(
            data_dir,
            RELEASE="v2",
            ALLOW_BREAKING_MIGRATIONS="true",
            SAMPLE_MIGRATIONS=newer.package,
            PYTHONPATH=f"{ROOT}:{tmp_path}",
        ) as two:
            wait_until(lambda: two.status()["epoch"], 60, "the handoff")
            two.process.send_signal(signal.SIGKILL)
        # Its readers are served on, and whoever can live with it may have the slot.
        why = "[+]slot ok no writer slot: the database is newer than this code; reads only"
        for each in (one, other):
            (line,) = wait_until(partial(each.events, "slot_given_up"), 60, "a refusal")
            assert "is newer than this code: it has sample.0002_next (snapshot" in line
        for each in (one, other):
            # The lock file names one of them; neither forwards writes to it.
            wait_until(partial(says, each, why), 20, "the reason")
            assert each.probe("/readyz") == (200, "ok\n")
            assert each.status()["epoch"] == 0
        assert not locks.is_locked(data_dir / "writer.lock")


def says(one: Instance, line: str) -> bool:
    return line in one.probe("/readyz?verbose")[1].splitlines()


def test_the_internal_address_goes_over_to_who_is_left(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir) as one:
        one.wait_ready()
        with instance(data_dir, INTERNAL_LISTEN_ADDR=one.internal) as two:
            two.wait_ready()
            assert two.probe_by_socket("/readyz") == (200, "ok\n")
            one.process.send_signal(signal.SIGKILL)
            one.process.wait()
            wait_until(lambda: not refuses(two.internal), 5, "the internal address")
            assert two.probe("/readyz") == (200, "ok\n")


def test_a_drained_instance_gives_the_slot_at_its_end(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir) as one:
        one.wait_ready()
        with instance(data_dir) as two:
            wait_until(lambda: not refuses(two.public), 15, "the second's port")
            one.process.send_signal(signal.SIGTERM)
            assert one.wait_end() == 0
            two.wait_ready(5)
            assert {name.partition(".")[0] for name in run_files(data_dir)} == {two.id}


def test_a_holder_that_drains_is_asked_again_and_does_not_keep_the_slot_to_its_end(
    migrated: Path, data_dir: Path
) -> None:
    """Its last readers may be slow; nobody could write meanwhile."""
    with instance(data_dir, SHUTDOWN_TIMEOUT="30s") as one:
        one.wait_ready()
        with instance(data_dir) as two:
            two.wait_ready()
            wait_until(lambda: two.status()["epoch"], 15, "the handoff")
            done = manage(data_dir, "handoff", "acquire", one.id)
            assert done.returncode == 0, done.stderr
            with ThreadPoolExecutor(1) as pool:
                began = data_dir.parent / "began"
                slow = pool.submit(one.get, f"/slow?seconds=6&began={began}")
                wait_until(began.exists, 10, "the slow reader")
                one.process.send_signal(signal.SIGTERM)
                wait_until(lambda: two.status()["epoch"], 15, "the slot")
                assert not slow.done()
                assert slow.result() == (200, "slow")
            assert one.wait_end() == 0


def test_a_writer_that_dies_in_its_last_release_is_no_crash_of_its_version(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir, RELEASE="v1") as one:
        one.wait_ready()
        killing = {"SAMPLE_WRITER_SUBSYSTEMS": f"{TASKS}.subsystem_that_kills"}
        with instance(data_dir, RELEASE="v2", **killing) as two:
            wait_until(lambda: two.status()["epoch"], 20, "the handoff")
            (data_dir.parent / "kill").touch()
            two.process.send_signal(signal.SIGTERM)
            assert two.wait_end() == 0
        wait_until(lambda: one.status()["epoch"], 5, "the first's turn")
        with contextlib.closing(sqlite3.connect(migrated)) as there:
            query = (
                "SELECT holder, released_at FROM lifecycle_epoch WHERE version = 'v2'"
            )
            # It died before it could end its tenure.
            assert (two.id, None) in there.execute(query).fetchall()
        with instance(data_dir, RELEASE="v2") as again:
            wait_until(lambda: again.status()["epoch"], 20, "the handoff")


def test_an_instance_without_the_slot_turns_ready_for_reads_in_time(
    migrated: Path, data_dir: Path
) -> None:
    slot = WriterSlot(data_dir, "a test")
    assert slot.try_acquire()
    with instance(data_dir, WRITER_ACQUIRE_TIMEOUT="1s") as one:
        wait_until(lambda: not refuses(one.public), 15, "the port")
        one.wait_ready(5)
        assert one.probe("/readyz?verbose") == (
            200,
            "[+]phase ok standby\n"
            "[+]workers ok workers: 1 of 1 answer\n"
            "[+]slot ok no writer slot: reads only\n"
            "readyz check passed\n",
        )
        assert one.get("/entries") == (200, "0")
        assert one.status()["holds_slot"] is False
        slot.release()
        wait_until(lambda: one.status()["phase"] == "ready", 5, "the slot")


def test_a_warmup_beside_a_peer_is_nice_and_leaves_a_core_to_it(
    migrated: Path, data_dir: Path
) -> None:
    cores = len(os.sched_getaffinity(0))
    with instance(data_dir) as one:
        one.wait_ready()
        with instance(data_dir, SAMPLE_WARMUP_TASKS=f"{TASKS}.children") as two:
            child = warmup_child(data_dir)
            mine = os.nice(0)
            assert child["nice"] == mine + 10
            assert nice_of(child["pid"]) == mine + 10
            assert nice_of(two.process.pid) == mine
            assert (data_dir.parent / "processes").read_text() == str(max(1, cores - 1))


def test_a_warmup_alone_takes_all_cores_and_its_children_keep_nothing(
    migrated: Path, data_dir: Path
) -> None:
    cores = len(os.sched_getaffinity(0))
    with instance(data_dir, SAMPLE_WARMUP_TASKS=f"{TASKS}.children") as one:
        child = warmup_child(data_dir)
        assert nice_of(child["pid"]) == os.nice(0)
        assert (data_dir.parent / "processes").read_text() == str(cores)
        assert inodes_of_sockets(child["open"]) == []
        assert not [name for name in child["open"] if ".lock" in name]
        (data_dir.parent / "go").touch()
        one.wait_ready()


def warmup_child(data_dir: Path) -> dict[str, Any]:
    path = data_dir.parent / "child"
    wait_until(path.exists, 15, "the warmup's child")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def nice_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])


def inodes_of_sockets(names: list[str]) -> list[str]:
    return [name for name in names if name.startswith("socket:")]


def opened(pid: int) -> list[str]:
    """Return what *pid* has open, as links of /proc have it."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(path))  # noqa: PTH115
    return found


def test_workers_and_the_writer_keep_only_what_is_theirs(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir, WORKERS="2") as one:
        one.wait_ready()
        wait_until(lambda: len(one.status()["workers"]) == 2, 5, "the workers")
        workers = one.status()["workers"]
        wait_until(lambda: (data_dir / "run" / f"{one.id}.job").exists(), 5, "a writer")
        writer = one.status()["writer"]
        slot, own = (
            str(data_dir / "writer.lock"),
            str(data_dir / "run" / f"{one.id}.lock"),
        )
        master = opened(one.process.pid)
        assert slot in master
        assert own in master
        shared = set(inodes_of_sockets(master))
        for worker in workers:
            assert slot not in opened(worker)
            assert own not in opened(worker)
            # The public one, and the instance's own.
            assert len(shared & set(opened(worker))) == 2
        # The writer has the slot for its tenure, and serves nobody but commands.
        assert opened(writer).count(slot) == 1
        assert own not in opened(writer)
        assert not shared & set(opened(writer))
        # A worker that came after the writer has no end of its channel.
        before = set(workers)
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: set(one.status()["workers"]) - before, 10, "another worker")
        (newcomer,) = set(one.status()["workers"]) - before
        assert slot not in opened(newcomer)
        assert len(shared & set(opened(newcomer))) == 2
        assert is_alive(writer)


def test_a_peer_of_more_memory_than_is_left_is_warned_of(
    migrated: Path, data_dir: Path
) -> None:
    """A stand-in for a peer says that it takes more than any machine has."""
    from lifecycle import peers
    from lifecycle.internal_server import InternalServer
    from lifecycle.probes import ProbeApplication, json_answer

    run_dir = peers.RunDir(data_dir)
    name, descriptor = peers.register(run_dir, {"started_at": 1.0})
    status = json_answer("200 OK", {"resident_bytes": 1 << 60})
    server = InternalServer(
        run_dir.listen(f"{name}.ctl"),
        ProbeApplication({}, {"/status": lambda environ: status}),
    )
    try:
        with instance(data_dir) as one:
            one.wait_ready()
            (line,) = one.events("memory_short")
            assert line.endswith(f" peer={name} peer_mb={(1 << 60) >> 20}")
    finally:
        server.close()
        os.close(descriptor)


def test_a_peer_on_every_interface_has_the_internal_address_too(
    migrated: Path, data_dir: Path
) -> None:
    port = free_port()
    with instance(data_dir, INTERNAL_LISTEN_ADDR=f"127.0.0.1:{port}") as one:
        one.wait_ready()
        with instance(data_dir, INTERNAL_LISTEN_ADDR=f":{port}") as two:
            wait_until(lambda: not refuses(two.public), 15, "the second's port")
            one.process.send_signal(signal.SIGTERM)
            assert one.wait_end() == 0
            two.wait_ready(5)
            wait_until(lambda: not refuses(one.internal), 5, "the address")


def test_a_start_right_behind_a_leaving_peer_gets_its_internal_address(
    migrated: Path, data_dir: Path
) -> None:
    """A peer is off the list a moment before its process, and its address, are gone."""
    with socket.socket() as leaving:
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        leaving.bind(("127.0.0.1", 0))
        leaving.listen()
        address = "{}:{}".format(*leaving.getsockname())
        with instance(data_dir, INTERNAL_LISTEN_ADDR=address) as one:
            wait_until(lambda: run_files(data_dir), 5, "its files")
            leaving.close()
            one.wait_ready()
            assert one.probe("/readyz")[0] == 200
