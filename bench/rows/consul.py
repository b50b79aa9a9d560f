"""consul-traefik: instances registered in Consul, and Traefik that reads its catalog."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request

from bench import programs, recipes
from bench.instance import bare_environ
from bench.program import Program
from bench.rows.balanced import Balanced
from bench.rows.traefik import ENTRY_POINT
from bench.stage import Stage
from bench.waiting import free_port, wait_until
from lifecycle.knobs import Address

CATALOG = "127.0.0.1:8500"
_REFRESH = "refreshInterval: 5s"


class ConsulTraefik(Balanced):
    """deploy/consul."""

    name = "consul-traefik"
    program = "consul"
    ways = ({"refresh": 5.0, "grace": 6.0}, {"refresh": 15.0, "grace": 16.0})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._catalog = Address("127.0.0.1", free_port())
        # Traefik reads the catalog again, and then asks the instance itself.
        self.window = stage.refresh + 2.0

    @classmethod
    def missing(cls) -> str | None:
        """Return how to get Consul or Traefik, if one is not here."""
        return programs.missing("consul", "traefik")

    @property
    def settings(self) -> dict[str, str]:
        """How often Traefik reads the catalog, and for how long the old one drains."""
        stage = self.stage
        return {"refresh": f"{stage.refresh:g}s", "grace": f"{stage.grace:g}s"}

    def balancer(self) -> Program:
        """Start Consul, and return Traefik."""
        self.resources.enter_context(self._consul())
        self._register()
        self._wait_passing()
        file = recipes.install(
            "consul/traefik.yml",
            self.folder / "traefik.yml",
            {
                ENTRY_POINT: f'address: "{self.public}"',
                CATALOG: str(self._catalog),
                _REFRESH: f"refreshInterval: {self.stage.refresh:g}s",
            },
        )
        return Program(
            [programs.get("traefik"), f"--configFile={file}"],
            log=self.folder / "traefik.log",
            is_up=self.is_up,
        )

    def settle(self) -> None:
        """Register the new one, and wait as long as Traefik may take to see it."""
        self._register()
        self._wait_passing()
        super().settle()

    def _consul(self) -> Program:
        config = recipes.install(
            "consul/consul.hcl",
            self.folder / "consul.hcl",
            {"/var/lib/consul": str(self.folder / "consul")},
        )
        # Its other ports are no part of the recipe, and may be taken here.
        ports = {
            "dns": -1,
            "http": self._catalog.port,
            **{name: free_port() for name in ("server", "serf_lan", "serf_wan")},
        }
        (self.folder / "ports.json").write_text(json.dumps({"ports": ports}))
        return Program(
            [
                *(programs.get("consul"), "agent", f"-config-file={config}"),
                f"-config-file={self.folder / 'ports.json'}",
            ],
            log=self.folder / "consul.log",
            is_up=lambda: bool(self._ask("/v1/status/leader")),
        )

    def _register(self) -> None:
        file = recipes.install(
            f"consul/{self.colour}.hcl",
            self.folder / f"{self.colour}.hcl",
            self.changes,
        )
        address = f"-http-addr={self._catalog}"
        subprocess.run(
            [programs.get("consul"), "services", "register", address, str(file)],
            env=bare_environ(),
            check=True,
            capture_output=True,
        )

    def _wait_passing(self) -> None:
        wanted = f"trip2g-{self.colour}"

        def passes() -> bool:
            passing = self._ask("/v1/health/service/trip2g?passing")
            return wanted in [one["Service"]["ID"] for one in passing or []]

        wait_until(passes, 30, f"{wanted} passing in Consul", interval=0.1)

    def _ask(self, path: str) -> list[dict[str, dict[str, str]]] | None:
        """Return what Consul's API answers, or None."""
        try:
            with urllib.request.urlopen(
                f"http://{self._catalog}{path}", timeout=2
            ) as answer:
                found = json.load(answer)
        except (OSError, urllib.error.URLError, ValueError):
            return None
        return found or None
