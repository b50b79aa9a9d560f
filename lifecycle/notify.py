"""
What systemd is told: sd_notify(3).

gunicorn says READY=1 before any worker exists, so its own words are kept from
systemd; here READY=1 is said when /readyz is first 200.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import MutableMapping

# A start that takes longer than TimeoutStartSec asks for this much more, each
# time it makes progress, in seconds.
_EXTENSION = 30


class Notifier:
    """Sends states to the service manager; does nothing where there is none."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Take NOTIFY_SOCKET out of *environ*, so that nobody else speaks for us."""
        self._address = environ.pop("NOTIFY_SOCKET", "")
        self._status = ""
        self._is_ready = False

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]
        # A manager that is not there must not end the service.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection,
        ):
            connection.setblocking(False)
            connection.sendto("\n".join(lines).encode(), address)

    def status(self, text: str, *, starting: bool = False) -> None:
        """Tell phase and progress, if they changed; a start asks for more time."""
        if text == self._status:
            return
        self._status = text
        lines = [f"STATUS={text}"]
        if starting and not self._is_ready:
            lines.append(f"EXTEND_TIMEOUT_USEC={_EXTENSION * 1_000_000}")
        self._send(*lines)

    def ready(self) -> None:
        """Tell that the service serves. Idempotent."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1")

    def stopping(self) -> None:
        """Tell that the service drains."""
        self._send("STOPPING=1", "STATUS=draining")
