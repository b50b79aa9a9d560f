"""Connections on which nothing comes: they hold nobody up, and are let go gently."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.deploys.scene import address_of, get
from tests.processes import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def clients() -> Iterator[contextlib.ExitStack]:
    """Close, in the end, what a test has opened."""
    with contextlib.ExitStack() as opened:
        yield opened


def connect(clients: contextlib.ExitStack, listener: socket.socket) -> socket.socket:
    client = socket.create_connection(listener.getsockname(), timeout=30)
    return clients.enter_context(client)


def test_connections_that_send_nothing_take_no_thread(scene, listener, clients):
    instance = scene.start(listener=listener, THREADS="2", WORKERS="1")
    for _ in range(20):
        connect(clients, listener)
    began = time.monotonic()
    # gunicorn's own worker lets each of them have a thread for 5 s.
    assert get(address_of(listener), "/pid")[0].status == 200
    assert time.monotonic() - began < 5
    assert instance.probe("/readyz").status == 200


def test_the_end_of_the_grace_lets_idle_connections_go(scene, listener, clients):
    """None is reset, and none makes the instance wait for its time-out."""
    instance = scene.start(listener=listener, SHUTDOWN_TIMEOUT="60s")
    silent = connect(clients, listener)
    host, port = listener.getsockname()
    reader = http.client.HTTPConnection(host, port, timeout=30)
    clients.callback(reader.close)
    reader.request("GET", "/pid")
    assert reader.getresponse().read().isdigit()
    kept = reader.sock
    assert kept is not None  # it is kept
    instance.send(signal.SIGTERM)
    began = time.monotonic()
    wait_until(lambda: "event=accepting_ends" in instance.output, 20, "the end")
    for client in (kept, silent):
        assert client.recv(4096) == b""
    for client in (kept, silent):
        client.close()
    assert instance.wait() == 0
    assert time.monotonic() - began < 30
