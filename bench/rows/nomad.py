"""nomad-consul-traefik: Nomad runs the job of deploy/nomad, Traefik reads Consul."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

from bench import images, programs, recipes
from bench.images import Podman
from bench.instance import REPOSITORY, bare_environ
from bench.probes import probe
from bench.program import Program
from bench.rows.catalog import Catalog
from bench.rows.row import Claim, Row
from bench.stage import Stage
from bench.waiting import free_port, wait_until
from lifecycle.knobs import Address

JOB = "trip2g"
_RUN_TIMEOUT = 660.0
"""Longer than the job's progress_deadline, after which Nomad itself gives up."""
_DRAINED = {"complete", "failed", "lost"}


class NomadConsulTraefik(Row):
    """
    deploy/nomad as it is, on an agent that is server and client, with Docker.

    What differs from the recipe is in `changes`, and nowhere else.
    """

    name = "nomad-consul-traefik"
    claim = Claim.KEEPS_ALL
    ways = ({"refresh": 5.0, "grace": 6.0},)

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.folder = Path(stage.folder) / self.name
        self.folder.mkdir()
        self.public = Address("127.0.0.1", free_port())
        self._catalog = Catalog(self.folder)
        self._ports = {name: free_port() for name in ("http", "rpc", "serf")}
        self._data = Path(stage.knobs["DATA_DIR"])
        self._name = f"localhost/trip2g-nomad-{secrets.token_hex(3)}"
        self._tags: list[str] = []

    @classmethod
    def missing(cls) -> str | None:
        """Return what it takes to run the job and is not here."""
        lacking = programs.missing("nomad", "consul", "traefik", "docker")
        return lacking or images.missing() or _missing_docker()

    @property
    def target(self) -> Address:
        """Traefik."""
        return self.public

    @property
    def settings(self) -> dict[str, str]:
        """How often Traefik reads the catalog, and for how long the old one drains."""
        stage = self.stage
        return {"refresh": f"{stage.refresh:g}s", "grace": f"{stage.grace:g}s"}

    def changes(self, tag: str) -> dict[str, str]:
        """Return what the recipe's job says, and what is so here, for the image *tag*."""
        stage = self.stage
        return {
            "registry.example.org/trip2g:1": tag,
            "https://notes.example.org": f"http://localhost:{self.public.port}",
            # Until Traefik has read of the new one.
            'min_healthy_time  = "5s"': f'min_healthy_time  = "{stage.refresh:g}s"',
            'SHUTDOWN_GRACE_PERIOD     = "6s"': (
                f'SHUTDOWN_GRACE_PERIOD     = "{stage.grace:g}s"'
            ),
            'SHUTDOWN_TIMEOUT          = "10s"': (
                f'SHUTDOWN_TIMEOUT          = "{stage.timeout:g}s"'
            ),
            'kill_timeout = "20s"': f'kill_timeout = "{stage.grace + stage.timeout + 4:g}s"',
        }

    def agent_config(self) -> dict[str, Any]:
        """Return the agent's configuration: a server and a client on this machine."""
        return {
            "data_dir": str(self.folder / "nomad"),
            "bind_addr": "127.0.0.1",
            "ports": self._ports,
            "server": {"enabled": True, "bootstrap_expect": 1},
            "client": {
                "enabled": True,
                "cni_path": "/usr/lib/cni:/opt/cni/bin",
                "host_volume": {JOB: {"path": str(self._data), "read_only": False}},
            },
            "consul": {"address": str(self._catalog.address)},
        }

    def start(self) -> None:
        """Have Consul, Nomad and Traefik run, and the first allocation be ready."""
        self._podman = Podman(self.folder)
        images.give(self._data)
        self.resources.callback(self._remove_images)
        self.resources.enter_context(self._catalog.agent())
        self.resources.enter_context(self.agent())
        self.resources.callback(self._purge)
        self.deploy()
        self.resources.enter_context(
            self._catalog.traefik(
                self.public,
                self.stage.refresh,
                lambda: probe(self.public, "/").status == 200,
            )
        )

    def agent(self) -> Program:
        """Return Nomad's agent, not started."""
        config = self.folder / "nomad.json"
        config.write_text(json.dumps(self.agent_config()))
        return Program(
            [programs.get("nomad"), "agent", f"-config={config}"],
            log=self.folder / "nomad.log",
            is_up=lambda: "ready" in self._nomad("node", "status", check=False),
        )

    def deploy(self) -> None:
        """Build the next image and run the job; return once the old one has ended."""
        job = recipes.install(
            "nomad/trip2g.nomad.hcl",
            self.folder / "trip2g.nomad.hcl",
            self.changes(self._build()),
        )
        # Returns when the canary has been promoted, or fails.
        self._nomad("job", "run", str(job))
        wait_until(lambda: len(self._running()) == 1, 120, "the old one having ended")

    def make_token(self) -> str:
        """Return a token, made in the allocation that runs."""
        (running,) = self._running()
        name = f"bench-{secrets.token_hex(4)}"
        return self._nomad(
            *("alloc", "exec", "-i=false", "-t=false", "-task", "site", running),
            *("python", "manage.py", "token", "create", name),
        ).strip()

    def _build(self) -> str:
        releases = self.stage.releases
        tag = f"{self._name}:{len(self._tags) + 1}"
        self._podman.build(tag, releases.make_next() if releases else REPOSITORY)
        self._tags.append(tag)
        archive = self.folder / "image.tar"
        self._podman.run("save", "--quiet", "--output", archive, tag)
        self._podman.call([programs.get("docker"), "load", "--input", str(archive)])
        archive.unlink()
        return tag

    def _running(self) -> list[str]:
        """Return the allocations that have not ended."""
        found = json.loads(self._nomad("job", "allocs", "-json", JOB))
        return [one["ID"] for one in found if one["ClientStatus"] not in _DRAINED]

    def _nomad(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [programs.get("nomad"), *arguments],
            env=bare_environ()
            | {"NOMAD_ADDR": f"http://127.0.0.1:{self._ports['http']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_TIMEOUT,
        )
        if check and done.returncode != 0:
            said = re.sub(r"\s+\n", "\n", done.stdout + done.stderr)
            raise OSError(f"nomad {' '.join(arguments)} ended with an error:\n{said}")
        return done.stdout

    def _purge(self) -> None:
        self._nomad("job", "stop", "-purge", JOB, check=False)

    def _remove_images(self) -> None:
        for command in ("docker", "podman"):
            subprocess.run(
                [programs.get(command), "rmi", "--force", *self._tags],
                env=self._podman.environ,
                capture_output=True,
                check=False,
            )


def _missing_docker() -> str | None:
    done = subprocess.run(
        [programs.get("docker"), "version"],
        env=bare_environ() | {k: v for k, v in os.environ.items() if "DOCKER" in k},
        capture_output=True,
        check=False,
    )
    return None if done.returncode == 0 else "Docker's engine does not run"
