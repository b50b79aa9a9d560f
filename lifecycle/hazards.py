"""
What would lose requests here: settings of the machine and of systemd.

`manage.py check --deploy` and a line at each start name them. Nothing here stops
a start.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lifecycle import peers
from lifecycle.listeners import BACKLOG

_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
_CGROUP = "/proc/{}/cgroup"
_SYSTEMCTL_TIMEOUT = 2.0
_UNIT = re.compile(r"/([^/]+\.service)$")


class Hazard(NamedTuple):
    """One way to lose requests: the id of its check, what it is, what to do."""

    id: str
    text: str
    hint: str


def find(knobs: Mapping[str, Any], *, reuse_port: bool = False) -> list[Hazard]:
    """
    Return the hazards that can be seen from this process.

    Args:
        knobs: of the instance.
        reuse_port: gunicorn's own setting of that name.
    """
    hazards = [*_of_machine(), *_of_grace(knobs)]
    for unit in find_units(knobs["DATA_DIR"]):
        hazards += [one for one in _of_unit(knobs, unit) if one not in hazards]
    if reuse_port:
        hazards.append(
            Hazard(
                "lifecycle.W006",
                "gunicorn's reuse_port is on: each worker has a socket of its own, and "
                "closing one resets what waits in it; inherited sockets are not used.",
                "Turn it off; use LISTENER=reuseport, or an inherited socket.",
            )
        )
    return hazards


def _of_machine() -> list[Hazard]:
    with contextlib.suppress(OSError, ValueError):
        limit = int(_SOMAXCONN.read_text())
        if limit < BACKLOG:
            return [
                Hazard(
                    "lifecycle.W001",
                    f"net.core.somaxconn is {limit}, below the backlog of {BACKLOG}: "
                    "readers who wait for a warmup are refused earlier.",
                    f"sysctl -w net.core.somaxconn={BACKLOG}",
                )
            ]
    return []


def _of_grace(knobs: Mapping[str, Any]) -> list[Hazard]:
    grace, window = knobs["SHUTDOWN_GRACE_PERIOD"], knobs["PROBE_WINDOW"]
    if window is None or grace > window:
        return []
    return [
        Hazard(
            "lifecycle.W002",
            f"SHUTDOWN_GRACE_PERIOD is {grace:g} s and PROBE_WINDOW {window:g} s: the "
            "load balancer still sends readers when accepting ends.",
            f"Set SHUTDOWN_GRACE_PERIOD to {window + 1:g}s or more.",
        )
    ]


def _of_unit(knobs: Mapping[str, Any], unit: Mapping[str, str]) -> list[Hazard]:
    """Return the hazards of the systemd unit with these properties."""
    name = unit.get("Id", "the unit")
    hazards = []
    if unit.get("KillMode") not in {"mixed", "control-group", None}:
        hazards.append(
            Hazard(
                "lifecycle.W003",
                f"{name} has KillMode={unit['KillMode']}: what a stop leaves behind "
                "keeps the sockets.",
                "Set KillMode=mixed.",
            )
        )
    needed = knobs["SHUTDOWN_GRACE_PERIOD"] + knobs["SHUTDOWN_TIMEOUT"]
    if knobs["SIMPLE_BACKUP"] and knobs["SIMPLE_BACKUP_ON_SHUTDOWN"]:
        needed += knobs["SIMPLE_BACKUP_SHUTDOWN_TIMEOUT"]
    allowed = microseconds(unit.get("TimeoutStopUSec", "infinity"))
    if allowed is not None and allowed <= needed * 1e6:
        hazards.append(
            Hazard(
                "lifecycle.W004",
                f"{name} has TimeoutStopSec={allowed / 1e6:g}, and grace plus time-outs "
                f"are {needed:g} s: systemd kills requests in flight.",
                f"Set TimeoutStopSec={needed + 5:g}.",
            )
        )
    if unit.get("Type") not in {"notify", "notify-reload", None}:
        hazards.append(
            Hazard(
                "lifecycle.W005",
                f"{name} has Type={unit['Type']}: systemd takes a start for done before "
                "the instance is ready.",
                "Set Type=notify.",
            )
        )
    return hazards


def find_units(data_dir: Path) -> list[dict[str, str]]:
    """
    Return properties of the systemd services whose main process is an instance here.

    This process, if it is one, and those that live on *data_dir*: who checks a
    deploy does so from a session or a job, whose own service is of no concern.
    """
    pids = [os.getpid()]
    living = peers.living(peers.RunDir(data_dir))
    # Of a peer that is just registering there is no more than its lock.
    pids += [int(peer.record["pid"]) for peer in living if "pid" in peer.record]
    units = {unit["Id"]: unit for pid in pids if (unit := _unit_of(pid))}
    return list(units.values())


def _unit_of(pid: int) -> dict[str, str]:
    """Return properties of the service whose main process is *pid*; {} without one."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        for line in Path(_CGROUP.format(pid)).read_text().splitlines():
            match = _UNIT.search(line)
            if match:
                shown = subprocess.run(  # noqa: S603 - a unit's name from the kernel
                    [  # noqa: S607 - systemctl is wherever this system has it
                        "systemctl",
                        "show",
                        match[1],
                        "--property=Id,MainPID,KillMode,TimeoutStopUSec,Type",
                    ],
                    capture_output=True,
                    text=True,
                    timeout=_SYSTEMCTL_TIMEOUT,
                    check=True,
                ).stdout
                unit = dict(
                    line.split("=", 1) for line in shown.splitlines() if "=" in line
                )
                return unit if unit.get("MainPID") == str(pid) else {}
    return {}


_UNITS = {"us": 1, "ms": 1000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}


def microseconds(text: str) -> float | None:
    """Return a time span as systemctl shows it ('1min 30s'); None for 'infinity'."""
    if text == "infinity":
        return None
    return sum(
        float(number) * _UNITS.get(unit, 1)
        for number, unit in re.findall(r"([\d.]+)\s*([a-z]*)", text)
    )
