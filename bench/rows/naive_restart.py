"""naive-restart: stop the old one, then start the new one, on one bare port."""

from __future__ import annotations

from bench.instance import Instance
from bench.rows.row import Claim, Row
from bench.stage import Stage
from bench.waiting import free_port
from lifecycle.knobs import Address


class NaiveRestart(Row):
    """Nobody listens between the old instance's end and the new one's warmth."""

    name = "naive-restart"
    claim = Claim.LOSES

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._public = Address("127.0.0.1", free_port())
        self._internal = Address("127.0.0.1", free_port())
        self._instance = self._next()

    @property
    def target(self) -> Address:
        """The port that each instance binds."""
        return self._public

    def start(self) -> None:
        """Have the first instance ready."""
        self._instance.start()
        self._instance.wait_ready()

    def deploy(self) -> None:
        """Stop, then start."""
        self._instance.stop()
        self._instance = self._next()
        self.start()

    def _next(self) -> Instance:
        return self.own(
            self.stage.instance(
                public=self._public, internal=self._internal, name=self.name
            )
        )
