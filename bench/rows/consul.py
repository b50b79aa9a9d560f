"""consul-traefik: instances registered in Consul, and Traefik that reads its catalog."""

from __future__ import annotations

from bench import programs, recipes
from bench.program import Program
from bench.rows.balanced import Balanced
from bench.rows.catalog import Catalog
from bench.stage import Stage


class ConsulTraefik(Balanced):
    """deploy/consul."""

    name = "consul-traefik"
    program = "consul"
    ways = ({"refresh": 5.0, "grace": 6.0}, {"refresh": 15.0, "grace": 16.0})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._catalog = Catalog(self.folder)
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
        self.resources.enter_context(self._catalog.agent())
        self._register()
        return self._catalog.traefik(self.public, self.stage.refresh, self.is_up)

    def settle(self) -> None:
        """Register the new one, and wait as long as Traefik may take to see it."""
        self._register()
        super().settle()

    def _register(self) -> None:
        file = recipes.install(
            f"consul/{self.colour}.hcl",
            self.folder / f"{self.colour}.hcl",
            self.changes,
        )
        self._catalog.register(file)
        self._catalog.wait_passing(f"trip2g-{self.colour}")
