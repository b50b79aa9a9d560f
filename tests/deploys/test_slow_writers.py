"""
Writers never keep readers waiting: at most half of the threads are theirs.

200 clients write slowly at once, by a slow body or into a slow view. As many as
there are seats wait; each other one is turned away at once; readers notice nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import statistics
import sys
import time
from collections.abc import Iterator

import pytest

from lifecycle.knobs import Address
from tests.deploys.scene import Scene, address_of, get
from tests.processes import wait_until

pytestmark = pytest.mark.process

# Elsewhere the machine may have other work: there only the counts are judged.
SOAK = os.environ.get("SOAK") == "1"
WRITERS = 200
SEATS = 2 * 32 // 2


@pytest.fixture
def writing_scene(small_stage) -> Iterator[Scene]:
    """Start instances of the small site that takes writes."""
    stage = dataclasses.replace(
        small_stage,
        command=(
            *(sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"),
            "tests.deploys.writing_application:application",
        ),
    )
    with Scene(stage) as made:
        yield made


class Writers:
    """Clients that have sent all or a part of a write, and what they were answered."""

    def __init__(self, address: Address, body: bytes, declared: int) -> None:
        self.began_at = time.monotonic()
        head = f"PUT /api/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: {declared}\r\n\r\n"
        self._clients: list[socket.socket] = []
        self.answers: dict[socket.socket, bytes] = {}
        self.last_answer_at = 0.0
        for _ in range(WRITERS):
            client = socket.create_connection((address.host, address.port))
            self._clients.append(client)
            client.sendall(head.encode() + body)
            client.setblocking(False)

    def read(self) -> list[bytes]:
        """Return the answers that have come so far."""
        for client in self._clients:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                while data := client.recv(65536):
                    self.answers[client] = self.answers.get(client, b"") + data
                    self.last_answer_at = time.monotonic()
        return list(self.answers.values())

    def trickle(self) -> None:
        """Send one more byte of each body."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.send(b"x")

    def close(self) -> None:
        for client in self._clients:
            client.close()


def latencies(address: Address, count: int) -> list[float]:
    """Return how long each of *count* reads took, each on its own connection."""
    found = []
    for _ in range(count):
        began = time.monotonic()
        response, body = get(address, "/page-1", timeout=30)
        found.append(time.monotonic() - began)
        assert response.status == 200
        assert body.endswith(b"</html>\n")
    return found


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[-1]


@pytest.mark.parametrize("slow", ["body", "view"])
def test_slow_writers_keep_no_reader_waiting(writing_scene, listener, slow):
    writing_scene.start(listener=listener)
    address = address_of(listener)
    alone = latencies(address, 200)
    declared = 1000 if slow == "body" else 10
    with contextlib.closing(Writers(address, b"0123456789", declared)) as writers:
        # Those who are turned away hear of it at once; the others wait.
        wait_until(lambda: len(writers.read()) >= WRITERS - SEATS, 20, "the refusals")
        refused_after = writers.last_answer_at - writers.began_at
        beside = []
        for _ in range(20):
            if slow == "body":
                writers.trickle()
            beside += latencies(address, 20)
        # All of these reads were answered while every seat was taken.
        answers = writers.read()
        assert len(answers) == WRITERS - SEATS
        for answer in answers:
            assert answer.startswith(b"HTTP/1.1 503 "), answer
            assert b"\r\nRetry-After: 1\r\n" in answer
            assert b'{"error": "Nothing was written: too many writes wait' in answer
            # The rest of its body is not read: gunicorn would take 5 s for that, in a
            # thread that a reader needs.
            assert b"\r\nConnection: close\r\n" in answer
        (writing_scene.data_dir / "let-writes-go").touch()
    if SOAK:
        # Measured: 0.2 s, and 9 ms beside 5 ms.
        assert refused_after < 4
        assert p99(beside) < p99(alone) + 0.25
