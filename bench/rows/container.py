"""container: blue and green as containers on one volume, Caddy as a third one."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from pathlib import Path

from bench import images, recipes
from bench.images import ImageError, Podman
from bench.instance import REPOSITORY
from bench.probes import probe
from bench.rows.row import Claim, Row
from bench.stage import Stage
from bench.waiting import free_port, wait_until
from lifecycle.knobs import Address


class Container(Row):
    """deploy/container: its Containerfile, compose file, Caddyfile and deploy.sh."""

    name = "container"
    claim = Claim.KEEPS_ALL

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._public = Address("127.0.0.1", free_port())
        # Names what podman makes, and is the name of the compose project.
        self._project = f"trip2g-{secrets.token_hex(3)}"
        self._folder = Path(stage.folder) / self._project
        self._data = Path(stage.knobs["DATA_DIR"])
        self._tags: list[str] = []
        # Images that are there and have not been deployed, the next one first.
        self._built: list[str] = []

    @classmethod
    def missing(cls) -> str | None:
        """Return what it takes to run containers and is not here."""
        return images.missing()

    @property
    def target(self) -> Address:
        """The port that Caddy publishes."""
        return self._public

    def start(self) -> None:
        """Build the first image, and have Caddy send readers to its container."""
        self._folder.mkdir()
        self._podman = Podman(self._folder)
        self._podman.make_caddy()
        self._install()
        images.give(self._data)
        self.resources.callback(self._end)
        self._deploy()
        self._compose("up", "--detach", "caddy")
        wait_until(
            lambda: probe(self._public, "/").status == 200, 60, "Caddy sending readers"
        )

    def prepare(self, deploys: int) -> None:
        """Build the images: who has one small server has them built elsewhere."""
        self._built += [self._build() for _ in range(deploys)]

    def deploy(self) -> None:
        """Deploy the next image by the recipe's script; build it, if it is not there."""
        self._deploy()

    def make_token(self) -> str:
        """Return a token, made by the container that runs."""
        name = f"bench-{secrets.token_hex(4)}"
        colour = self._running()
        return self._compose(
            "exec", "-T", colour, "python", "manage.py", "token", "create", name
        ).strip()

    def exit_codes(self) -> dict[str, str]:
        """Return how each container that is stopped has ended, by its name."""
        found = self._podman.run(
            *("ps", "--all", "--filter", f"label={self._label}"),
            *("--filter", "status=exited", "--format", "{{.Names}} {{.ExitCode}}"),
        )
        return dict(line.split(" ") for line in found.splitlines())

    @property
    def _label(self) -> str:
        return f"io.podman.compose.project={self._project}"

    def _install(self) -> None:
        subnet = f"10.89.{secrets.randbelow(100) + 100}.0/24"
        grace = f"{self.stage.grace}s"
        recipes.install("container/Caddyfile", self._folder / "Caddyfile", {})
        recipes.install(
            "container/compose.yaml",
            self._folder / "compose.yaml",
            {
                '"data:/data"': f'"{self._data}:/data"',
                "10.89.7.0/24": subnet,
                "SHUTDOWN_TIMEOUT: 10s": f"SHUTDOWN_TIMEOUT: {self.stage.timeout}s",
            },
        )
        shutil.copy(recipes.DEPLOY / "container" / "deploy.sh", self._folder)
        (self._folder / ".env").write_text(
            f"CADDY={images.CADDY}\nPORT={self._public}\nSHUTDOWN_GRACE_PERIOD={grace}\n"
            f"COMPOSE_PROJECT_NAME={self._project}\n"
        )

    def _build(self) -> str:
        releases = self.stage.releases
        tag = f"localhost/{self._project}:{len(self._tags) + 1}"
        self._podman.build(tag, releases.make_next() if releases else REPOSITORY)
        self._tags.append(tag)
        return tag

    def _deploy(self) -> None:
        tag = self._built.pop(0) if self._built else self._build()
        self._podman.call(
            ["sh", str(self._folder / "deploy.sh"), tag],
            environ={"COMPOSE": f"podman-compose --project-name {self._project}"},
        )

    def _running(self) -> str:
        names = self._podman.run(
            *("ps", "--filter", f"label={self._label}", "--format", "{{.Names}}")
        )
        return "blue" if "blue" in names else "green"

    def _compose(self, *arguments: str) -> str:
        return self._podman.call(
            ["podman-compose", "--project-name", self._project, *arguments]
        )

    def _end(self) -> None:
        with contextlib.suppress(ImageError):
            self._compose("down", "--volumes", "--timeout", "1")
        with contextlib.suppress(ImageError):
            self._podman.run("rmi", "--force", *self._tags)
