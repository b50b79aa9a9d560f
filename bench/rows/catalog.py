"""Consul's agent, and Traefik that reads its catalog, by the recipe deploy/consul."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from bench import programs, recipes
from bench.instance import bare_environ
from bench.program import Program
from bench.rows.traefik import ENTRY_POINT
from bench.waiting import free_port, wait_until
from lifecycle.knobs import Address

_ADDRESS = "127.0.0.1:8500"
_REFRESH = "refreshInterval: 5s"


class Catalog:
    """
    One agent of Consul's with free ports.

    Args:
        folder: for its data, its files and its log.
    """

    def __init__(self, folder: Path) -> None:
        self.address = Address("127.0.0.1", free_port())
        self._folder = folder

    def agent(self) -> Program:
        """Return the agent, not started."""
        config = recipes.install(
            "consul/consul.hcl",
            self._folder / "consul.hcl",
            {"/var/lib/consul": str(self._folder / "consul")},
        )
        # Its other ports are no part of the recipe, and may be taken here.
        ports = {
            "dns": -1,
            "http": self.address.port,
            **{name: free_port() for name in ("server", "serf_lan", "serf_wan")},
        }
        (self._folder / "ports.json").write_text(json.dumps({"ports": ports}))
        return Program(
            [
                *(programs.get("consul"), "agent", f"-config-file={config}"),
                f"-config-file={self._folder / 'ports.json'}",
            ],
            log=self._folder / "consul.log",
            is_up=lambda: bool(self._ask("/v1/status/leader")),
        )

    def traefik(
        self, public: Address, refresh: float, is_up: Callable[[], bool]
    ) -> Program:
        """Return Traefik on *public*, which reads the catalog every *refresh* seconds."""
        file = recipes.install(
            "consul/traefik.yml",
            self._folder / "traefik.yml",
            {
                ENTRY_POINT: f'address: "{public}"',
                _ADDRESS: str(self.address),
                _REFRESH: f"refreshInterval: {refresh:g}s",
            },
        )
        return Program(
            [programs.get("traefik"), f"--configFile={file}"],
            log=self._folder / "traefik.log",
            is_up=is_up,
        )

    def register(self, file: Path) -> None:
        """Have the agent know the service in *file*."""
        address = f"-http-addr={self.address}"
        subprocess.run(
            [programs.get("consul"), "services", "register", address, str(file)],
            env=bare_environ(),
            check=True,
            capture_output=True,
        )

    def wait_passing(self, service: str) -> None:
        """Wait until the instance *service* of the site passes its check."""

        def passes() -> bool:
            passing = self._ask("/v1/health/service/trip2g?passing")
            return service in [one["Service"]["ID"] for one in passing or []]

        wait_until(passes, 30, f"{service} passing in Consul", interval=0.1)

    def _ask(self, path: str) -> list[dict[str, dict[str, str]]] | None:
        """Return what Consul's API answers, or None."""
        try:
            with urllib.request.urlopen(
                f"http://{self.address}{path}", timeout=2
            ) as answer:
                found = json.load(answer)
        except (OSError, urllib.error.URLError, ValueError):
            return None
        return found or None
