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

    def _send(self, *lines: str) -> bool:
        """
        Tell the manager; return False when it does not take it now.

        Its queue holds few messages where net.unix.max_dgram_qlen is small (10 is the
        kernel's own), and a manager that is busy for a moment fills it up.
        """
        if not self._address:
            return True
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
            return True
        return False

    def status(self, text: str, *, starting: bool = False) -> None:
        """Tell phase and progress, if they changed; a start asks for more time."""
        if text == self._status:
            return
        lines = [f"STATUS={text}"]
        if starting and not self._is_ready:
            lines.append(f"EXTEND_TIMEOUT_USEC={_EXTENSION * 1_000_000}")
        if self._send(*lines):
            self._status = text

    def ready(self) -> None:
        """Tell that the service serves, once it is heard. Called at each tick."""
        if not self._is_ready:
            self._is_ready = self._send("READY=1")

    def stopping(self) -> None:
        """Tell that the service drains."""
        self._send("STOPPING=1", "STATUS=draining")
