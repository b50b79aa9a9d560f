from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from lifecycle import internal_server
from lifecycle.internal_server import InternalServer
from lifecycle.knobs import Address
from lifecycle.listeners import bind
from lifecycle.probes import (
    Answer,
    Check,
    Environ,
    ProbeApplication,
    json_answer,
    json_body,
)
from tests.lifecycle.children import run_in_child
from tests.processes import wait_until

OK = {"/livez": lambda: [Check("loop", True)]}


@pytest.fixture
def server() -> Iterator[InternalServer]:
    made = InternalServer(bind(Address("127.0.0.1", 0)), ProbeApplication(OK, {}))
    yield made
    made.close()


def connect(server: InternalServer) -> socket.socket:
    return socket.create_connection(server.listener.getsockname(), timeout=10)


def exchange(server: InternalServer, request: bytes) -> bytes:
    """Return all that the server says to *request*, to its end."""
    with connect(server) as client:
        client.sendall(request)
        said = b""
        while piece := client.recv(65536):
            said += piece
    return said


def livez(server: InternalServer) -> tuple[int, bytes]:
    host, port = server.listener.getsockname()
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/livez")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count


def test_it_answers_and_closes(server: InternalServer) -> None:
    head, _, body = exchange(
        server, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    ).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"\r\nContent-Length: 3\r\n" in head
    assert body == b"ok\n"


def test_head_is_answered_without_a_body(server: InternalServer) -> None:
    head, _, body = exchange(
        server, b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    ).partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: 3\r\n" in head + b"\r\n"
    assert body == b""


def test_a_unix_socket_is_served_too(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    made = InternalServer(bind(Address("", 0, path)), ProbeApplication(OK, {}))
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.0 200 OK\r\n")
    finally:
        made.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", b"431"),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET /%ff%00 HTTP/1.1\r\n\r\n", b"404"),
    ],
)
def test_garbage_is_refused_and_the_next_is_served(
    server: InternalServer,
    request_: bytes,
    status: bytes,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert status in exchange(server, request_).split(b"\n")[0] + exchange(
        server, request_
    )
    assert livez(server) == (200, b"ok\n")
    assert capfd.readouterr() == ("", "")


def test_a_client_that_hangs_up_is_no_news(
    server: InternalServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for sent in (b"", b"GET /li", b"GET /livez HTTP/1.0\r\n\r\n"):
        with connect(server) as client:
            client.sendall(sent)
            # Close with a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert livez(server) == (200, b"ok\n")
    assert capfd.readouterr() == ("", "")


def test_a_request_with_a_body_still_gets_its_answer(server: InternalServer) -> None:
    """Closing with the body unread would reset the connection, and the answer."""
    body = b"x" * 8_000_000
    with connect(server) as client:
        client.sendall(
            b"POST /livez HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        client.sendall(body)
        said = b""
        while piece := client.recv(65536):
            said += piece
    assert b" 405 Method Not Allowed\r\n" in said
    assert said.endswith(b"GET and HEAD only\n")


def test_a_body_that_comes_after_its_head_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def echo(environ: Environ) -> Answer:
        return json_answer("200 OK", json_body(environ))

    read_head = internal_server._Handler._read_head
    has_read = threading.Event()

    def tell(handler: internal_server._Handler) -> bytes:
        head = read_head(handler)
        has_read.set()
        return head

    monkeypatch.setattr(internal_server._Handler, "_read_head", tell)
    made = InternalServer(
        bind(Address("127.0.0.1", 0)), ProbeApplication(OK, {}, {"/echo": echo})
    )
    try:
        with connect(made) as client:
            client.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 8\r\n\r\n")
            assert has_read.wait(10)
            client.sendall(b'{"a": 1}')
            said = b""
            while piece := client.recv(65536):
                said += piece
    finally:
        made.close()
    assert said.endswith(b'\r\n\r\n{"a": 1}\n')


def test_a_dripping_client_has_one_deadline_for_all_it_says(
    server: InternalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(internal_server, "_CLIENT_TIMEOUT_SECONDS", 0.5)
    began = time.monotonic()
    with connect(server) as client:
        client.settimeout(0.1)
        ended = False
        while not ended and time.monotonic() - began < 8:
            client.send(b"x")
            try:
                ended = client.recv(1) == b""
            except TimeoutError:
                continue
    assert ended


def test_connections_beyond_the_limit_are_closed_and_the_rest_goes_on(
    server: InternalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(internal_server, "_CLIENT_TIMEOUT_SECONDS", 30.0)
    idle = [connect(server) for _ in range(internal_server._MAX_CONNECTIONS)]
    try:

        def is_full() -> bool:
            with connect(server) as client:
                try:
                    client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
                    return client.recv(100) == b""
                except ConnectionError:
                    return True

        wait_until(is_full, 10, "the limit")
        idle.pop().close()
        wait_until(lambda: not is_full(), 10, "a free place")
    finally:
        for client in idle:
            client.close()


def test_many_probes_at_once_are_all_answered(server: InternalServer) -> None:
    answers: list[tuple[int, bytes]] = []

    def probe() -> None:
        answers.extend(livez(server) for _ in range(25))

    threads = [threading.Thread(target=probe) for _ in range(8)]
    before = open_descriptors()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(200, b"ok\n")] * 200
    wait_until(lambda: open_descriptors() <= before, 5, "closed connections")


def test_a_bug_in_a_probe_is_a_500_without_its_text(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken() -> list[Check]:
        raise ValueError("private")

    application = ProbeApplication({"/livez": broken}, {})
    made = InternalServer(bind(Address("127.0.0.1", 0)), application)
    try:
        status, body = livez(made)
    finally:
        made.close()
    assert status == 500
    assert b"private" not in body
    capfd.readouterr()  # whoever operates it sees the traceback


def test_a_child_keeps_no_copy_of_what_the_server_has_open(
    server: InternalServer,
) -> None:
    """A worker lives long, and whatever it keeps open stays open with it."""
    with connect(server) as client:
        wait_until(lambda: server._server.connections, 5, "the connection")
        inodes = {os.readlink(f"/proc/self/fd/{server.listener.fileno()}")}  # noqa: PTH115
        inodes.update(
            os.readlink(f"/proc/self/fd/{connection.fileno()}")  # noqa: PTH115
            for connection in server._server.connections
        )

        def look() -> None:
            server.close_in_child()
            opened = os.listdir("/proc/self/fd")  # noqa: PTH208 - names, not paths
            for name in opened:
                with contextlib.suppress(FileNotFoundError):
                    assert os.readlink(f"/proc/self/fd/{name}") not in inodes  # noqa: PTH115

        assert len(inodes) == 2
        assert run_in_child(look) == 0
        # The parent's own are as they were.
        client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200 OK")
    assert livez(server) == (200, b"ok\n")
    wait_until(lambda: not server._server.connections, 5, "that none is left")


def test_children_forked_while_it_serves_are_not_stuck(
    server: InternalServer,
) -> None:
    """Workers are forked in any moment of the probes' threads."""
    stop = threading.Event()

    def probe() -> None:
        while not stop.is_set():
            # That each is answered in time is not asked here.
            with contextlib.suppress(OSError):
                livez(server)

    threads = [threading.Thread(target=probe) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        pids = [fork(lambda: None) for _ in range(100)]
        for pid in pids:
            wait_until(partial(has_ended, pid), 20, "the end of a child")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def has_ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid
