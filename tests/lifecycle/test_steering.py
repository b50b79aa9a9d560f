"""The kernel's side of a shared port, with real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from lifecycle import steering
from tests.processes import free_port

CLIENTS = 40


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, ...]]:
    """Let two sockets share an address."""
    host = request.param
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = (host, free_port(host))
    with (
        steering.listen(family, address, 128) as first,
        steering.listen(family, address, 128) as second,
    ):
        yield first, second


def connections(*listeners: socket.socket) -> list[int]:
    """Return how many of CLIENTS new connections each of *listeners* got."""
    target = listeners[0].getsockname()[:2]
    clients = [socket.create_connection(target) for _ in range(CLIENTS)]
    counts = []
    for listener in listeners:
        listener.setblocking(False)
        count = 0
        while True:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                break
            count += 1
        counts.append(count)
    for client in clients:
        client.close()
    return counts


def test_new_connections_are_steered_to_the_second_and_let_go_again(pair):
    first, second = pair
    # Of 40 by hash all go to one side once in 2 ** 39 times.
    assert min(connections(first, second)) > 0
    assert steering.attach(second.fileno()) == ""
    assert connections(first, second) == [0, CLIENTS]
    steering.detach(first.fileno())
    assert min(connections(first, second)) > 0
    steering.detach(first.fileno())  # nothing there


def test_the_one_that_is_left_gets_all_whatever_the_program_says(pair):
    first, second = pair
    assert steering.attach(second.fileno()) == ""
    first.close()
    assert connections(second) == [CLIENTS]


def test_what_waits_in_the_old_ones_queue_stays_there(pair):
    first, second = pair
    before = [socket.create_connection(first.getsockname()[:2]) for _ in range(CLIENTS)]
    assert steering.attach(second.fileno()) == ""
    after = connections(first, second)
    assert sum(after) == 2 * CLIENTS
    assert after[0] > 0
    for client in before:
        client.close()


def test_a_kernel_that_refuses_says_why(pair, monkeypatch):
    first, second = pair
    monkeypatch.setattr(steering, "_SO_ATTACH_REUSEPORT_CBPF", 9999)
    assert steering.attach(second.fileno()) == "Protocol not available"
    assert min(connections(first, second)) > 0


def test_the_kernel_is_asked_how_many_listen(pair):
    first, second = pair
    family, address = first.family, first.getsockname()[:2]
    assert steering.count_listening(family, address) == 2
    second.close()
    assert steering.count_listening(family, address) == 1
    # Connections of the address are none that listen.
    with socket.create_connection(address), first.accept()[0]:
        assert steering.count_listening(family, address) == 1
    first.close()
    assert steering.count_listening(family, address) == 0


def test_an_address_that_is_not_shared_is_refused_and_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as alone:
        with pytest.raises(OSError, match="in use"):
            steering.listen(socket.AF_INET, alone.getsockname(), 128)
        assert connections(alone) == [CLIENTS]


def test_every_interface_is_shared_by_both_families():
    port = free_port("::")
    with steering.listen(socket.AF_INET6, ("::", port), 128) as listener:
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()
        assert steering.count_listening(socket.AF_INET6, ("::", port)) == 1
