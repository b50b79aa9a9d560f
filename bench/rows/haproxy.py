"""haproxy: HAProxy in front of two addresses."""

from __future__ import annotations

from bench import programs, recipes
from bench.program import Program
from bench.rows.balanced import Balanced


class HAProxy(Balanced):
    """deploy/haproxy."""

    name = "haproxy"
    program = "haproxy"

    def balancer(self) -> Program:
        """Return HAProxy with the recipe's file."""
        file = recipes.install(
            "haproxy/haproxy.cfg",
            self.folder / "haproxy.cfg",
            self.changes
            | {
                "bind :80\n": f"bind {self.public}\n",
                # Whoever plays the row need not be root.
                "    user haproxy\n    group haproxy\n": "",
                "/run/haproxy/admin.sock": f"{self.folder}/admin.sock",
            },
        )
        return Program(
            [programs.get("haproxy"), "-db", "-f", str(file)],
            log=self.folder / "haproxy.log",
            is_up=self.is_up,
        )
