"""Two instances on two addresses of one machine, and a load balancer in front."""

from __future__ import annotations

import abc
import contextlib
import socket
import time
from pathlib import Path
from typing import ClassVar

from bench import programs, recipes
from bench.instance import Instance
from bench.probes import probe
from bench.program import Program
from bench.rows.row import Claim, Row
from bench.stage import Stage
from bench.waiting import free_port
from lifecycle.knobs import Address

COLOURS = ("blue", "green")
HOSTS = ("127.0.0.2", "127.0.0.3")


def shared_port() -> int:
    """Return a TCP port that nobody listens on, at either of the two addresses."""
    while True:
        port = free_port(HOSTS[0])
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOSTS[1], port))
            return port


class Balanced(Row):
    """
    Instances blue and green take turns; the load balancer runs a recipe of deploy/.

    Attributes:
        window: seconds that the load balancer may take to see that an instance has
            become ready, or is no more: check interval, time-out of a check, and
            whatever it refreshes its list by.
    """

    program: ClassVar[str]
    claim = Claim.KEEPS_ALL
    # A check every second, whose answer may take two.
    window: float = 3.0

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.public = Address("127.0.0.1", free_port())
        self.folder = Path(stage.folder) / self.name
        self.folder.mkdir()
        self.ports = {port: str(shared_port()) for port in ("8080", "8081")}
        self.colour = COLOURS[0]
        self.instance = self._next()
        self.proxy: Program

    @classmethod
    def missing(cls) -> str | None:
        """Return how to get the load balancer, if it is not here."""
        return programs.missing(cls.program)

    @property
    def target(self) -> Address:
        """The load balancer."""
        return self.public

    @property
    def changes(self) -> dict[str, str]:
        """What a recipe says of the instances' ports, and what is so here."""
        return dict(self.ports)

    @abc.abstractmethod
    def balancer(self) -> Program:
        """Return the load balancer, not started."""

    def start(self) -> None:
        """Have the first instance ready, and the load balancer know it."""
        self.instance.start()
        self.instance.wait_ready()
        self.proxy = self.resources.enter_context(self.balancer())
        self.settle()

    def deploy(self) -> None:
        """Start the other one; when the load balancer knows it, stop the first."""
        old = self.instance
        self.flip()
        self.instance.start()
        self.instance.wait_ready()
        self.settle()
        old.stop()

    def flip(self) -> None:
        """Make an instance of the colour that rests, not started."""
        self.colour = COLOURS[self.colour == COLOURS[0]]
        self.instance = self._next()

    def is_up(self) -> bool:
        """Whether the load balancer sends readers to an instance."""
        return probe(self.public, "/").status == 200

    def settle(self) -> None:
        """Wait as long as the load balancer may take to see a change."""
        # A time and not a condition: what it knows, it tells nobody.
        time.sleep(self.window)

    def address(self, colour: str, port: str = "8080") -> Address:
        """Return where *colour* listens here, by the *port* that the recipe names."""
        knob = {"8080": "LISTEN_ADDR", "8081": "INTERNAL_LISTEN_ADDR"}[port]
        found = recipes.environment(f"two-addresses/trip2g-{colour}.env")[knob]
        host, _, named = found.rpartition(":")
        return Address(host, int(self.ports[named]))

    def _next(self) -> Instance:
        environ = recipes.environment(f"two-addresses/trip2g-{self.colour}.env")
        return self.own(
            self.stage.instance(
                public=self.address(self.colour),
                internal=self.address(self.colour, "8081"),
                name=self.name,
                way=environ["LISTENER"],
            )
        )
