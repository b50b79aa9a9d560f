"""Instances of a stage, and what is seen of them from outside."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.instance import Instance
from bench.stage import Stage
from lifecycle import peers
from lifecycle.knobs import Address
from tests.processes import free_port, wait_until

PATIENCE = 60.0
"""Seconds after which a request is lost to a test: a busy machine loses none."""


class Scene:
    """Starts instances on one stage and ends them all when it is left."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._instances = contextlib.ExitStack()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._instances.close()

    @property
    def data_dir(self) -> Path:
        """The data directory of all instances."""
        return Path(self.stage.knobs["DATA_DIR"])

    def start(
        self,
        *,
        listener: socket.socket | None = None,
        public: Address | None = None,
        grace: float | None = None,
        ready: bool = True,
        **knobs: str,
    ) -> Instance:
        """Start an instance with *knobs*; wait until it is *ready*."""
        stage = dataclasses.replace(
            self.stage,
            grace=self.stage.grace if grace is None else grace,
            environ=(*self.stage.environ, *knobs.items()),
        )
        instance = stage.instance(listener=listener, public=public)
        self._instances.enter_context(instance)
        instance.start()
        if ready:
            instance.wait_ready()
        return instance

    def status(self, instance: Instance) -> dict[str, Any]:
        """Return what the instance says of itself to its peers."""
        run_dir = peers.RunDir(self.data_dir)
        for peer in peers.living(run_dir):
            if peer.record["pid"] == instance.pid:
                return peers.ask(run_dir, peer, "/status")
        raise LookupError(f"no living instance has pid {instance.pid}")

    def workers(self, instance: Instance) -> list[int]:
        """Return the pids of its workers that serve."""
        return list(self.status(instance)["workers"])


def address_of(listener: socket.socket) -> Address:
    """Return where *listener* listens."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def free_address() -> Address:
    """Return an address of this machine that is free."""
    return Address("127.0.0.1", free_port())


def get(
    address: Address, path: str = "/", timeout: float = 10.0, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the answer to one request on a connection of its own, read to its end."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def is_listening(address: Address) -> bool:
    """Return whether a connection to *address* is taken."""
    try:
        socket.create_connection((address.host, address.port), timeout=5).close()
    except ConnectionError:
        return False
    return True


def wait_gone(pids: list[int], timeout: float) -> None:
    """Wait until none of *pids* lives."""
    wait_until(
        lambda: not [pid for pid in pids if _lives(pid)], timeout, f"{pids} being gone"
    )


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
