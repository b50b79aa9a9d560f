from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.notify import Notifier

MORE_TIME = "EXTEND_TIMEOUT_USEC=30000000"


class Manager:
    """The end of the socket at which a service manager listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[list[str]]:
        """Return the lines of each message since the last look."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = str(tmp_path / "notify")
    made = Manager(path if request.param == "path" else f"@{path}")
    yield made
    made.socket.close()


def test_the_address_is_kept_from_children_and_from_gunicorn(manager):
    environ = {"NOTIFY_SOCKET": manager.address, "HOME": "/"}
    Notifier(environ)
    assert environ == {"HOME": "/"}


def test_a_start_asks_for_more_time_with_each_step_and_not_without_one(manager):
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    notifier.status("warming: 1/2", starting=True)
    notifier.status("warming: 1/2", starting=True)
    notifier.status("warming: 2/2", starting=True)
    assert manager.heard() == [
        ["STATUS=warming: 1/2", MORE_TIME],
        ["STATUS=warming: 2/2", MORE_TIME],
    ]


def test_ready_is_said_once_and_ends_the_start(manager):
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    notifier.ready()
    notifier.ready()
    notifier.status("standby: waiting for the writer slot, 1 s", starting=True)
    assert manager.heard() == [
        ["READY=1"],
        ["STATUS=standby: waiting for the writer slot, 1 s"],
    ]


def test_what_a_busy_manager_does_not_take_is_said_again(manager):
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # until the queue is full
                other.sendto(b"STATUS=noise", manager.socket.getsockname())
    notifier.ready()
    notifier.status("ready")
    assert {line for lines in manager.heard() for line in lines} == {"STATUS=noise"}
    for _ in range(2):  # ticks
        notifier.ready()
        notifier.status("ready")
    assert manager.heard() == [["READY=1"], ["STATUS=ready"]]


def test_a_drain_is_told(manager):
    Notifier({"NOTIFY_SOCKET": manager.address}).stopping()
    assert manager.heard() == [["STOPPING=1", "STATUS=draining"]]


def test_a_manager_that_is_gone_ends_nothing(manager):
    manager.socket.close()
    Notifier({"NOTIFY_SOCKET": manager.address}).ready()


def test_without_a_manager_nothing_is_sent():
    Notifier({}).ready()
