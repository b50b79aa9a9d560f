"""
The writer process, as its master sees it: one child that runs what writes.

It is forked when the instance stands by, and idles until it is told to take
the slot; it ends the tenure when told to release it. Commands and reports are
packets of JSON over a socket pair; the lock's descriptor goes with 'take'. The
kernel ends the process with its master (PR_SET_PDEATHSIG); it ends by itself
when its end of the pair reads the end.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lifecycle.tenure import OVER, Event, Said

if TYPE_CHECKING:
    from lifecycle.instance import Instance

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
# How long the process gets to end, in seconds, before it is killed.
_STOP_TIMEOUT = 10.0
# Between two looks whether it has, in seconds; its end is seen at once.
_STOP_INTERVAL = 0.1
# The kernel needs a moment to kill; in seconds.
_KILL_TIMEOUT = 5.0
# The least time between two starts of a process that died, in seconds.
_RESTART_INTERVAL = 0.2
# A process that says nothing for this long is frozen, in seconds; it says
# something every second.
_SILENCE_LIMIT = 5.0
# Between two looks at it, in seconds, at most: else it was the master that was frozen.
_TEND_LIMIT = 2.0
MAX_PACKET = 1 << 20


def die_with_parent(parent: int) -> None:
    """
    Ask the kernel to end this process when *parent* dies. For a child, after the fork.

    See prctl(2). The parent may have died before the call: then it ends here.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class WriterProcess:
    """
    One writer process after another: one that dies is followed by the next.

    `tend` and `stop` belong to the master's main thread, the only one that
    forks; `tell` and `next_event` to the thread that runs the tenure.
    """

    def __init__(self, instance: Instance, wake: Callable[[], None]) -> None:
        """
        Args:
            instance: whose writer process it is.
            wake: called, in a thread of its own, when there is something to read.
        """
        self._instance = instance
        self._wake = wake
        self._lock = threading.Lock()
        self._events: collections.deque[Event] = collections.deque()
        self._holding = False
        self._taken = 0
        self._pid = 0
        self._pidfd = -1
        self._channel: socket.socket | None = None
        self._started_at = self._heard_at = self._tended_at = 0.0
        self.progressed_at = 0.0
        """When a process last told of progress with a migration, on the monotonic clock."""
        self.has_spoken = False
        """Whether a process has come so far as to wait for commands."""
        self.facts: dict[str, Any] = {}
        """What the last 'running' told: applied migrations, releases that crashed."""

    @property
    def pid(self) -> int:
        """The pid of the process that lives; 0 when none does."""
        return self._pid

    @property
    def pidfd(self) -> int:
        """The pidfd of the process that lives; -1 when none does."""
        return self._pidfd

    @property
    def has_ended(self) -> bool:
        """Whether no process lives. From any thread, until `stop`."""
        return self._pid == 0 or has_exited(self._pidfd, 0)

    # -- main thread ----------------------------------------------------------

    def tend(self) -> None:
        """Start the process, or the next one; kill one that is frozen. Never blocks."""
        now = time.monotonic()
        if now - self._tended_at > _TEND_LIMIT:
            # What it has said meanwhile may not have been read yet; and it may have
            # been frozen along, as a container is: it gets its time again.
            self._heard_at = now
        self._tended_at = now
        if self._pid == 0:
            if now - self._started_at >= _RESTART_INTERVAL:
                self._start()
        elif has_exited(self._pidfd, 0):
            logger.error("event=writer_died pid=%s", self._pid)
            self._forget()
            self._start()
        elif now - self._heard_at > _SILENCE_LIMIT:
            logger.error("event=writer_frozen pid=%s", self._pid)
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._heard_at = now

    def _start(self) -> None:
        self._started_at = self._heard_at = time.monotonic()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self._run_child(ours, theirs)
        theirs.close()
        pidfd = os.pidfd_open(pid)
        threading.Thread(
            target=self._listen, args=(ours,), name="writer-events", daemon=True
        ).start()
        with self._lock:
            self._pid, self._pidfd, self._channel = pid, pidfd, ours
            if self._holding:
                # Its predecessor died while the lock was ours: begin again.
                self._events.clear()
                take = {"do": "take", "attempt": self._taken}
                self._send(take, self._instance.slot.descriptor)

    def _run_child(self, ours: socket.socket, theirs: socket.socket) -> None:
        status = 1
        try:
            ours.close()
            die_with_parent(self._instance.master_pid)
            self._instance.become_child(keep_listeners=False)
            from lifecycle.writer_main import main

            status = main(self._instance, theirs)
        except BaseException:
            logger.exception("event=writer_crashed")
        finally:
            # Not sys.exit: this is a copy of gunicorn's master, whose own
            # cleanup must not run here.
            sys.stdout.flush()
            os._exit(status)

    def _forget(self) -> None:
        with self._lock:
            os.close(self._pidfd)
            if self._channel is not None:
                with contextlib.suppress(OSError):
                    self._channel.shutdown(socket.SHUT_RDWR)
                self._channel.close()
            self._pid, self._pidfd, self._channel = 0, -1, None

    def close_in_child(self) -> None:
        """Close the master's descriptors. For another child, right after its fork."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
        if self._channel is not None:
            self._channel.close()

    def stop(self) -> None:
        """End the process and wait for its end, at most 15 s. Idempotent."""
        if self._pid == 0:
            return
        assert self._channel is not None  # noqa: S101 - there is one with each process
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)  # it reads the end
        deadline = time.monotonic() + _STOP_TIMEOUT
        while not has_exited(self._pidfd, _STOP_INTERVAL):
            now = time.monotonic()
            # One that is frozen would keep its copy of the lock from the next holder.
            if now >= deadline or now - self._heard_at > _SILENCE_LIMIT:
                logger.error("event=writer_killed pid=%s", self._pid)
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                has_exited(self._pidfd, _KILL_TIMEOUT)
                break
        self._forget()

    # -- the tenure's thread --------------------------------------------------

    def tell(self, command: str, attempt: int, successor: str = "") -> None:
        """Send 'take' (with the lock's descriptor), 'prepare', 'release' or 'resume'."""
        message = {"do": command, "attempt": attempt, "successor": successor}
        with self._lock:
            if command == "take":
                self._holding, self._taken = True, attempt
            descriptor = self._instance.slot.descriptor if command == "take" else None
            self._send(message, descriptor)

    def _send(self, message: dict[str, Any], descriptor: int | None) -> None:
        if self._channel is None:
            return  # it died: the next one is told to take
        descriptors = [] if descriptor is None else [descriptor]
        with contextlib.suppress(OSError):  # as above
            socket.send_fds(self._channel, [json.dumps(message).encode()], descriptors)

    def next_event(self) -> Event | None:
        """Return the oldest report since the last 'take' that has not been read."""
        with self._lock:
            while self._events:
                event = self._events.popleft()
                if event.attempt < self._taken:
                    continue  # of a tenure that is over
                if event.said in OVER:
                    self._holding = False
                return event
            return None

    # -- its own thread -------------------------------------------------------

    def _listen(self, channel: socket.socket) -> None:
        while True:
            try:
                packet = channel.recv(MAX_PACKET)
            except OSError:
                return
            if not packet:
                return
            message = json.loads(packet)
            self._heard_at = time.monotonic()
            self.has_spoken = True
            if message["said"] == "beat":
                continue
            if message["said"] == "progress":
                self.progressed_at = self._heard_at
                continue
            if "facts" in message:
                self.facts = message["facts"]
            event = Event(
                Said(message["said"]),
                attempt=message["attempt"],
                epoch=message.get("epoch", 0),
                successor=message.get("successor", ""),
                until=message.get("until", 0.0),
                reason=message.get("reason", ""),
            )
            with self._lock:
                if channel is self._channel or self._channel is None:
                    self._events.append(event)
            self._wake()


def has_exited(pidfd: int, timeout: float) -> bool:
    """Return whether the process behind *pidfd* ends within *timeout* seconds."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(timeout * 1000))
