"""Wait for a condition, not for a time; and find a port that is free."""

from __future__ import annotations

import errno
import secrets
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    predicate: Callable[[], T],
    timeout: float,
    what: str = "the condition",
    *,
    interval: float = 0.02,
) -> T:
    """
    Return the first true value of *predicate*, asked every *interval* seconds.

    Raises:
        TimeoutError: none came within *timeout* seconds; names *what*, and the
            last value.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s, last was {value!r}")
        time.sleep(interval)


def free_port(host: str = "127.0.0.1") -> int:
    """
    Return a TCP port of *host* that nobody listens on at this moment.

    It is below those that Linux gives to connections, of which a load makes many.
    Another process may take it before the caller does; where a listening socket
    can be passed on instead, `listening_socket` has no such gap.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_768)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            # Without SO_REUSEADDR a port in TIME_WAIT counts as taken, which is right.
            try:
                probe.bind((host, port))
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE:
                    raise
            else:
                return port


def listening_socket(host: str = "127.0.0.1", backlog: int = 2048) -> socket.socket:
    """Return a socket that listens on a free port of *host*; the caller closes it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, 0))
    listener.listen(backlog)
    return listener
