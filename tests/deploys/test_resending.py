"""
No recipe sends a write a second time, once a byte of it has been sent.

Behind each load balancer stands a server that reads a whole request and hangs up.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import ipaddress
import shutil
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from bench import recipes, rows
from bench.rows.balanced import COLOURS, Balanced
from bench.stage import Stage
from lifecycle.knobs import Address
from lifecycle.proxies import TrustedProxies

pytestmark = pytest.mark.process

BALANCERS = ("caddy", "haproxy", "traefik-retry", "consul-traefik", "nginx-flip")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class Arrivals(Counter[str]):
    """How often each path below '/write' arrived, and the headers of each '/read'."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Message] = []


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Counts what arrives at '/write' before it hangs up; all else is answered."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: Address, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        super().__init__((address.host, address.port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the load balancer may hang up as well."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/write"):
            self.server.arrivals[self.path] += 1
            self.close_connection = True
            return
        if self.path == "/read":
            self.server.arrivals.readers.append(self.headers)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def hanging_up(row: Balanced) -> Iterator[Arrivals]:
    """Stand behind *row* for both of its instances; yield what arrives."""
    arrivals = Arrivals()
    with contextlib.ExitStack() as stack:
        for colour in COLOURS:
            for port in ("8080", "8081"):
                server = Server(row.address(colour, port), arrivals)
                stack.callback(server.server_close)
                thread = threading.Thread(target=server.serve_forever)
                thread.start()
                stack.callback(thread.join)
                stack.callback(server.shutdown)
        with row.balancer():
            yield arrivals


def send(row: Balanced, method: str, path: str) -> int:
    """Send a whole request at once, as HAProxy repeats only such; return the status."""
    with socket.create_connection(row.public[:2], timeout=30) as client:
        client.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Length: 4\r\n\r\nbody".encode()
        )
        response = http.client.HTTPResponse(client)
        response.begin()
        return response.status


def made(name: str, folder: Path) -> Balanced:
    row = rows.ROWS[name](Stage(folder))
    assert isinstance(row, Balanced)
    return row


@pytest.mark.parametrize("name", BALANCERS)
def test_a_write_arrives_once(name, tmp_path):
    if (reason := rows.why_skipped(name)) is not None:
        pytest.skip(reason)
    row = made(name, tmp_path)
    with row.resources, hanging_up(row) as arrivals:
        answers = {method: send(row, method, f"/write/{method}") for method in UNSAFE}
    assert set(answers.values()) <= {502, 503}
    assert dict(arrivals) == {f"/write/{method}": 1 for method in UNSAFE}


@pytest.mark.parametrize("name", BALANCERS)
def test_a_reader_cannot_speak_for_the_load_balancer(name, tmp_path):
    """What the site believes of a request is what the load balancer has seen of it."""
    if (reason := rows.why_skipped(name)) is not None:
        pytest.skip(reason)
    row = made(name, tmp_path)
    with row.resources, hanging_up(row) as arrivals:
        connection = http.client.HTTPConnection(*row.public[:2], timeout=30)
        connection.request(
            "GET",
            "/read",
            headers={
                "Host": "localhost",
                "X-Forwarded-For": "203.0.113.9",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "elsewhere.example.org",
            },
        )
        assert connection.getresponse().status == 200
        connection.close()
    (headers,) = arrivals.readers
    environ: dict[str, Any] = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in headers.items()
    }
    # The last one is what the load balancer itself has added.
    assert environ["HTTP_X_FORWARDED_FOR"].rpartition(",")[2].strip() == "127.0.0.1"
    environ |= {"REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http"}
    loopback = [ipaddress.ip_network("127.0.0.0/8")]
    TrustedProxies(lambda *_: [], loopback)(environ, print)
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"] == "localhost"


def test_the_same_server_sees_haproxy_repeat_a_write_without_its_line(
    tmp_path, monkeypatch
):
    if (reason := rows.why_skipped("haproxy")) is not None:
        pytest.skip(reason)
    line = "http-request disable-l7-retry unless METH_GET"
    deploy = tmp_path / "deploy"
    shutil.copytree(recipes.DEPLOY, deploy)
    file = deploy / "haproxy" / "haproxy.cfg"
    file.write_text(recipes.render("haproxy/haproxy.cfg", {line: ""}))
    monkeypatch.setattr(recipes, "DEPLOY", deploy)
    row = made("haproxy", tmp_path)
    with row.resources, hanging_up(row) as arrivals:
        send(row, "POST", "/write/POST")
    assert arrivals["/write/POST"] > 1
