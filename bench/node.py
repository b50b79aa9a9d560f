"""
Where a node of a cluster runs: a network and control groups of its own.

What is written there and to the settings of the machine is undone on leaving.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.instance import bare_environ
from bench.resources import Owner
from bench.waiting import wait_until

ADDRESS = "10.99.0.1"
SERVICES, PODS = "10.96.0.0/16", "10.98.0.0/24"
GROUPS = Path("/sys/fs/cgroup")
_GATEWAY = "10.99.0.254"
_CONTROLLERS = (
    *("cpu", "cpuacct", "cpuset", "memory", "pids"),
    *("devices", "blkio", "freezer", "systemd"),
)
# The kubelet changes these for the whole machine.
_SETTINGS = (
    *("vm/overcommit_memory", "vm/panic_on_oom"),
    *("kernel/panic", "kernel/panic_on_oops"),
)
_COMMAND_TIMEOUT = 300.0


class ClusterError(Exception):
    """A command of a cluster's failed; the message is what it said."""


def call(
    *command: str, given: str = "", environ: Mapping[str, str] | None = None
) -> str:
    """
    Return what *command* prints; *given* is its standard input.

    Raises:
        ClusterError: it failed.
    """
    done = subprocess.run(
        command,
        env=bare_environ() | dict(environ or {}),
        input=given,
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


class Node(Owner):
    """
    The place, from entering to leaving.

    Attributes:
        name: of its network namespace and of its control group.
    """

    def __init__(self) -> None:
        self.name = f"trip2g-{secrets.token_hex(2)}"
        super().__init__()

    def _begin(self) -> None:
        self._make_network()
        self._make_groups()

    @property
    def inside(self) -> list[str]:
        """What goes before a command, to run it in this network."""
        return ["ip", "netns", "exec", self.name]

    def end_processes(self) -> None:
        """End what is left in this network and in the groups. Idempotent."""
        held = _try("ip", "netns", "pids", self.name).split()
        for path in (GROUPS / "pids" / self.name).rglob("cgroup.procs"):
            held += path.read_text().split()
        for pid in {int(one) for one in held}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _make_network(self) -> None:
        """Make a network with a wire to this machine's, and no way further."""
        name, outside = self.name, f"{self.name}o"
        self._resources.callback(_remove_networks_but, _networks_of_pods())
        self._resources.callback(_try, "ip", "netns", "del", name)
        call("ip", "netns", "add", name)
        self._resources.callback(_try, "ip", "link", "del", outside)
        wire = ("type", "veth", "peer", "name", "node0", "netns", name)
        call("ip", "link", "add", outside, *wire)
        call("ip", "addr", "add", f"{_GATEWAY}/24", "dev", outside)
        call("ip", "link", "set", outside, "up")
        at = ("ip", "-n", name)
        call(*at, "addr", "add", f"{ADDRESS}/24", "dev", "node0")
        call(*at, "link", "set", "node0", "up")
        call(*at, "link", "set", "lo", "up")
        call(*at, "route", "add", SERVICES, "dev", "node0")
        call("ip", "route", "add", SERVICES, "via", ADDRESS)
        call(*self.inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def _make_groups(self) -> None:
        for setting in _SETTINGS:
            path = Path("/proc/sys", setting)
            self._resources.callback(path.write_text, path.read_text())
        self._resources.callback(self._remove_groups)
        for controller in _CONTROLLERS:
            (GROUPS / controller / self.name).mkdir()
        top = GROUPS / "cpuset"
        for name in ("cpuset.cpus", "cpuset.mems"):
            (top / self.name / name).write_text((top / name).read_text())
        (top / self.name / "cgroup.clone_children").write_text("1")
        # Else all pods together weigh as much as one process outside; with much more
        # the load would be sent late, as it has a third of a core at the least so.
        (GROUPS / "cpu" / self.name / "cpu.shares").write_text("4096")

    def _remove_groups(self) -> None:
        # The last one is the runtime's own doing.
        tops = [GROUPS / name / self.name for name in (*_CONTROLLERS, "unified")]

        def is_removed() -> bool:
            for top in tops:
                folders = [one for one in (*top.rglob("*"), top) if one.is_dir()]
                for path in sorted(folders, key=lambda one: -len(one.parts)):
                    with contextlib.suppress(OSError):
                        path.rmdir()
            return not any(top.exists() for top in tops)

        with contextlib.suppress(TimeoutError):
            wait_until(is_removed, 10, "the groups being empty")


def _networks_of_pods() -> set[str]:
    """Return the networks that CNI has made for pods."""
    names = [line.split()[0] for line in call("ip", "netns").splitlines() if line]
    return {name for name in names if name.startswith("cni-")}


def _remove_networks_but(known: set[str]) -> None:
    # A pod that ends with its node leaves its own.
    for name in _networks_of_pods() - known:
        _try("ip", "netns", "del", name)


def _try(*command: str) -> str:
    with contextlib.suppress(ClusterError):
        return call(*command)
    return ""
