"""systemd-restart: `systemctl restart` of a service with a socket unit."""

from __future__ import annotations

import signal

from bench.instance import Instance
from bench.rows.row import Claim, Row
from bench.stage import Stage
from bench.waiting import free_port, listening_socket
from lifecycle.knobs import Address


class SystemdRestart(Row):
    """
    This process holds the listening socket and passes it to one instance at a time.

    That is what systemd does with a socket unit: the socket outlives the
    instances, and readers wait in the kernel from one to the next.

    Args:
        overlap: start the new instance while the old one drains, as two services
            on one socket unit can; else once it is gone, as a restart does.
    """

    name = "systemd-restart"
    claim = Claim.KEEPS_ALL

    def __init__(self, stage: Stage, *, overlap: bool = False) -> None:
        super().__init__(stage)
        self._overlap = overlap
        self._listener = self.resources.enter_context(listening_socket())
        # The two that overlap cannot share an address for their probes.
        self._internals = [Address("127.0.0.1", free_port()) for _ in range(2)]
        self.instance = self._next()

    @property
    def target(self) -> Address:
        """The socket that is passed on."""
        host, port = self._listener.getsockname()[:2]
        return Address(host, port)

    def start(self) -> None:
        """Have the first instance ready."""
        self.instance.start()
        self.instance.wait_ready()

    def deploy(self) -> None:
        """Drain the old one; start the new one once it is gone, or at once."""
        old, self.instance = self.instance, self._next()
        if self._overlap:
            old.send(signal.SIGTERM)
            self.instance.start()
            old.wait()
        else:
            old.stop()
            self.instance.start()
        self.instance.wait_ready()

    def _next(self) -> Instance:
        self._internals.reverse()
        return self.own(
            self.stage.instance(
                listener=self._listener, internal=self._internals[0], name=self.name
            )
        )
