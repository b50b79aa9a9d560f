"""
Sharing: how the workers of an instance get the Sites that one process builds.

The master makes a Door before it forks. A worker makes a pair of sockets, sends one
of them through the door, and reads frames from the other: each is the difference from
the Site that the last one ended with, and the first from the master's, which all of
them have by the fork. A frame without a difference says that the builder lives, and
for which sequence it has looked. What a worker sends is sequences that readers wait
for. Both ends are inherited, so nobody else can send or read any of this.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import socket
import struct
import time
from dataclasses import dataclass

from notes.differences import Difference, apply_difference
from notes.site import Site

_HEADER = struct.Struct("<QQ")
"""Length of the difference in bytes; the sequence that was looked for."""
_WANTED = struct.Struct("<Q")


class SubscriptionLostError(Exception):
    """The builder is gone, silent, or sent what cannot be used."""


@dataclass(frozen=True, eq=False)
class Door:
    """
    How workers find the builder, whichever process that is at the time.

    Attributes:
        outside: for workers.
        inside: for the builder.
        base: the Site that the master has, and so all of its children.
    """

    outside: socket.socket
    inside: socket.socket
    base: Site

    @classmethod
    def make(cls, base: Site) -> Door:
        """Return a new door."""
        outside, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        outside.setblocking(False)
        inside.setblocking(False)
        return cls(outside, inside, base)

    def subscribe(self) -> Subscription:
        """
        Return a new subscription.

        Raises:
            SubscriptionLostError: nobody has answered the door for long.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                socket.send_fds(self.outside, [b"s"], [theirs.fileno()])
            except OSError as exc:
                ours.close()
                raise SubscriptionLostError(str(exc)) from exc
        return Subscription(ours, self.base)

    def admit(self) -> socket.socket | None:
        """Return the socket of the next subscriber, if one is at the door."""
        try:
            _, descriptors, _, _ = socket.recv_fds(self.inside, 1, 1)
        except BlockingIOError:
            return None
        return socket.socket(fileno=descriptors[0]) if descriptors else None

    def close(self) -> None:
        """Close both ends, in this process."""
        self.outside.close()
        self.inside.close()


class Subscription:
    """
    A worker's: the Site that the builder has told of.

    `receive` belongs to one thread; the rest to any.

    Attributes:
        site: after the last frame.
        seconds: what the last frame took, from its first byte on.
    """

    def __init__(self, channel: socket.socket, base: Site) -> None:
        self._channel = channel
        self.site = base
        self.seconds = 0.0

    def receive(self, timeout: float) -> int:
        """
        Take the next frame, which may change *site*; return what was looked for.

        Raises:
            SubscriptionLostError: there is none within *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        try:
            length, looked_for = _HEADER.unpack(self._read(_HEADER.size, deadline))
            began = time.monotonic()
            if length:
                found: Difference = pickle.loads(self._read(length, deadline))  # noqa: S301 - from our own builder
                self.site = apply_difference(self.site, found)
            self.seconds = time.monotonic() - began
        except Exception as exc:
            raise SubscriptionLostError(str(exc) or type(exc).__name__) from exc
        return int(looked_for)

    def _read(self, length: int, deadline: float) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            count = self._channel.recv_into(view)
            if not count:
                raise EOFError("the builder has ended")
            view = view[count:]
        return data

    def ask(self, sequence: int) -> None:
        """Have the builder look now, for *sequence*; never raises."""
        with contextlib.suppress(OSError):  # `receive` will say that it is lost
            self._channel.send(_WANTED.pack(sequence), socket.MSG_DONTWAIT)

    def close(self) -> None:
        """End it; a `receive` that waits raises. Idempotent."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()


class Subscriber:
    """
    A worker, as the builder sees it.

    Attributes:
        channel: to the worker; never blocks.
        site: that it has once all is sent.
        wanted: the greatest sequence that its readers wait for.
        looked_for: what of that has been looked for.
        is_lost: whether it has gone.
    """

    def __init__(self, channel: socket.socket, base: Site) -> None:
        channel.setblocking(False)
        self.channel = channel
        self.site = base
        self.wanted = self.looked_for = self._told = 0
        self.is_lost = False
        self._unread = b""
        self._unsent = memoryview(b"")
        self._sent_at = -math.inf

    @property
    def is_busy(self) -> bool:
        """Whether the last frame is still being sent."""
        return bool(self._unsent)

    def is_due(self, interval: float) -> bool:
        """Whether it should hear something: an answer, or a sign of life."""
        return self.looked_for > self._told or (
            time.monotonic() - self._sent_at >= interval
        )

    def offer(self, site: Site, packed: bytes) -> None:
        """Begin to send what makes *site* of the one that it has; b'' for nothing."""
        self.site = site
        self._told = self.looked_for
        self._unsent = memoryview(_HEADER.pack(len(packed), self._told) + packed)
        self.send()

    def send(self) -> None:
        """Send what can be sent now."""
        self._sent_at = time.monotonic()
        try:
            while self._unsent:
                self._unsent = self._unsent[self.channel.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.is_lost = True

    def read(self) -> None:
        """Read what its readers want."""
        try:
            data = self.channel.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.is_lost = True
            return
        data = self._unread + data
        whole = len(data) - len(data) % _WANTED.size
        self._unread = data[whole:]
        for (sequence,) in _WANTED.iter_unpack(data[:whole]):
            self.wanted = max(self.wanted, sequence)


_door: Door | None = None


def open_door(door: Door | None) -> None:
    """Let this process and its children use *door* from now on; none, for None."""
    global _door
    if _door is not None:
        _door.close()
    _door = door


def is_open() -> bool:
    """Return whether this process belongs to an instance that has a builder."""
    return _door is not None


def subscribe() -> Subscription | None:
    """
    Return a subscription to this instance's builder; None where there is none.

    Raises:
        SubscriptionLostError: as `Door.subscribe`.
    """
    return None if _door is None else _door.subscribe()
