"""
One connection, and one HTTP/1.1 exchange after another on it.

Nothing here sends a request twice: what became of an exchange is told as it was.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import ssl
from pathlib import Path
from typing import NamedTuple

from lifecycle.knobs import Address

REFUSED = "refused"
"""Nobody listened."""
RESET = "reset"
"""The connection was reset, before or in the midst of the answer."""
CUT = "cut"
"""The connection ended before the answer was whole."""
TIMEOUT = "timeout"
"""No byte of an answer came in time."""
STALLED = "stalled"
"""An answer began, and was not whole in time."""
TLS = "tls"
"""The connection could not be encrypted: no handshake, or no trust."""
MALFORMED = "malformed"
"""What came is not HTTP/1.1."""


class LostError(Exception):
    """
    An exchange that brought no whole answer.

    Attributes:
        outcome: one of the words above, or an errno's name as 'EADDRNOTAVAIL'.
        has_begun: whether a byte of the answer had come.
    """

    def __init__(self, outcome: str, *, has_begun: bool = False) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.has_begun = has_begun


class Answer(NamedTuple):
    """A whole answer; *keeps* says whether its connection may be used again."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    keeps: bool


def parse_head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Return status and headers, names in lower case; raise ValueError for nonsense."""
    first, *lines = head.split(b"\r\n")
    version, status, *_ = first.split(b" ", 2)
    if version not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise ValueError(first)
    headers = {}
    for line in lines:
        name, value = line.split(b":", 1)
        headers[name.lower()] = value.strip()
    if version == b"HTTP/1.0":
        headers[b"connection"] = b"close"
    return int(status), headers


class AnswerReader:
    """Reads one answer, whole or not, as its bytes arrive."""

    def __init__(self) -> None:
        self.has_begun = False
        self._buffer = bytearray()
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._length: int | None = None
        self._is_chunked = False
        self._trailer = False

    def feed(self, data: bytes) -> Answer | None:
        """Return the answer when *data* completes it; raise LostError for nonsense."""
        self.has_begun = True
        self._buffer += data
        if not self._status and not self._read_head():
            return None
        if self._is_chunked:
            return self._answer() if self._read_chunks() else None
        if self._length is None or len(self._buffer) < self._length:
            return None
        if len(self._buffer) > self._length:
            raise LostError(MALFORMED, has_begun=True)
        return self._answer()

    def end(self) -> Answer:
        """Return the answer that the end of the connection completes, or raise."""
        if self._status and self._length is None and not self._is_chunked:
            return self._answer()
        raise LostError(CUT, has_begun=self.has_begun)

    def _answer(self) -> Answer:
        body = b"".join(self._chunks) if self._is_chunked else bytes(self._buffer)
        delimited = self._is_chunked or self._length is not None
        closes = b"close" in self._headers.get(b"connection", b"").lower()
        return Answer(self._status, self._headers, body, delimited and not closes)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        try:
            status, self._headers = parse_head(head)
            if b"content-length" in self._headers:
                self._length = int(self._headers[b"content-length"])
        except ValueError as exc:
            raise LostError(MALFORMED, has_begun=True) from exc
        if status < 200:  # an interim answer: the real one follows
            self._headers, self._length = {}, None
            return self._read_head()
        self._status = status
        self._is_chunked = (
            self._headers.get(b"transfer-encoding", b"").lower() == b"chunked"
        )
        if status in {204, 304}:
            self._length = 0
        return True

    def _read_chunks(self) -> bool:
        while True:
            line_end = self._buffer.find(b"\r\n")
            if line_end < 0:
                return False
            line = bytes(self._buffer[:line_end])
            if self._trailer:
                del self._buffer[: line_end + 2]
                if not line:
                    return True
                continue
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError as exc:
                raise LostError(MALFORMED, has_begun=True) from exc
            start = line_end + 2
            if size == 0:
                self._trailer = True
                del self._buffer[:start]
                continue
            if len(self._buffer) < start + size + 2:
                return False
            self._chunks.append(bytes(self._buffer[start : start + size]))
            del self._buffer[: start + size + 2]


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time."""

    def __init__(self) -> None:
        self.is_open = False
        self.used_at = 0.0
        """When its last answer was whole, on the monotonic clock; 0: never."""
        self._transport: asyncio.Transport | None = None
        self._reader = AnswerReader()
        self._waiter: asyncio.Future[Answer] | None = None
        self._gone = asyncio.Event()

    async def get(
        self, path: str, host: str, *, close: bool, accept: str = "identity"
    ) -> Answer:
        """
        Send one GET and return its whole answer, whatever its status.

        *accept* is the Accept-Encoding; the body is returned as it was sent.

        Raises:
            LostError: there was none.
        """
        ask = "close" if close else "keep-alive"
        return await self._exchange(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {ask}\r\n"
            f"Accept-Encoding: {accept}\r\n\r\n".encode()
        )

    async def put(
        self, path: str, host: str, token: str, body: bytes, *, only_new: bool = False
    ) -> Answer:
        """
        Send one PUT of *body* and return its whole answer, whatever its status.

        With *only_new* it is refused where there is such a note.

        Raises:
            LostError: there was none; whether it was applied is not known.
        """
        condition = "If-None-Match: *\r\n" if only_new else ""
        return await self._exchange(
            f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            f"{condition}Content-Type: text/markdown\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def _exchange(self, request: bytes) -> Answer:
        if self._transport is None or not self.is_open:
            raise LostError(RESET)
        self._reader = AnswerReader()
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            self._waiter = None

    @property
    def has_begun(self) -> bool:
        """Whether a byte of the answer that is awaited has come."""
        return self._reader.has_begun

    def close(self) -> None:
        """End the connection. Idempotent."""
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    async def end(self) -> None:
        """End the connection and wait until it is gone; for a loop that ends, too."""
        self.close()
        await self._gone.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio calls this."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the types
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Read on; asyncio calls this."""
        if self._waiter is None or self._waiter.done():
            self.close()  # bytes that nobody asked for: no exchange may follow
            return
        try:
            answer = self._reader.feed(data)
        except LostError as exc:
            self.close()
            self._waiter.set_exception(exc)
            return
        if answer is not None:
            self._finish(answer)

    def eof_received(self) -> None:
        """Take the end of the stream as what it means; asyncio calls this."""
        self.is_open = False
        if self._waiter is not None and not self._waiter.done():
            try:
                self._finish(self._reader.end())
            except LostError as exc:
                self._waiter.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is awaited; asyncio calls this."""
        self.is_open = False
        self._gone.set()
        if self._waiter is not None and not self._waiter.done():
            lost = outcome_of(exc) if isinstance(exc, OSError) else CUT
            self._waiter.set_exception(LostError(lost, has_begun=self.has_begun))

    def _finish(self, answer: Answer) -> None:
        assert self._waiter is not None  # noqa: S101 - its callers looked
        self.used_at = asyncio.get_running_loop().time()
        self.is_open = self.is_open and answer.keeps
        self._waiter.set_result(answer)


def outcome_of(error: OSError) -> str:
    """Return the outcome that *error*, of connecting or sending, stands for."""
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return REFUSED
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return RESET
    if isinstance(error, TimeoutError):
        return TIMEOUT
    if isinstance(error, ssl.SSLError):
        return TLS
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


@functools.cache
def _trusting(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


async def connect(
    target: Address, host: str = "localhost", ca: Path | None = None
) -> Connection:
    """
    Return a new connection to *target*.

    With the certificates of an authority in the file *ca* it is encrypted, and who
    answers must have shown that it is *host*.

    Raises:
        LostError: it cannot be made.
    """
    loop = asyncio.get_running_loop()
    try:
        if target.is_unix:
            _, made = await loop.create_unix_connection(Connection, target.path)
        else:
            _, made = await loop.create_connection(
                Connection,
                target.host or "127.0.0.1",
                target.port,
                ssl=_trusting(ca) if ca is not None else None,
                server_hostname=host if ca is not None else None,
            )
    except OSError as exc:
        raise LostError(outcome_of(exc)) from exc
    return made
