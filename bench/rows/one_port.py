"""handover and reuseport: one bare port, and nobody in front of it."""

from __future__ import annotations

import signal

from bench.instance import Instance
from bench.rows.row import Claim, Row
from bench.stage import Stage
from bench.waiting import free_port, wait_until
from lifecycle.knobs import Address


class _OnePort(Row):
    """Instances that follow one another on one public and one internal address."""

    claim = Claim.KEEPS_ALL
    listener = "auto"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._public = Address("127.0.0.1", free_port())
        self._internal = Address("127.0.0.1", free_port())
        self.instance = self._next()

    @property
    def target(self) -> Address:
        """The port that each instance serves."""
        return self._public

    def start(self) -> None:
        """Have the first instance ready."""
        self.instance.start()
        self.instance.wait_ready()

    def _next(self) -> Instance:
        return self.own(
            self.stage.instance(
                public=self._public,
                internal=self._internal,
                name=self.name,
                way=self.listener,
            )
        )

    def _replace(self) -> Instance:
        """Start the next one, wait until it holds the writer slot, return the old one."""
        old, self.instance = self.instance, self._next()
        self.instance.start()
        # The old one answers on the internal address until the new one is ready.
        wait_until(
            lambda: (
                "phase=ready" in self.instance.output or not self.instance.is_running
            ),
            60,
            "the new instance being ready",
        )
        return old


class Handover(_OnePort):
    """The running instance passes its listening sockets to the next one."""

    name = "handover"

    def deploy(self) -> None:
        """Start the new one: it asks for the sockets, and retires the old one."""
        self._replace().wait()
        self.instance.wait_ready()


class ReusePort(_OnePort):
    """Each has a socket of its own, and new connections are steered to the newer."""

    name = "reuseport"
    listener = "reuseport"

    def deploy(self) -> None:
        """Start the new one; once connections are steered to it, stop the old one."""
        old = self._replace()
        wait_until(
            lambda: "event=steering" in self.instance.output, 30, "steering to the new"
        )
        old.send(signal.SIGTERM)
        old.wait()
        self.instance.wait_ready()
