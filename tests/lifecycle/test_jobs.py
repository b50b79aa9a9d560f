"""Work handed over to the writer, or done by a guest that takes the slot."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.job_server import JobServer
from lifecycle.peers import RunDir
from lifecycle.slot import WriterSlot
from tests.lifecycle.instances import Instance, instance, sample_environ
from tests.processes import wait_until

# A command that runs one job, as sync_vault does.
RUN = """
import json, sys
import django
django.setup()
from lifecycle.exceptions import LifecycleError
from lifecycle.jobs import run_as_writer
try:
    result = run_as_writer(sys.argv[1], json.loads(sys.argv[2]), print)
except LifecycleError as exc:
    print(exc, file=sys.stderr)
    sys.exit(exc.returncode)
print(json.dumps(result))
"""


def start(data_dir: Path, name: str, **params: Any) -> subprocess.Popen[str]:
    """Start a command that runs the job *name* of the sample."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, name, json.dumps(params)],
        env=sample_environ(data_dir, SAMPLE_JOB_TIMEOUT="1"),
        cwd=data_dir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(data_dir: Path, name: str, **params: Any) -> tuple[int, list[str], str]:
    """Run the job *name*; return exit status, output lines, and the last error line."""
    process = start(data_dir, name, **params)
    output, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors, errors
    return process.returncode, output.splitlines(), errors.strip().rpartition("\n")[2]


@contextlib.contextmanager
def holder(data_dir: Path) -> Iterator[Instance]:
    """An instance that holds the slot and takes jobs."""
    with instance(data_dir) as one:
        one.wait_ready()
        job_socket = data_dir / "run" / f"{one.id}.job"
        wait_until(job_socket.exists, 10, "the writer's socket")
        yield one


@pytest.mark.process
def test_a_living_holder_gets_the_work(migrated: Path, data_dir: Path) -> None:
    with holder(data_dir) as one:
        status, lines, _ = run(data_dir, "count", entries=2)
        assert status == 0
        assert lines[:2] == ["{'done': 1}", "{'done': 2}"]
        assert json.loads(lines[2]) == {"entries": 2, "pid": one.status()["writer"]}
        assert one.get("/entries") == (200, "2")


@pytest.mark.process
def test_a_job_that_fails_or_refuses_is_one_line(
    migrated: Path, data_dir: Path
) -> None:
    with holder(data_dir) as one:
        writer = one.status()["writer"]
        assert run(data_dir, "refuse") == (
            3,
            [],
            "would remove 11 of 12 entries; add --delete",
        )
        assert run(data_dir, "fail") == (
            1,
            [],
            f"fail failed in the writer (pid {writer}); its log has the reason",
        )
        assert run(data_dir, "not_json")[0] == 1
        # The reason is in the log, and in the log only.
        assert "ValueError: something private" in one.log
        assert run(data_dir, "count", entries=1)[0] == 0


@pytest.mark.process
def test_a_client_that_goes_away_does_not_end_its_job(
    migrated: Path, data_dir: Path
) -> None:
    began, go = data_dir.parent / "began", data_dir.parent / "go"
    with holder(data_dir) as one:
        client = start(data_dir, "wait", began=str(began), go=str(go))
        wait_until(began.exists, 10, "the job")
        client.kill()
        client.communicate()
        # The next one waits for its turn.
        second = start(data_dir, "count", entries=1)
        go.touch()
        output, _ = second.communicate(timeout=20)
        assert second.returncode == 0
        assert json.loads(output.splitlines()[-1])["entries"] == 1
        assert len(one.events("job_end")) == 2
        assert "Traceback" not in one.log


@pytest.mark.process
def test_a_holder_that_dies_during_a_job_is_named(
    migrated: Path, data_dir: Path
) -> None:
    began = data_dir.parent / "began"
    with holder(data_dir) as one:
        client = start(data_dir, "wait", began=str(began), go="/no/such/file")
        wait_until(began.exists, 10, "the job")
        one.process.kill()
        _, errors = client.communicate(timeout=20)
        assert client.returncode == 3
        assert errors == (
            f"Instance {one.id} (pid {one.process.pid}) went away during wait; "
            "run it again.\n"
        )


