"""
A small threaded server for the master's own sockets: probes and control.

It runs beside gunicorn's main loop, in daemon threads that log nothing and
touch nothing but plain memory, since workers are forked while they run.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from typing import IO, Any, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler

Application = Callable[..., Any]

# A probe that takes longer has been given up by whoever sent it.
_CLIENT_TIMEOUT_SECONDS = 5.0
# How long a client gets to close its side, once it has its answer.
_LINGER_SECONDS = 1.0
_MAX_CONNECTIONS = 64
_MAX_HEAD_BYTES = 16384
_MAX_BODY_BYTES = 1 << 20


class _Handler(WSGIRequestHandler):
    """Answers one request; an idle or slow client is dropped."""

    timeout = _CLIENT_TIMEOUT_SECONDS
    server: _Server
    client_address: Any

    def address_string(self) -> str:
        return "-"

    def get_environ(self) -> dict[str, Any]:
        # A unix socket's client has no address.
        self.client_address = self.client_address or ("", 0)
        return super().get_environ()

    def handle(self) -> None:
        # What a client does to its own connection is no news here.
        with contextlib.suppress(OSError):
            head = self._read_head()
            self.rfile.close()
            self.rfile = io.BytesIO(head)
            self.connection.settimeout(_CLIENT_TIMEOUT_SECONDS)
            if len(head) > _MAX_HEAD_BYTES:
                self.requestline = self.request_version = self.command = ""
                self.send_error(431)
                return
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline or not self.parse_request():
                return
            self.rfile = io.BytesIO(self._read_body(self.rfile.read()))
            handler = ServerHandler(
                self.rfile,
                cast(IO[bytes], self.wfile),
                self.get_stderr(),
                self.get_environ(),
                multithread=False,
            )
            handler.request_handler = self  # type: ignore[attr-defined]
            handler.run(self.server.application)

    def _read_head(self) -> bytes:
        """Return the request up to its empty line; a slow client has one deadline."""
        deadline = time.monotonic() + _CLIENT_TIMEOUT_SECONDS
        head = b""
        while b"\r\n\r\n" not in head and b"\n\n" not in head:
            # A time-out of its own for each read would let a client drip for ever.
            self.connection.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self.connection.recv(4096)
            head += piece
            if not piece or len(head) > _MAX_HEAD_BYTES:
                break
        return head

    def _read_body(self, begun: bytes) -> bytes:
        """Return the body, of which *begun* came with the head; 1 MB at most."""
        length = self.headers.get("Content-Length", "")
        wanted = min(int(length), _MAX_BODY_BYTES) if length.isdecimal() else 0
        deadline = time.monotonic() + _CLIENT_TIMEOUT_SECONDS
        body = begun
        while len(body) < wanted:
            self.connection.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self.connection.recv(65536)
            body += piece
            if not piece:
                break
        self.connection.settimeout(_CLIENT_TIMEOUT_SECONDS)
        return body[:wanted]

    def finish(self) -> None:
        super().finish()
        # Closing with input unread resets the connection and may take the answer
        # with it: say that this was all, then wait for the client to close.
        deadline = time.monotonic() + _LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS)
            while self.connection.recv(65536) and time.monotonic() < deadline:
                pass

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class _Server(socketserver.ThreadingMixIn, socketserver.BaseServer):
    """One listening socket, made elsewhere; a thread a connection."""

    daemon_threads = True
    base_environ: dict[str, str]

    def __init__(self, listener: socket.socket, application: Application) -> None:
        super().__init__(("internal", 0), _Handler)
        self.socket = listener
        self.application = application
        self.base_environ = {
            "SERVER_NAME": "internal",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PORT": "0",
            "REMOTE_HOST": "",
            "CONTENT_LENGTH": "",
            "SCRIPT_NAME": "",
        }
        self.server_name = "internal"
        self.server_port = 0
        self._free = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self.connections: set[socket.socket] = set()

    def fileno(self) -> int:
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        self.connections.add(connection)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if request.family == socket.AF_UNIX and not is_trusted_peer(request):
            return False
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def shutdown_request(self, request: Any) -> None:
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
        request.close()
        self.connections.discard(request)  # a fork in between would keep a copy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: threads here do not log, and the client saw it."""


def is_trusted_peer(connection: socket.socket) -> bool:
    """Return whether a unix socket's other end runs as this user, or as root."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in {0, os.geteuid()}


class InternalServer:
    """
    A listening socket of the master, served by a daemon thread.

    Attributes:
        is_internal: it is on the internal address, not the control socket.
        poll_interval: `close` takes this long at most, in seconds.
    """

    poll_interval = 0.5

    def __init__(
        self,
        listener: socket.socket,
        application: Application,
        *,
        is_internal: bool = False,
    ) -> None:
        self.listener = listener
        self.is_internal = is_internal
        self._server = _Server(listener, application)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": self.poll_interval},
            name="internal-server",
            daemon=True,
        )
        self._thread.start()

    def close_in_child(self) -> None:
        """Close the copies that a fork made. For a child, right after it."""
        self.listener.close()
        for connection in self._server.connections.copy():
            # close() alone would wait for the files that were made of it.
            with contextlib.suppress(OSError):
                os.close(connection.detach())

    def close(self) -> None:
        """Stop answering and close the socket. Idempotent."""
        self._server.shutdown()
        self._thread.join()
        self.listener.close()
