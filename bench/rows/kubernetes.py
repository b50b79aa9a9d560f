"""kubernetes: a rollout of the Deployment on a node of its own."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from bench import cluster, images, recipes
from bench.cluster import Cluster
from bench.images import Podman
from bench.instance import REPOSITORY
from bench.probes import probe
from bench.rows.row import Claim, Row
from bench.stage import Stage
from bench.waiting import wait_until
from lifecycle.knobs import Address

_VOLUME = """\
apiVersion: v1
kind: PersistentVolume
metadata: {{name: data}}
spec:
  capacity: {{storage: 5Gi}}
  accessModes: [ReadWriteOnce]
  hostPath: {{path: {path}, type: Directory}}
"""


class Kubernetes(Row):
    """
    deploy/kubernetes as it is; readers come by the address of its Service.

    What differs from the recipe is in `changes`, and nowhere else.
    """

    name = "kubernetes"
    claim = Claim.KEEPS_ALL
    ways = ({"grace": 6.0},)

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.folder = Path(stage.folder) / self.name
        self.folder.mkdir()
        self._data = Path(stage.knobs["DATA_DIR"])
        self._name = f"localhost/trip2g-{secrets.token_hex(3)}"
        self._number = 0
        # Images that the node has and that were not deployed, the next one first.
        self._loaded: list[str] = []
        self._public: Address
        self.cluster: Cluster

    @classmethod
    def missing(cls) -> str | None:
        """Return what it takes to run a cluster and is not here."""
        return cluster.missing() or images.missing()

    @property
    def target(self) -> Address:
        """The Service."""
        return self._public

    @property
    def settings(self) -> dict[str, str]:
        """For how long the old pod drains."""
        return {"grace": f"{self.stage.grace:g}s"}

    def changes(self, tag: str) -> dict[str, str]:
        """Return what the recipe says, and what is so here, for the image *tag*."""
        stage = self.stage
        return {
            "registry.example.org/trip2g:1": tag,
            "https://notes.example.org": "http://localhost",
            "SHUTDOWN_GRACE_PERIOD, value: 6s": (
                f"SHUTDOWN_GRACE_PERIOD, value: {stage.grace:g}s"
            ),
            "SHUTDOWN_TIMEOUT, value: 10s": (
                f"SHUTDOWN_TIMEOUT, value: {stage.timeout:g}s"
            ),
        }

    def start(self) -> None:
        """Have a cluster, and the first pod ready behind the Service."""
        self._podman = Podman(self.folder)
        images.give(self._data)
        self.cluster = self.resources.enter_context(Cluster(self.folder, self._podman))
        self.cluster.kubectl(
            *("apply", "-f", "-"), given=_VOLUME.format(path=self._data)
        )
        self.deploy()
        service = json.loads(self.cluster.kubectl("get", "service", "trip2g", "-ojson"))
        self._public = Address(
            service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"]
        )
        wait_until(
            lambda: probe(self._public, "/", host="localhost").status == 200,
            60,
            "the Service answering",
        )

    def prepare(self, deploys: int) -> None:
        """
        Have the node know the images.

        It would pull the layers that changed; without a registry it is given all.
        """
        self._loaded += [self._load() for _ in range(deploys)]

    def deploy(self) -> None:
        """Roll the next image out; return once the old pod is gone."""
        tag = self._loaded.pop(0) if self._loaded else self._load()
        text = recipes.render("kubernetes/trip2g.yaml", self.changes(tag))
        self.cluster.kubectl("apply", "-f", "-", given=text)
        self.cluster.kubectl(
            *("rollout", "status", "deployment/trip2g", "--timeout=280s")
        )
        wait_until(lambda: len(self.pods()) == 1, 120, "the old pod being gone")

    def pods(self) -> list[str]:
        """Return the names of the site's pods, those that end included."""
        return self.cluster.kubectl(
            *("get", "pods", "--selector=app=trip2g", "--output=name")
        ).split()

    def make_token(self) -> str:
        """Return a token, made in the pod that runs."""
        (pod,) = self.pods()
        name = f"bench-{secrets.token_hex(4)}"
        command = ("python", "manage.py", "token", "create", name)
        return self.cluster.kubectl("exec", pod, "--", *command).strip()

    def _load(self) -> str:
        releases = self.stage.releases
        self._number += 1
        tag = f"{self._name}:{self._number}"
        self._podman.build(tag, releases.make_next() if releases else REPOSITORY)
        self.resources.callback(self._podman.run, "rmi", "--force", tag)
        self.cluster.load(tag)
        return tag
