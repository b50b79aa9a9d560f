"""traefik, traefik-retry and naive-traefik: Traefik with its file provider."""

from __future__ import annotations

import signal

from bench import programs, recipes
from bench.program import Program
from bench.rows.balanced import Balanced
from bench.rows.row import Claim

ENTRY_POINT = 'address: ":80"'
_RETRY = "      middlewares: [retry]\n"
_OTHER = '          - url: "http://127.0.0.3:8080"\n'


class TraefikRetry(Balanced):
    """deploy/traefik."""

    name = "traefik-retry"
    program = "traefik"

    def balancer(self) -> Program:
        """Return Traefik with the recipe's files."""
        dynamic = self.folder / "dynamic.yml"
        dynamic.write_text(self.routes(), encoding="utf-8")
        static = recipes.install(
            "traefik/traefik.yml",
            self.folder / "traefik.yml",
            {
                ENTRY_POINT: f'address: "{self.public}"',
                "/etc/traefik/dynamic.yml": str(dynamic),
            },
        )
        return Program(
            [programs.get("traefik"), f"--configFile={static}"],
            log=self.folder / "traefik.log",
            is_up=self.is_up,
        )

    def routes(self) -> str:
        """Return the part of the configuration that Traefik watches."""
        return recipes.render("traefik/dynamic.yml", self.changes)


class Traefik(TraefikRetry):
    """The same without its retry: the active check alone."""

    name = "traefik"
    claim = Claim.PRINTED

    @property
    def changes(self) -> dict[str, str]:
        """Take the router's middleware out."""
        return super().changes | {_RETRY: ""}


class NaiveTraefik(Traefik):
    """
    No check: the file names the new instance alone as soon as it has been started.

    That is what a service registry does which nobody gates by health.
    """

    name = "naive-traefik"
    claim = Claim.LOSES

    @property
    def changes(self) -> dict[str, str]:
        """Take the check out, and name the instance of the moment."""
        check = recipes.render("traefik/dynamic.yml", {})
        start = check.index("        healthCheck:")
        end = check.index("        servers:")
        first = '          - url: "http://127.0.0.2:8080"\n'
        return super().changes | {
            check[start:end]: "",
            first: f'          - url: "http://{self.address(self.colour)}"\n',
            _OTHER: "",
        }

    def deploy(self) -> None:
        """Start the new one, register it, stop the old one, and wait for nothing."""
        old = self.instance
        self.flip()
        self.instance.start()
        # At once, lest Traefik reads half of it.
        new = self.folder / "dynamic.new"
        new.write_text(self.routes(), encoding="utf-8")
        new.replace(self.folder / "dynamic.yml")
        old.send(signal.SIGTERM)
        self.instance.wait_ready()
        old.wait()
