"""Instances of the sample project, as real processes."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lifecycle.peers import RunDir, UnixConnection
from tests.processes import free_port, wait_until

ROOT = Path(__file__).parents[2]
SAMPLE = "tests.lifecycle.sample"


def sample_environ(data_dir: Path, **environ: str) -> dict[str, str]:
    """Return the environment of a process of the sample project."""
    return {
        **{name: value for name, value in os.environ.items() if name != "DATA_DIR"},
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": f"{SAMPLE}.settings",
        "DATA_DIR": str(data_dir),
        "SAMPLE_SCRATCH": str(data_dir.parent),
        **environ,
    }


def manage(
    data_dir: Path, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a management command of the sample to its end."""
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=data_dir.parent,
        env=sample_environ(data_dir, **environ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class Instance:
    """
    A gunicorn master of the sample project, and what can be seen of it.

    Attributes:
        data_dir: may be shared with other instances.
        process: the master.
    """

    def __init__(self, data_dir: Path, **environ: str) -> None:
        self.data_dir = data_dir
        self.log_path = (
            data_dir.parent / f"log.{len(list(data_dir.parent.glob('log.*')))}"
        )
        environ = {
            "WORKERS": "1",
            "THREADS": "4",
            "SHUTDOWN_GRACE_PERIOD": "0",
            "SHUTDOWN_TIMEOUT": "3s",
            "LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            "INTERNAL_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            **environ,
        }
        self.public = environ["LISTEN_ADDR"]
        self.internal = environ["INTERNAL_LISTEN_ADDR"]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gunicorn",
                    "-c",
                    str(Path(__file__).parent / "sample" / "gunicorn.conf.py"),
                ],
                env=sample_environ(data_dir, **environ),
                cwd=data_dir.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self.log_path.read_text()

    def events(self, name: str) -> list[str]:
        """Return the lines of the event *name*, from 'event' on."""
        lines = (line.partition("event=")[2] for line in self.log.splitlines())
        return [f"event={line}" for line in lines if line.split(" ")[0] == name]

    @functools.cached_property
    def id(self) -> str:
        """Its name in the run folder; its sockets are there once it is known."""
        (line,) = wait_until(lambda: self.events("start"), 10, "its first line")
        return line.split("instance=")[1].split(" ")[0]

    def get(self, path: str, accept: str = "") -> tuple[int, str]:
        """Return status and body from the public port."""
        return _get(_connection(self.public), path, accept)

    def probe(self, path: str, accept: str = "") -> tuple[int, str]:
        """Return status and body from the internal port."""
        return _get(_connection(self.internal), path, accept)

    def probe_by_socket(self, path: str) -> tuple[int, str]:
        """Return status and body from its own control socket."""
        run_dir = RunDir(self.data_dir)
        return _get(UnixConnection(run_dir, f"{self.id}.ctl", 10), path, "")

    def status(self) -> dict[str, Any]:
        """Return what it tells its peers."""
        found: dict[str, Any] = json.loads(self.probe_by_socket("/status")[1])
        return found

    def wait_ready(self, timeout: float = 20) -> None:
        """Wait until its own /readyz is 200; its log is shown when it ends first."""
        self.wait_readyz(200, timeout)

    def wait_readyz(self, status: int, timeout: float = 20) -> str:
        """Wait for the *status* of its own /readyz; return the body."""

        def answer() -> str:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended:\n{self.log}")
            with contextlib.suppress(OSError, ValueError):
                found, body = self.probe_by_socket("/readyz")
                if found == status:
                    return body
            return ""

        return wait_until(answer, timeout, f"/readyz {status}")

    def wait_end(self, timeout: float = 20) -> int:
        """Wait for the master's end; return its exit status."""
        return self.process.wait(timeout)

    def children(self) -> list[int]:
        """Return the pids of its living children."""
        return children_of(self.process.pid)

    def end(self) -> None:
        """Kill whatever is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _connection(address: str) -> http.client.HTTPConnection:
    host, _, port = address.rpartition(":")
    return http.client.HTTPConnection(host.strip("[]"), int(port), timeout=10)


def _get(
    connection: http.client.HTTPConnection, path: str, accept: str
) -> tuple[int, str]:
    try:
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def refuses(address: str) -> bool:
    """Return whether nobody listens on *address*."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def children_of(pid: int) -> list[int]:
    """Return the pids of the living children of *pid*; see proc(5)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """Return whether *pid* runs, and has not just not been waited for."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z"
    return False


def run_files(data_dir: Path) -> list[str]:
    """Return the names in the run folder, by their endings where an id begins them."""
    folder = data_dir / "run"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@contextlib.contextmanager
def instance(data_dir: Path, **environ: str) -> Iterator[Instance]:
    """Start an instance on *data_dir*; whatever is left of it is killed at the end."""
    started = Instance(data_dir, **environ)
    try:
        yield started
    finally:
        started.end()
