"""A server that misbehaves as it is told, for the generator to count."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from typing import Any

from lifecycle.knobs import Address

PAGE = (
    b'<!doctype html><html><head><link rel="icon" href="/icon.svg">'
    b'<link href="/static/site.css?v=1&amp;x=2" rel="stylesheet"></head>'
    b'<body><img src="https://elsewhere.test/x.png"><img src="files/a.png"></body>'
    b"</html>\n"
)
BARE = b"<html><body>bare</body></html>"


def whole(body: bytes, *, status: str = "200 OK", close: bool = False) -> bytes:
    connection = "close" if close else "keep-alive"
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n"
    return head.encode() + body


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


class Stub:
    """
    Serves by path, in the loop of the test.

    Attributes:
        requests: how often each path was asked for.
        by_connection: how many requests each connection carried, in order.
        gate: '/gated' is answered once this many such requests have come.
        patience: requests that a connection carries before '/moody' resets it.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.by_connection: list[int] = []
        self.gate = 0
        self.patience = 1
        self.address = Address("127.0.0.1", 0)
        self._opened = asyncio.Event()
        self._held = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self, address: Address | None = None) -> None:
        """Listen on *address*; start again where it was before when there is none."""
        address = address or self.address
        if address.is_unix:
            self._server = await asyncio.start_unix_server(self._serve, address.path)
            self.address = address
            return
        self._server = await asyncio.start_server(
            self._serve, address.host, address.port
        )
        port = self._server.sockets[0].getsockname()[1]
        self.address = Address(address.host, port)

    async def stop(self) -> None:
        """Close the listener, end what is held, and wait for it."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number = len(self.by_connection)
        self.by_connection.append(0)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                if sized := re.search(rb"\r\nContent-Length: (\d+)", head):
                    await reader.readexactly(int(sized[1]))
                self.requests[path] += 1
                self.by_connection[number] += 1
                if not await self._answer(path, self.by_connection[number], writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(
        self, path: str, carried: int, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; return whether the connection goes on."""
        if path == "/reset" or (path == "/moody" and carried > self.patience):
            reset(writer)
            return False
        if path == "/gated":
            if self.requests[path] >= self.gate:
                self._opened.set()
            await self._opened.wait()
        writer.write(ANSWERS.get(path, whole(BARE)))
        await writer.drain()
        if path in {"/silent", "/stalled"}:
            await self._held.wait()
        return path not in CLOSING


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


ANSWERS = {
    "/": whole(PAGE),
    "/closing": whole(BARE, close=True),
    "/chunked": chunked(BARE[:5], BARE[5:]),
    "/trailer": chunked(BARE, end=b"0\r\nX-Sum: 1\r\n\r\n"),
    "/interim": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + whole(BARE),
    "/to-the-end": b"HTTP/1.1 200 OK\r\n\r\n" + BARE,
    "/unready": whole(b"draining", status="503 Service Unavailable"),
    "/missing": whole(b"no such page", status="404 Not Found"),
    "/cut": whole(BARE)[:-5],
    "/cut-chunked": chunked(BARE, end=b""),
    "/no-answer": b"",
    "/no-page-end": whole(b"<html><body>but no more"),
    "/nonsense": b"ICY 200 OK\r\n\r\n",
    "/bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "/too-long": whole(BARE) + b"more",
    "/silent": b"",
    "/stalled": whole(BARE)[:-5],
}
CLOSING = {"/closing", "/to-the-end", "/cut", "/cut-chunked", "/no-answer"}
