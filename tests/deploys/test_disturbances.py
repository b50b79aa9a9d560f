"""What happens to a server besides deploys, while readers come."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from bench.load import Plan
from bench.load_process import LoadProcess
from tests.deploys.scene import PATIENCE, Scene, address_of, get
from tests.processes import wait_until

pytestmark = pytest.mark.process


def test_a_worker_that_is_killed_in_a_drain_costs_nothing_but_its_requests(
    scene, listener
):
    """The grace goes on, on the other worker and on the one that replaces it."""
    instance = scene.start(listener=listener, grace=3)
    killed, other = scene.workers(instance)
    began = time.monotonic()
    instance.send(signal.SIGTERM)
    wait_until(lambda: instance.probe("/readyz").status == 503, 10, "the drain")
    os.kill(killed, signal.SIGKILL)
    pids = set()
    while instance.is_running and "event=accepting_ends" not in instance.output:
        response, body = get(address_of(listener), "/pid", timeout=30)
        assert response.status == 200
        pids.add(int(body))
        time.sleep(0.02)  # not to keep both cores from the new worker
    assert instance.wait() == 0
    assert time.monotonic() - began >= 3
    assert pids >= {other}
    assert killed not in pids
    assert instance.output.count("Booting worker with pid") == 3
    assert "Traceback" not in instance.output


def test_workers_that_are_replaced_after_so_many_requests_lose_none(
    scene, listener, uncovered
):
    """gunicorn's max_requests, which many set against leaks."""
    arguments = "--max-requests=40 --max-requests-jitter=20"
    instance = scene.start(
        listener=listener, GUNICORN_CMD_ARGS=arguments, PROBE_WINDOW="16s"
    )
    # Whoever starts it is told what would lose some, behind a load balancer.
    assert "event=hazard id=lifecycle.W002 " in instance.output
    pages = [f"/page-{n}" for n in range(10)]
    plan = Plan(
        address_of(listener), pages, 100, grace=scene.stage.grace, timeout=PATIENCE
    )
    with LoadProcess(plan) as load:
        wait_until(
            lambda: instance.output.count("Booting worker with pid") >= 8,
            60,
            "six workers replaced",
        )
        report = load.stop()
    assert report.lost == []
    assert report.reads_kept == report.reads > 6 * 40
    assert instance.probe("/readyz").status == 200
    assert "Traceback" not in instance.output


def limited(scene: Scene, limits: str) -> Scene:
    """Let the next instances start with these soft and hard limits of open files."""
    command = ("prlimit", f"--nofile={limits}", *scene.stage.command)
    scene.stage = dataclasses.replace(scene.stage, command=command)
    return scene


def test_more_connections_than_files_may_be_open_end_no_worker(scene, listener):
    """systemd lets a service have 1024; its workers accept 1000 each."""
    instance = limited(scene, "128:128").start(listener=listener)
    workers = scene.workers(instance)
    with contextlib.ExitStack() as clients:
        for _ in range(400):
            client = socket.create_connection(listener.getsockname(), timeout=30)
            clients.enter_context(client)
        wait_until(lambda: "Too many open files" in instance.output, 20, "the limit")
    # Those that waited are served, and nobody was reset.
    assert get(address_of(listener), timeout=30)[0].status == 200
    assert scene.workers(instance) == workers


def test_as_many_files_may_be_open_as_the_system_allows(scene, listener):
    instance = limited(scene, "128:4096").start(listener=listener)
    for pid in (instance.pid, *scene.workers(instance)):
        (line,) = (
            line
            for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
            if line.startswith("Max open files")
        )
        assert line.split()[3:5] == ["4096", "4096"]
