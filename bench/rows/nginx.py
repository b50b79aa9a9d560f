"""nginx-flip: nginx, told by the deploy which of two addresses serves."""

from __future__ import annotations

import subprocess
import time

from bench import programs, recipes
from bench.program import Program
from bench.rows.balanced import Balanced
from bench.rows.row import Claim


class NginxFlip(Balanced):
    """deploy/nginx."""

    name = "nginx-flip"
    program = "nginx"
    claim = Claim.PRINTED
    window = 0.5

    def balancer(self) -> Program:
        """Return nginx with the recipe's file."""
        folder = self.folder
        recipes.install(
            "nginx/trip2g-upstream.conf",
            folder / "upstream.conf",
            {"8080": self.ports["8080"]},
        )
        recipes.install(
            "nginx/nginx.conf",
            folder / "nginx.conf",
            {
                "pid /run/nginx.pid;": f"pid {folder}/nginx.pid; daemon off; user root;",
                "/var/log/nginx/error.log": f"{folder}/error.log",
                "/etc/nginx/trip2g-upstream.conf": f"{folder}/upstream.conf",
                "listen 80;": f"listen {self.public};",
                "access_log off;": "access_log off;\n"
                + "".join(
                    f"{name}_temp_path {folder}/{name};\n"
                    for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
                ),
            },
        )
        flip = recipes.install(
            "nginx/flip.sh",
            folder / "flip.sh",
            {
                "/etc/nginx/trip2g-upstream.conf": f"{folder}/upstream.conf",
                "nginx -t -q": " ".join(["nginx", *self._arguments, "-t -q"]),
                "nginx -s reload": " ".join(["nginx", *self._arguments, "-s reload"]),
            },
        )
        flip.chmod(0o755)
        return Program(
            [programs.get("nginx"), *self._arguments],
            log=folder / "nginx.log",
            is_up=self.is_up,
        )

    @property
    def _arguments(self) -> list[str]:
        folder = self.folder
        prefix, errors = str(folder), str(folder / "error.log")
        return ["-p", prefix, "-c", str(folder / "nginx.conf"), "-e", errors]

    def settle(self) -> None:
        """Send everything to the instance that is ready."""
        address = str(self.address(self.colour))
        subprocess.run(
            ["sh", str(self.folder / "flip.sh"), address],
            check=True,
            capture_output=True,
            timeout=30,
        )
        time.sleep(self.window)
