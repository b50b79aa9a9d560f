"""Workers that die, freeze or hang, and a master that is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import signal
import socket
import time

import pytest

from bench.probes import Poller
from tests.deploys.scene import address_of, get, wait_gone
from tests.processes import wait_until

pytestmark = pytest.mark.process


def test_a_killed_worker_is_replaced_and_the_instance_stays_ready(scene, listener):
    instance = scene.start(listener=listener)
    before = set(scene.workers(instance))
    assert len(before) == 2
    killed = min(before)
    with Poller(instance.internal, "/readyz") as readyz:
        os.kill(killed, signal.SIGKILL)
        after = wait_until(
            lambda: (
                set(now)
                if len(now := scene.workers(instance)) == 2 and killed not in now
                else set()
            ),
            20,
            "a new worker",
        )
    assert len(after & before) == 1
    assert {one.status for one in readyz.seen} == {200}
    assert get(address_of(listener))[0].status == 200


def test_an_aborted_worker_says_where_it_hangs_and_is_replaced(scene, listener):
    instance = scene.start(listener=listener)
    aborted, _ = scene.workers(instance)
    os.kill(aborted, signal.SIGABRT)
    wait_until(
        lambda: len(now := scene.workers(instance)) == 2 and aborted not in now,
        20,
        "a new worker",
    )
    assert f"Worker exiting (pid: {aborted})" in instance.output
    stack = instance.output.partition("(most recent call first):")[2]
    assert "wait_for_and_dispatch_events" in stack


def test_stopped_workers_turn_readiness_off_and_are_replaced(scene, listener):
    instance = scene.start(listener=listener)
    frozen = scene.workers(instance)
    with Poller(instance.internal, "/livez") as livez:
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        wait_until(lambda: instance.probe("/readyz").status == 503, 10, "/readyz 503")
        unready_after = time.monotonic() - stopped_at
        seen = instance.probe("/readyz")
        assert (seen.status, seen.text) == (503, "workers: 0 of 2 answer")
        wait_until(
            lambda: len(now := scene.workers(instance)) == 2 and not {*now} & {*frozen},
            30,
            "two new workers",
        )
        instance.wait_ready()
    assert unready_after <= 5
    assert {one.status for one in livez.seen} == {200}
    assert get(address_of(listener))[0].status == 200


def test_threads_that_all_hang_turn_readiness_off(scene, listener):
    instance = scene.start(
        listener=listener, THREADS="2", WORKERS="2", SHUTDOWN_TIMEOUT="1s"
    )
    workers = {str(pid) for pid in scene.workers(instance)}

    def stuck() -> bool:
        """Whether both threads of both workers hang; send one more, if not."""
        names = [path.name.split("-") for path in scene.data_dir.glob("stuck-*")]
        threads = {(pid, thread) for _, pid, thread in names}
        if len(threads) == 4:
            return {pid for pid, _ in threads} == workers
        client = socket.create_connection(listener.getsockname())
        clients.enter_context(client)
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return False

    with contextlib.ExitStack() as clients, Poller(instance.internal, "/livez") as live:
        wait_until(stuck, 20, "every thread hanging")
        stuck_at = time.monotonic()
        wait_until(lambda: instance.probe("/readyz").status == 503, 10, "/readyz 503")
        unready_after = time.monotonic() - stuck_at
        seen = instance.probe("/readyz")
        assert (seen.status, seen.text) == (503, "workers: 0 of 2 answer")
        assert unready_after <= 5
        assert {one.status for one in live.seen} == {200}
        instance.send(signal.SIGTERM)
        instance.wait(timeout=20)
    assert instance.group_pids() == []


def test_one_hung_worker_of_two_leaves_the_instance_ready(scene, listener):
    instance = scene.start(listener=listener)
    first, *_ = scene.workers(instance)
    os.kill(first, signal.SIGSTOP)
    with Poller(instance.internal, "/readyz") as readyz:
        wait_gone([first], 30)  # gunicorn's time-out
    assert {one.status for one in readyz.seen} == {200}


def test_a_machine_that_stood_still_kills_no_worker(scene, listener):
    """Every process stops, as in a paused VM; the master is the first to go on."""
    instance = scene.start(listener=listener, WRITE_HOLD_TIMEOUT="6s")  # time-out: 2 s
    family, workers = instance.group_pids(), set(scene.workers(instance))
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    stopped_at = time.monotonic()
    wait_until(lambda: time.monotonic() - stopped_at > 4, 10, "heartbeats that are old")
    instance.send(signal.SIGCONT)
    # Its loop has run, and so has looked at the workers.
    wait_until(lambda: instance.probe("/livez").status == 200, 10, "/livez 200")
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    instance.wait_ready()
    assert set(scene.workers(instance)) == workers
    assert "event=worker_silent" not in instance.output


def test_a_worker_that_is_slow_keeps_what_it_reads(scene, listener):
    instance = scene.start(listener=listener, WRITE_HOLD_TIMEOUT="6s")  # time-out: 2 s
    workers = scene.workers(instance)
    assert get(address_of(listener), "/hung?5", timeout=60)[0].status == 200
    assert scene.workers(instance) == workers


def test_a_worker_that_hangs_in_a_write_is_replaced_soon(scene, listener):
    """It may have SQLite's lock, and a write that is held waits for 6 s here."""
    run(scene, {"tests.deploys.application": "tests.deploys.writing_application"})
    instance = scene.start(listener=listener, WRITE_HOLD_TIMEOUT="6s")  # time-out: 2 s
    workers = set(scene.workers(instance))
    begun = time.monotonic()
    with pytest.raises(ConnectionError):
        get(address_of(listener), "/hung?25", timeout=60, method="POST")
    assert time.monotonic() - begun < 25
    wait_until(lambda: len(scene.workers(instance)) == 2, 20, "a new worker")
    assert len(workers & set(scene.workers(instance))) == 1
    assert "event=worker_silent" in instance.output


