"""
Handing listening sockets from one instance to the next, by SCM_RIGHTS.

Each instance has a door, `<id>.lst` in the run folder: a peer that connects and
names itself gets the public listeners, or the internal one. A socket that is
shared has one accept queue, so that nothing is lost whoever closes first.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from lifecycle.internal_server import is_trusted_peer
from lifecycle.peers import Peer, RunDir

logger = logging.getLogger(__name__)

# Linux; asm-generic/socket.h. Tells the network namespace of a socket.
_SO_NETNS_COOKIE = 71
_TIMEOUT = 5.0
_RETRY_SECONDS = 0.1
_MAX_MESSAGE = 65536
_MAX_SOCKETS = 16


class HandoverRefusedError(OSError):
    """
    The peer does not hand its listeners over; the message says why.

    Attributes:
        is_final: it never will.
    """

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


# Returns what to hand to a peer, copies of descriptors, or why not.
Giver = Callable[[dict[str, Any]], tuple[Sequence[int], str]]


class Door:
    """The socket at which peers ask for listeners; answered by one daemon thread."""

    def __init__(self, run_dir: RunDir, instance_id: str, give: Giver) -> None:
        self.listener = run_dir.listen(f"{instance_id}.lst")
        self._give = give
        threading.Thread(target=self._serve, name="door", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError as exc:
                if self.listener.fileno() < 0:
                    return  # closed
                logger.warning("event=door_stuck reason=%r", str(exc))
                time.sleep(_RETRY_SECONDS)  # too many open files, perhaps
                continue
            with connection, contextlib.suppress(OSError, ValueError):
                if not is_trusted_peer(connection):
                    continue
                connection.settimeout(_TIMEOUT)
                request = json.loads(connection.recv(_MAX_MESSAGE))
                if not isinstance(request, dict):
                    continue
                copies, refusal = self._give(request)
                try:
                    answer = json.dumps({"refusal": refusal}).encode()
                    socket.send_fds(connection, [answer], list(copies))
                finally:
                    for copy in copies:
                        os.close(copy)


def receive(
    run_dir: RunDir, peer: Peer, request: dict[str, Any]
) -> list[socket.socket]:
    """
    Return the listening sockets that *peer* hands over for *request*.

    Args:
        request: {'want': 'public' or 'internal', 'id': the asker's}.

    Raises:
        HandoverRefusedError: it refuses, or they belong to another network
            namespace, where this instance's address is not.
        OSError: it does not answer.
    """
    with run_dir.connect(f"{peer.id}.lst", _TIMEOUT) as connection:
        connection.send(json.dumps(request).encode())
        message, descriptors, _, _ = socket.recv_fds(
            connection, _MAX_MESSAGE, _MAX_SOCKETS
        )
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    if not message:
        raise OSError("it went away")
    refusal = json.loads(message)["refusal"]
    is_final = False
    if not refusal and any(
        listener.family != socket.AF_UNIX
        and namespace_of(listener) != own_namespace(listener.family)
        for listener in sockets
    ):
        refusal, is_final = "its listener is in another network namespace", True
    if refusal:
        for listener in sockets:
            listener.close()
        raise HandoverRefusedError(refusal, is_final=is_final)
    for listener in sockets:
        listener.set_inheritable(False)
    return sockets


def namespace_of(listener: socket.socket) -> bytes:
    """Return what names the network namespace of *listener*; b'' before Linux 5.14."""
    try:
        return listener.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError:
        return b""


def own_namespace(family: int) -> bytes:
    """Return the same of this process."""
    with socket.socket(family, socket.SOCK_STREAM) as own:
        return namespace_of(own)
