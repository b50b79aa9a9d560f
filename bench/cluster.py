"""
A Kubernetes of one node, made of this machine: real servers in a network of their own.

The servers are those that scripts/build-kubernetes.sh builds, with Debian's etcd,
containerd and runc. The node has its own network namespace, and a mount namespace for
containerd and kubelet; control groups are those of version 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import credentials, program
from bench.credentials import CONFIG
from bench.images import BASE, Podman
from bench.node import ADDRESS, GROUPS, PODS, SERVICES, ClusterError, Node, call
from bench.program import Program
from bench.resources import Owner
from bench.waiting import wait_until

FOLDER = "KUBERNETES_BIN"
"""The variable that names the folder with the servers."""
SERVERS = (
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("kubelet", "kube-proxy"),
)
_PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "conntrack": "conntrack",
    "iptables": "iptables",
    "kubectl": "kubernetes-client",
    "curl": "curl",
    "openssl": "openssl",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
_PLUGINS = Path("/usr/lib/cni")
_START_TIMEOUT = 300.0


def find(name: str) -> str | None:
    """Return where *name* is: in the folder that the variable names, or on PATH."""
    if folder := os.environ.get(FOLDER):
        path = Path(folder, name)
        if path.exists():
            return str(path.absolute())
    return program.find(name)


def missing() -> str | None:
    """Return what it takes to run a cluster and is not here, or None."""
    if os.geteuid() != 0:
        return "only root can run a node"
    for name in SERVERS:
        if find(name) is None:
            return (
                f"{name} is missing: sh scripts/build-kubernetes.sh FOLDER, "
                f"then {FOLDER}=FOLDER"
            )
    for name, package in _PACKAGES.items():
        if find(name) is None:
            return f"{name} is missing: apt-get install {package}"
    if not (_PLUGINS / "bridge").exists():
        return "CNI is missing: apt-get install containernetworking-plugins"
    if not (GROUPS / "memory").is_dir():
        return "the kubelet that is built needs control groups of version 1"
    return None


class Cluster(Owner):
    """
    A cluster that runs from entering to leaving; then nothing of it is left.

    Args:
        folder: for its files and logs.
        podman: makes the image that each pod's own process runs.
    """

    def __init__(self, folder: Path, podman: Podman) -> None:
        self._folder = folder
        self._podman = podman
        self._node = Node()
        self._state = Path("/run", self._node.name)
        super().__init__()

    def kubectl(self, *arguments: str, given: str = "") -> str:
        """
        Return what `kubectl ARGUMENTS` prints; *given* is its standard input.

        Raises:
            ClusterError: it failed.
        """
        command = [find("kubectl") or "kubectl", *arguments]
        config = {"KUBECONFIG": str(self._folder / CONFIG)}
        return call(*command, given=given, environ=config)

    def load(self, image: str) -> None:
        """Have the node know podman's *image*."""
        archive = self._folder / "image.tar"
        self._podman.run("save", "--quiet", "--output", archive, image)
        address = f"--address={self._state}/containerd.sock"
        call("ctr", address, "-n", "k8s.io", "images", "import", str(archive))
        archive.unlink()

    # -- its parts ------------------------------------------------------------------

    def _begin(self) -> None:
        self._resources.enter_context(self._node)
        credentials.make(self._folder, ADDRESS)
        self._run("etcd", *self._etcd(), is_up=self._answers("http", 2379, "/health"))
        server = self._answers("https", 6443, "/readyz")
        self._run("kube-apiserver", *self._apiserver(), is_up=server)
        config = f"--kubeconfig={self._folder}/{CONFIG}"
        alone = ("--leader-elect=false", "--bind-address=127.0.0.1")
        self._run(
            *("kube-controller-manager", config, *alone),
            f"--service-account-private-key-file={self._folder}/sa.key",
            f"--root-ca-file={self._folder}/ca.crt",
        )
        self._run("kube-scheduler", config, *alone)
        self._start_node()
        self._run(
            *(
                "kube-proxy",
                config,
                "--hostname-override=node",
                "--proxy-mode=iptables",
            ),
            *("--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"),
            *("--conntrack-tcp-timeout-close-wait=0", f"--cluster-cidr={PODS}"),
            *(f"--bind-address={ADDRESS}", "--healthz-bind-address=127.0.0.1"),
            "--metrics-bind-address=127.0.0.1",
        )
        wait_until(self._is_ready, _START_TIMEOUT, "the node being ready", interval=0.5)
        # Deleted while all that it takes still runs.
        self._resources.callback(self._delete_pods)

    def _etcd(self) -> list[str]:
        at, peers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        return [
            *(f"--data-dir={self._folder}/etcd", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={at}", f"--advertise-client-urls={at}"),
            *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"),
            f"--initial-cluster=default={peers}",
        ]

    def _apiserver(self) -> list[str]:
        files = {
            "client-ca-file": "ca.crt",
            "tls-cert-file": "apiserver.crt",
            "tls-private-key-file": "apiserver.key",
            "service-account-key-file": "sa.key",
            "service-account-signing-key-file": "sa.key",
            "kubelet-client-certificate": "admin.crt",
            "kubelet-client-key": "admin.key",
        }
        return [
            *("--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443"),
            *(f"--bind-address={ADDRESS}", f"--advertise-address={ADDRESS}"),
            *(f"--{flag}={self._folder}/{name}" for flag, name in files.items()),
            *("--service-account-issuer=https://cluster", "--api-audiences=cluster"),
            *(f"--service-cluster-ip-range={SERVICES}", "--authorization-mode=RBAC"),
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _start_node(self) -> None:
        """Start containerd and kubelet, in one mount namespace that pods share with."""
        self._resources.callback(shutil.rmtree, self._state, ignore_errors=True)
        self._state.mkdir(mode=0o700)
        config = self._folder / "containerd.toml"
        pause = f"localhost/{self._node.name}:pause"
        config.write_text(
            f'version = 2\nroot = "{self._folder}/containerd"\nstate = "{self._state}"\n'
            f'[grpc]\naddress = "{self._state}/containerd.sock"\n'
            f'[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "{pause}"\n'
            "restrict_oom_score_adj = true\ndisable_apparmor = true\n"
            f'[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "{_PLUGINS}"\n'
            f'conf_dir = "{self._folder}/cni"\n'
            '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n'
            'runtime_type = "io.containerd.runc.v2"\n'
        )
        self._write_cni()
        into = ["nsenter", f"--net=/run/netns/{self._node.name}"]
        socket = self._state / "containerd.sock"
        command = ["unshare", "--mount", "--propagation=shared", "containerd"]
        self._resources.callback(self._node.end_processes)
        containerd = Program(
            [*into, *command, f"--config={config}"],
            log=self._folder / "containerd.log",
            is_up=socket.exists,
            timeout=_START_TIMEOUT,
        )
        self._resources.enter_context(containerd)
        self._make_pause(pause)
        self.load(pause)
        file = self._folder / "kubelet.json"
        file.write_text(json.dumps(self._kubelet()))
        kubelet = Program(
            [
                *(*into, f"--mount=/proc/{containerd.pid}/ns/mnt"),
                *(find("kubelet") or "kubelet", f"--config={file}"),
                f"--kubeconfig={self._folder}/{CONFIG}",
                "--container-runtime=remote",
                f"--container-runtime-endpoint=unix://{socket}",
                *("--hostname-override=node", f"--node-ip={ADDRESS}"),
                f"--root-dir={self._folder}/kubelet",
                f"--cert-dir={self._folder}/kubelet-pki",
                f"--runtime-cgroups=/{self._node.name}",
            ],
            log=self._folder / "kubelet.log",
            is_up=lambda: True,
            # It would ask a cloud's address for what it is.
            environ={"AWS_EC2_METADATA_DISABLED": "true"},
        )
        self._resources.enter_context(kubelet)

    def _kubelet(self) -> dict[str, Any]:
        return {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": f"{self._folder}/ca.crt"},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "address": ADDRESS,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._node.name}",
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi"},
        }

    def _write_cni(self) -> None:
        (self._folder / "cni").mkdir()
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": f"{self._folder}/addresses",
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        plugins = [bridge, {"type": "loopback"}]
        config = {"cniVersion": "0.4.0", "name": self._node.name, "plugins": plugins}
        (self._folder / "cni" / "10-bridge.conflist").write_text(json.dumps(config))

    def _make_pause(self, tag: str) -> None:
        """Make the image that keeps a pod's namespaces: it sleeps."""
        folder = self._folder / "pause"
        folder.mkdir()
        (folder / "Containerfile").write_text(
            f'FROM {BASE}\nENTRYPOINT ["/bin/sleep", "infinity"]\n'
        )
        self._podman.make_base()
        self._podman.run("build", "--quiet", "--pull=never", "--tag", tag, folder)
        self._resources.callback(self._podman.run, "rmi", "--force", tag)

    # -- small things ---------------------------------------------------------------

    def _path(self, name: str) -> str:
        return str(self._folder / name)

    def _run(
        self, name: str, *arguments: str, is_up: Callable[[], bool] = lambda: True
    ) -> None:
        """Start a server in the node's network."""
        command = [*self._node.inside, find(name) or name]
        log = self._folder / f"{name}.log"
        whole = [*command, *arguments]
        server = Program(whole, log=log, is_up=is_up, timeout=_START_TIMEOUT)
        self._resources.enter_context(server)

    def _answers(self, scheme: str, port: int, path: str) -> Callable[[], bool]:
        host = ADDRESS if scheme == "https" else "127.0.0.1"
        keys = ("--cert", self._path("admin.crt"), "--key", self._path("admin.key"))
        trust = ("--cacert", self._path("ca.crt"), *keys) if scheme == "https" else ()
        command = [*self._node.inside, "curl", "-sfm2", *trust]

        def answers() -> bool:
            done = subprocess.run(
                [*command, f"{scheme}://{host}:{port}{path}"],
                capture_output=True,
                check=False,
            )
            return done.returncode == 0

        return answers

    def _is_ready(self) -> bool:
        with contextlib.suppress(ClusterError):
            self.kubectl("get", "serviceaccount", "default")
            return " Ready" in self.kubectl("get", "node", "node", "--no-headers")
        return False

    def _delete_pods(self) -> None:
        with contextlib.suppress(ClusterError):
            # What makes pods goes first: it would put another in the place of each.
            makers = ("deployments,replicasets", "--all", "--cascade=orphan")
            self.kubectl("delete", *makers, "--timeout=60s")
            rest = ("services,pods", "--all", "--grace-period=1")
            self.kubectl("delete", *rest, "--timeout=60s")
