"""caddy and naive-caddy: Caddy in front of two addresses, or of a single one."""

from __future__ import annotations

import subprocess

from bench import programs, recipes
from bench.instance import bare_environ
from bench.program import Program
from bench.rows.balanced import COLOURS, Balanced
from bench.rows.row import Claim
from bench.stage import Stage


class Caddy(Balanced):
    """
    deploy/caddy.

    With the stage's reload, its configuration is loaded again in the first deploy;
    whatever Caddy loses by that is printed, and not judged.
    """

    name = "caddy"
    program = "caddy"
    ways = ({}, {"reload": True})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._settled = 0
        if stage.reload:
            self.claim = Claim.PRINTED

    @property
    def settings(self) -> dict[str, str]:
        """Whether there is a reload."""
        return {"reloads": "1"} if self.stage.reload else {}

    def balancer(self) -> Program:
        """Return Caddy with the recipe's file."""
        self._file = recipes.install(
            "caddy/Caddyfile", self.folder / "Caddyfile", self.changes
        )
        command = [programs.get("caddy"), "run", "--config", str(self._file)]
        return Program(
            command,
            log=self.folder / "caddy.log",
            is_up=self.is_up,
            environ=self._home,
        )

    @property
    def _admin(self) -> str:
        return f"unix/{self.folder}/admin.sock"

    @property
    def _home(self) -> dict[str, str]:
        """Return where Caddy keeps what it stores."""
        return {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}

    @property
    def changes(self) -> dict[str, str]:
        """Ports, the admin socket, and plain HTTP instead of a public name."""
        return super().changes | {
            # Not on every interface, as the recipe's is for good reasons.
            "admin localhost:2019": (
                f"admin {self._admin}\n\tdefault_bind {self.public.host}"
            ),
            "\nnotes.example.org {": f"\nhttp://localhost:{self.public.port} {{",
        }

    def settle(self) -> None:
        """Wait; in a row with a reload, have it halfway through the deploys."""
        super().settle()
        if self.stage.reload and self._settled == 1:
            self.reload()
        self._settled += 1

    def reload(self) -> None:
        """Load the same configuration again, as after a change of it."""
        command = [programs.get("caddy"), "reload", "--config", str(self._file)]
        subprocess.run(
            [*command, "--address", self._admin, "--force"],
            env=bare_environ() | self._home,
            check=True,
            capture_output=True,
        )


class NaiveCaddy(Balanced):
    """One address, no health check: the old one is stopped, then the new one started."""

    name = "naive-caddy"
    program = "caddy"
    claim = Claim.LOSES

    def balancer(self) -> Program:
        """Return Caddy as its quick start has it."""
        command = [
            *(programs.get("caddy"), "reverse-proxy"),
            *("--from", f"http://localhost:{self.public.port}"),
            *("--to", str(self.address(COLOURS[0]))),
        ]
        return Program(
            command,
            log=self.folder / "caddy.log",
            is_up=self.is_up,
            environ={"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)},
        )

    def deploy(self) -> None:
        """Stop, then start."""
        self.instance.stop()
        self.instance = self._next()
        self.instance.start()
        self.instance.wait_ready()