def test_without_a_holder_the_command_takes_the_slot(
    migrated: Path, data_dir: Path
) -> None:
    began, go = data_dir.parent / "began", data_dir.parent / "go"
    client = start(data_dir, "wait", began=str(began), go=str(go))
    wait_until(began.exists, 10, "the job")
    slot = WriterSlot(data_dir, "another")
    assert not slot.try_acquire()
    assert slot.describe_holder() == f"manage.py wait (pid {client.pid})"
    go.touch()
    output, errors = client.communicate(timeout=20)
    assert (client.returncode, output) == (0, '{"waited": true}\n'), errors
    assert slot.try_acquire()
    slot.release()
    status, lines, _ = run(data_dir, "count", entries=3)
    assert (status, json.loads(lines[-1])["entries"]) == (0, 3)


def test_a_holder_that_takes_no_work_is_named_with_status_three(
    migrated: Path, data_dir: Path
) -> None:
    slot = WriterSlot(data_dir, "manage.py import")
    assert slot.try_acquire()
    status, lines, error = run(data_dir, "count", entries=1)
    slot.release()
    assert (status, lines) == (3, [])
    assert error.startswith("The writer slot is held by manage.py import (pid ")
    assert error.endswith(
        "), which takes no work now (waited 1 s). Try again when it is done."
    )


# -- the server alone, with jobs of the test's own


@pytest.fixture
def server(tmp_path: Path, settings: Any) -> Iterator[JobServer]:
    settings.LIFECYCLE_JOBS = {
        "chatty": "tests.lifecycle.test_jobs.chatty",
        "wait": "tests.lifecycle.test_jobs.wait_for_gate",
    }
    run_dir = RunDir(tmp_path)
    run_dir.create()
    made = JobServer(run_dir, "x.job")
    made.start()
    yield made
    gate.set()
    made.close(5)


gate = threading.Event()
said = threading.Event()


def chatty(params: dict[str, Any], progress: Any) -> dict[str, Any]:
    """Say much more than a socket's buffer holds."""
    for _ in range(200):
        progress({"padding": "x" * 10_000})
    said.set()
    return {}


def wait_for_gate(params: dict[str, Any], progress: Any) -> dict[str, Any]:
    said.set()
    assert gate.wait(20)
    return {"done": True}


def connect(tmp_path: Path, request: bytes) -> socket.socket:
    connection = RunDir(tmp_path).connect("x.job", timeout=20)
    connection.sendall(request)
    return connection


def lines_of(connection: socket.socket) -> list[dict[str, Any]]:
    with connection, connection.makefile("rb") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.parametrize(
    ("request_", "answers"),
    [
        (
            b'{"name": "x", "params": {}}\n',
            [
                {"accepted": True},
                {"error": "no job is named 'x' here", "returncode": 2},
            ],
        ),
        (
            b'{"params": {}}\n',
            [{"accepted": True}, {"error": "no job can be read here", "returncode": 2}],
        ),
        (
            b"[1]\n",
            [{"accepted": True}, {"error": "no job can be read here", "returncode": 2}],
        ),
        (b"nonsense\n", []),
        (b"\n", []),
    ],
)
def test_a_request_that_is_none_is_refused(
    server: JobServer, tmp_path: Path, request_: bytes, answers: list[dict[str, Any]]
) -> None:
    assert lines_of(connect(tmp_path, request_)) == answers


def test_a_client_that_reads_nothing_holds_up_its_job_once_only(
    server: JobServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each further line would wait for it as long as the first did."""
    monkeypatch.setattr("lifecycle.job_server._REQUEST_TIMEOUT", 0.2)
    said.clear()
    with connect(tmp_path, b'{"name": "chatty", "params": {}}\n'):
        assert said.wait(10)


def test_closing_waits_for_the_job_that_runs_and_takes_no_more(
    server: JobServer, tmp_path: Path
) -> None:
    said.clear()
    gate.clear()
    first = connect(tmp_path, b'{"name": "wait", "params": {}}\n')
    assert said.wait(10)
    second = connect(tmp_path, b'{"name": "wait", "params": {}}\n')
    assert second.recv(100) == b'{"accepted": true}\n'
    assert server.close(0.05) is False
    with pytest.raises(FileNotFoundError):
        connect(tmp_path, b"")
    gate.set()
    assert lines_of(first) == [{"accepted": True}, {"result": {"done": True}}]
    assert lines_of(second) == [
        {"error": "this instance is stopping; try again", "returncode": 3}
    ]
    assert server.close(5) is True