def test_a_socket_that_was_made_to_block_keeps_no_worker(scene, listener):
    """As systemd does when it starts another unit on it, without NonBlocking=yes."""
    instance = scene.start(listener=listener, WORKERS="4")
    address = address_of(listener)
    with contextlib.ExitStack() as stack:
        kept: dict[int, http.client.HTTPConnection] = {}
        while set(kept) != set(scene.workers(instance)):
            client = http.client.HTTPConnection(address.host, address.port, timeout=5)
            stack.callback(client.close)
            kept[ask(client)] = client
        for _ in range(200):
            listener.setblocking(True)
            assert get(address, "/pid")[0].status == 200
            assert [ask(client) for client in kept.values()] == [*kept]


def test_a_worker_that_never_begins_or_that_hangs_for_good_is_replaced(scene, listener):
    """gunicorn's time-out counts from the first heartbeat, and the first has none."""
    run(scene, {"gunicorn": "tests.deploys.stuck"})
    instance = scene.start(listener=listener, WRITE_HOLD_TIMEOUT="6s")  # time-out: 2 s
    assert "event=worker_does_not_begin " in instance.output
    workers = set(scene.workers(instance))
    assert len(workers) == 2
    with pytest.raises(ConnectionError):
        get(address_of(listener), "/hung?60", timeout=90)
    wait_until(
        lambda: len(now := set(scene.workers(instance))) == 2 and now != workers,
        20,
        "a new worker",
    )


def test_a_killed_master_takes_its_workers_along_and_frees_the_slot(scene, listener):
    first = scene.start(listener=listener)
    family = first.group_pids()
    assert len(family) == 4  # master, two workers, the writer
    first.send(signal.SIGKILL)
    first.wait()
    wait_gone(family, 2)
    second = scene.start(listener=listener)
    assert scene.status(second)["holds_slot"]
    assert get(address_of(listener))[0].status == 200
    run_dir = scene.data_dir / "run"
    left = {path.name.split(".")[0] for path in run_dir.iterdir()}
    assert left == {scene.status(second)["id"]}, "files of the dead instance are left"


def test_an_orphaned_worker_holds_no_lock(scene, listener):
    """A worker that outlives its master, here frozen, does not keep the slot."""
    first = scene.start(listener=listener)
    frozen = scene.workers(first)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    first.send(signal.SIGKILL)
    first.wait()
    second = scene.start(listener=listener)
    assert scene.status(second)["holds_slot"]
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    wait_gone(frozen, 5)


def run(scene, modules):
    """Let the instances of *scene* run other modules than the usual ones."""
    command = [
        ":".join(modules.get(name, name) for name in word.split(":"))
        for word in scene.stage.command
    ]
    scene.stage = dataclasses.replace(scene.stage, command=command)


def ask(client):
    """Return the pid of the worker that answers on this connection."""
    client.request("GET", "/pid")
    return int(client.getresponse().read())
