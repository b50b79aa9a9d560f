"""
Instances of one data directory, and how they find one another.

Each has a lock file in DATA_DIR/run, and lives as long as the lock on it:
unlocked means dead, and anybody may clean up after it. Pids are only shown to
people.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import secrets
import socket
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lifecycle import locks

# sun_path of sockaddr_un, less its closing NUL; see unix(7).
_MAX_SOCKET_PATH = 107
# Of this process; forked while one is open, a child has a copy of it.
_connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()


class RunDir:
    """DATA_DIR/run: lock files and sockets of the living instances."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run"

    def create(self) -> None:
        """Make the folder, for this user only. Idempotent."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.stat().st_mode & 0o077:
            # Made by hand, or unpacked: whoever may write here may pose as a peer.
            self.path.chmod(0o700)

    @contextlib.contextmanager
    def reachable(self, name: str) -> Iterator[str]:
        """Return a path of *name* in the folder that is short enough for a socket."""
        path = str(self.path / name)
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            yield path
            return
        folder = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{name}"
        finally:
            os.close(folder)

    def listen(self, name: str, backlog: int = 128) -> socket.socket:
        """Return a unix socket that listens as *name*, mode 0600."""
        (self.path / name).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The folder is closed to others, so nobody connects before the chmod.
        with self.reachable(name) as path:
            listener.bind(path)
        (self.path / name).chmod(0o600)
        listener.listen(backlog)
        return listener

    def connect(self, name: str, timeout: float) -> socket.socket:
        """
        Return a connection to the socket *name*; *timeout* in seconds.

        Raises:
            OSError: nobody listens there, or not in time.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _connections.add(connection)
        connection.settimeout(timeout)
        try:
            with self.reachable(name) as path:
                connection.connect(path)
        except OSError:
            connection.close()
            raise
        return connection


@dataclasses.dataclass(frozen=True)
class Peer:
    """
    A living instance.

    Attributes:
        id: names its files in the run folder.
        record: what it wrote about itself at its start.
    """

    id: str
    record: dict[str, Any]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket of the run folder."""

    def __init__(self, run_dir: RunDir, name: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._run_dir = run_dir
        self._name = name
        self._seconds = timeout

    def connect(self) -> None:
        """Connect to the unix socket."""
        self.sock = self._run_dir.connect(self._name, self._seconds)


def close_in_child() -> None:
    """Close the copies of connections that a fork made. For a child, right after it."""
    for connection in list(_connections):
        # close() would wait for the answer's reader, whose thread is not here.
        if (descriptor := connection.detach()) >= 0:
            os.close(descriptor)
    _connections.clear()


def register(run_dir: RunDir, record: dict[str, Any]) -> tuple[str, int]:
    """
    Make this instance known; return its id and the descriptor that keeps it alive.

    The file is locked before it gets its name, so that nobody ever sees an
    unlocked one of a living instance.
    """
    run_dir.create()
    instance_id = secrets.token_hex(4)
    temporary = run_dir.path / f".{instance_id}.new"
    descriptor = os.open(
        temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
    )
    os.write(descriptor, json.dumps(record).encode())
    locks.try_lock(descriptor)
    temporary.rename(run_dir.path / f"{instance_id}.lock")
    return instance_id, descriptor


def unregister(run_dir: RunDir, instance_id: str) -> None:
    """
    Remove the files of an instance, its lock file last. Idempotent.

    Whatever bears the id is one: sockets, and what a killed warmup left behind
    (a hidden file may be a whole copy of the database).
    """
    lock = run_dir.path / f"{instance_id}.lock"
    for pattern in (f"{instance_id}.*", f".{instance_id}.*"):
        for path in run_dir.path.glob(pattern):
            if path != lock:
                path.unlink(missing_ok=True)
    lock.unlink(missing_ok=True)


def living(run_dir: RunDir, but: str = "") -> list[Peer]:
    """
    Return the living instances less *but*, and clean up after the dead ones.

    The order is that of their start.
    """
    found: list[tuple[float, Peer]] = []
    for path in sorted(run_dir.path.glob("*.lock")):
        if path.stem == but:
            continue
        try:
            if locks.is_locked(path):
                record = json.loads(path.read_text())
                found.append((record.get("started_at", 0.0), Peer(path.stem, record)))
            else:
                unregister(run_dir, path.stem)
        except (OSError, ValueError):
            continue  # it went away, or it is not ours to read
    return [peer for _, peer in sorted(found, key=lambda pair: pair[0])]


def ask(run_dir: RunDir, peer: Peer, path: str, timeout: float = 2.0) -> dict[str, Any]:
    """
    Return the JSON that *peer* answers to GET *path* on its control socket.

    Raises:
        OSError: it does not answer within *timeout* seconds, or not in JSON.
    """
    return _exchange(run_dir, peer, path, None, timeout)


def post(
    run_dir: RunDir, peer: Peer, path: str, body: dict[str, Any], timeout: float
) -> dict[str, Any]:
    """
    Return the JSON that *peer* answers to POST *path* on its control socket.

    Raises:
        OSError: it does not answer within *timeout* seconds, or not in JSON.
    """
    return _exchange(run_dir, peer, path, body, timeout)


def _exchange(
    run_dir: RunDir,
    peer: Peer,
    path: str,
    body: dict[str, Any] | None,
    timeout: float,
) -> dict[str, Any]:
    connection = UnixConnection(run_dir, f"{peer.id}.ctl", timeout)
    try:
        connection.request(
            "GET" if body is None else "POST",
            path,
            body=None if body is None else json.dumps(body),
            headers={"Accept": "application/json"},
        )
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (http.client.HTTPException, ValueError) as exc:
        raise OSError(f"instance {peer.id} gave no answer that can be read") from exc
    finally:
        connection.close()
    if response.status != 200 or not isinstance(answer, dict):
        raise OSError(f"instance {peer.id} gave no answer that can be read")
    return answer
