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
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import program
from bench.images import BASE, Podman
from bench.instance import bare_environ
from bench.program import Program
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
_NODE, _GATEWAY = "10.99.0.1", "10.99.0.254"
_SERVICES, _PODS = "10.96.0.0/16", "10.98.0.0/24"
_PLUGINS = Path("/usr/lib/cni")
_GROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = (
    *("cpu", "cpuacct", "cpuset", "memory", "pids"),
    *("devices", "blkio", "freezer", "systemd"),
)
# The kubelet changes these for the whole machine.
_SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")  # fmt: skip
_COMMAND_TIMEOUT = 300.0
_START_TIMEOUT = 300.0


class ClusterError(Exception):
    """A command of the cluster's failed; the message is what it said."""


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
    if not (_GROUPS / "memory").is_dir():
        return "the kubelet that is built needs control groups of version 1"
    return None


class Cluster:
    """
    A cluster that runs from entering to leaving; then nothing of it is left.

    Args:
        folder: for its files and logs.
        podman: makes the image that each pod's own process runs.
    """

    def __init__(self, folder: Path, podman: Podman) -> None:
        self._folder = folder
        self._podman = podman
        self._name = f"trip2g-{secrets.token_hex(2)}"
        self._state = Path("/run", self._name)
        self._resources = contextlib.ExitStack()
        self._node: Program

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """
        Return what `kubectl ARGUMENTS` prints; *given* is its standard input.

        Raises:
            ClusterError: it failed.
        """
        command = [find("kubectl") or "kubectl", *arguments]
        config = {"KUBECONFIG": str(self._folder / "admin.conf")}
        return self._call(*command, given=given, environ=config)

    def load(self, image: str) -> None:
        """Have the node know podman's *image*."""
        archive = self._folder / "image.tar"
        self._podman.run("save", "--quiet", "--output", archive, image)
        address = f"--address={self._state}/containerd.sock"
        self._call("ctr", address, "-n", "k8s.io", "images", "import", str(archive))
        archive.unlink()

    # -- its parts ------------------------------------------------------------------

    def _start(self) -> None:
        self._make_network()
        self._make_groups()
        self._make_certificates()
        self._run("etcd", *self._etcd(), is_up=self._answers("http", 2379, "/health"))
        server = self._answers("https", 6443, "/readyz")
        self._run("kube-apiserver", *self._apiserver(), is_up=server)
        config = f"--kubeconfig={self._folder}/admin.conf"
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
            *("--conntrack-tcp-timeout-close-wait=0", f"--cluster-cidr={_PODS}"),
            *(f"--bind-address={_NODE}", "--healthz-bind-address=127.0.0.1"),
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
            *(f"--bind-address={_NODE}", f"--advertise-address={_NODE}"),
            *(f"--{flag}={self._folder}/{name}" for flag, name in files.items()),
            *("--service-account-issuer=https://cluster", "--api-audiences=cluster"),
            *(f"--service-cluster-ip-range={_SERVICES}", "--authorization-mode=RBAC"),
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _start_node(self) -> None:
        """Start containerd and kubelet, in one mount namespace that pods share with."""
        self._resources.callback(shutil.rmtree, self._state, ignore_errors=True)
        self._state.mkdir(mode=0o700)
        config = self._folder / "containerd.toml"
        pause = f"localhost/{self._name}:pause"
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
        into = ["nsenter", f"--net=/run/netns/{self._name}"]
        socket = self._state / "containerd.sock"
        command = ["unshare", "--mount", "--propagation=shared", "containerd"]
        self._resources.callback(self._end_pods)
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
                f"--kubeconfig={self._folder}/admin.conf",
                "--container-runtime=remote",
                f"--container-runtime-endpoint=unix://{socket}",
                *("--hostname-override=node", f"--node-ip={_NODE}"),
                f"--root-dir={self._folder}/kubelet",
                f"--cert-dir={self._folder}/kubelet-pki",
                f"--runtime-cgroups=/{self._name}",
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
            "address": _NODE,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._name}",
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
                "ranges": [[{"subnet": _PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        plugins = [bridge, {"type": "loopback"}]
        config = {"cniVersion": "0.4.0", "name": self._name, "plugins": plugins}
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

    def _make_network(self) -> None:
        """Make the node's network, with a wire to this machine's; no way further."""
        name, outside = self._name, f"{self._name}o"
        self._resources.callback(self._try, "ip", "netns", "del", name)
        self._call("ip", "netns", "add", name)
        self._resources.callback(self._try, "ip", "link", "del", outside)
        wire = ("type", "veth", "peer", "name", "node0", "netns", name)
        self._call("ip", "link", "add", outside, *wire)
        self._call("ip", "addr", "add", f"{_GATEWAY}/24", "dev", outside)
        self._call("ip", "link", "set", outside, "up")
        inside = ("ip", "-n", name)
        self._call(*inside, "addr", "add", f"{_NODE}/24", "dev", "node0")
        self._call(*inside, "link", "set", "node0", "up")
        self._call(*inside, "link", "set", "lo", "up")
        self._call(*inside, "route", "add", _SERVICES, "dev", "node0")
        self._call("ip", "route", "add", _SERVICES, "via", _NODE)
        forward = ("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self._call("ip", "netns", "exec", name, *forward)

    def _make_groups(self) -> None:
        for setting in _SYSCTLS:
            path = Path("/proc/sys", setting)
            self._resources.callback(path.write_text, path.read_text())
        self._resources.callback(self._remove_groups)
        for controller in _CONTROLLERS:
            (_GROUPS / controller / self._name).mkdir()
        top = _GROUPS / "cpuset"
        for name in ("cpuset.cpus", "cpuset.mems"):
            (top / self._name / name).write_text((top / name).read_text())
        (top / self._name / "cgroup.clone_children").write_text("1")
        # Else all pods together weigh as much as one process outside.
        (_GROUPS / "cpu" / self._name / "cpu.shares").write_text("16384")

    def _make_certificates(self) -> None:
        names = (
            f"subjectAltName=IP:{_NODE},IP:127.0.0.1,IP:10.96.0.1,"
            "DNS:kubernetes,DNS:kubernetes.default"
        )
        new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
        by = ("-CA", self._path("ca.crt"), "-CAkey", self._path("ca.key"))
        for name, subject, more in (
            ("ca", "/CN=cluster", ()),
            ("apiserver", "/CN=kube-apiserver", (*by, "-addext", names)),
            ("admin", "/O=system:masters/CN=admin", by),
        ):
            files = ("-keyout", self._path(f"{name}.key"))
            out = ("-out", self._path(f"{name}.crt"))
            self._call("openssl", *new, "-subj", subject, *files, *out, *more)
        self._call("openssl", "genrsa", "-out", self._path("sa.key"), "2048")
        user = {
            "client-certificate": self._path("admin.crt"),
            "client-key": self._path("admin.key"),
        }
        server = {
            "server": f"https://{_NODE}:6443",
            "certificate-authority": self._path("ca.crt"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": server}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (self._folder / "admin.conf").write_text(json.dumps(config))

    # -- small things ---------------------------------------------------------------

    def _path(self, name: str) -> str:
        return str(self._folder / name)

    def _run(
        self, name: str, *arguments: str, is_up: Callable[[], bool] = lambda: True
    ) -> None:
        """Start a server in the node's network."""
        command = ["ip", "netns", "exec", self._name, find(name) or name]
        log = self._folder / f"{name}.log"
        whole = [*command, *arguments]
        server = Program(whole, log=log, is_up=is_up, timeout=_START_TIMEOUT)
        self._resources.enter_context(server)

    def _answers(self, scheme: str, port: int, path: str) -> Callable[[], bool]:
        host = _NODE if scheme == "https" else "127.0.0.1"
        keys = ("--cert", self._path("admin.crt"), "--key", self._path("admin.key"))
        trust = ("--cacert", self._path("ca.crt"), *keys) if scheme == "https" else ()
        command = ["ip", "netns", "exec", self._name, "curl", "-sfm2", *trust]

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
            everything = ("deployments,services,pods", "--all")
            self.kubectl("delete", *everything, "--grace-period=1", "--timeout=60s")

    def _end_pods(self) -> None:
        """End what is left of the pods and what held them, once containerd is gone."""
        held = self._try("ip", "netns", "pids", self._name).split()
        for path in (_GROUPS / "pids" / self._name).rglob("cgroup.procs"):
            held += path.read_text().split()
        for pid in {int(one) for one in held}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _remove_groups(self) -> None:
        def is_removed() -> bool:
            every = (*_CONTROLLERS, "unified")
            left = [_GROUPS / controller / self._name for controller in every]
            for top in left:
                folders = [one for one in (*top.rglob("*"), top) if one.is_dir()]
                for path in sorted(folders, key=lambda one: -len(one.parts)):
                    with contextlib.suppress(OSError):
                        path.rmdir()
            return not any(top.exists() for top in left)

        with contextlib.suppress(TimeoutError):
            wait_until(is_removed, 10, "the groups being empty")

    def _try(self, *command: str) -> str:
        with contextlib.suppress(ClusterError):
            return self._call(*command)
        return ""

    def _call(
        self,
        *command: str,
        given: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        done = subprocess.run(
            command,
            env=bare_environ() | dict(environ or {}),
            input=given or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_TIMEOUT,
        )
        if done.returncode != 0:
            raise ClusterError(
                f"{' '.join(command)} ended with {done.returncode}:\n"
                f"{done.stdout}{done.stderr}"
            )
        return done.stdout
