"""What would lose requests here is named; what is fine is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lifecycle import hazards
from lifecycle.listeners import BACKLOG
from trip2g_site.knobs import KNOBS

FIND_UNITS = hazards.find_units
FINE = {
    "Id": "trip2g@blue.service",
    "KillMode": "mixed",
    "TimeoutStopUSec": "30s",
    "Type": "notify",
}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Stand in for the machine: its somaxconn, and the unit that this process is in."""
    somaxconn = tmp_path / "somaxconn"
    somaxconn.write_text(f"{BACKLOG}\n")
    unit: dict[str, str] = {}
    monkeypatch.setattr(hazards, "_SOMAXCONN", somaxconn)
    monkeypatch.setattr(
        hazards, "find_units", lambda data_dir: [unit, unit] if unit else []
    )
    return {"somaxconn": somaxconn, "unit": unit}


def found(*, reuse_port: bool = False, **environ: str) -> list[tuple[str, ...]]:
    return [
        tuple(hazard)
        for hazard in hazards.find(KNOBS.load(environ), reuse_port=reuse_port)
    ]


def test_a_machine_and_a_unit_that_are_fine_are_not_mentioned(machine):
    assert found() == []
    machine["unit"].update(FINE)
    assert found() == []
    # Workers ignore a TERM that the master did not send.
    machine["unit"]["KillMode"] = "control-group"
    machine["unit"]["Type"] = "notify-reload"
    machine["unit"]["TimeoutStopUSec"] = "infinity"
    assert found() == []


def test_a_backlog_above_somaxconn_is_named(machine):
    machine["somaxconn"].write_text("128\n")
    assert found() == [
        (
            "lifecycle.W001",
            "net.core.somaxconn is 128, below the backlog of 2048: readers who wait "
            "for a warmup are refused earlier.",
            "sysctl -w net.core.somaxconn=2048",
        )
    ]
    machine["somaxconn"].unlink()  # not Linux
    assert found() == []


def test_a_grace_shorter_than_the_probe_window_is_named():
    assert found(SHUTDOWN_GRACE_PERIOD="5s", PROBE_WINDOW="4s") == []
    assert found(SHUTDOWN_GRACE_PERIOD="5s", PROBE_WINDOW="16s") == [
        (
            "lifecycle.W002",
            "SHUTDOWN_GRACE_PERIOD is 5 s and PROBE_WINDOW 16 s: the load balancer "
            "still sends readers when accepting ends.",
            "Set SHUTDOWN_GRACE_PERIOD to 17s or more.",
        )
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "KillMode",
            "process",
            (
                "lifecycle.W003",
                "trip2g@blue.service has KillMode=process: what a stop leaves behind "
                "keeps the sockets.",
                "Set KillMode=mixed.",
            ),
        ),
        (
            "TimeoutStopUSec",
            "15s",
            (
                "lifecycle.W004",
                "trip2g@blue.service has TimeoutStopSec=15, and grace plus time-outs "
                "are 15 s: systemd kills requests in flight.",
                "Set TimeoutStopSec=20.",
            ),
        ),
        (
            "Type",
            "simple",
            (
                "lifecycle.W005",
                "trip2g@blue.service has Type=simple: systemd takes a start for done "
                "before the instance is ready.",
                "Set Type=notify.",
            ),
        ),
    ],
)
def test_a_unit_that_would_lose_requests_is_named(machine, name, value, expected):
    machine["unit"].update(FINE | {name: value})
    assert found() == [expected]


def test_gunicorns_own_reuse_port_is_named():
    ((number, text, hint),) = found(reuse_port=True)
    assert number == "lifecycle.W006"
    assert "inherited sockets are not used" in text
    assert hint == "Turn it off; use LISTENER=reuseport, or an inherited socket."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("infinity", None),
        ("30s", 30e6),
        ("1min 30s", 90e6),
        ("1h", 3600e6),
        ("500ms", 5e5),
        ("2us", 2),
    ],
)
def test_time_spans_are_read_as_systemctl_shows_them(text, expected):
    assert hazards.microseconds(text) == expected


def test_the_service_of_a_session_or_a_job_is_no_instances(monkeypatch, tmp_path):
    """systemctl is a stand-in: this test need not run below a systemd."""
    shown = {"Id": "cron.service", "MainPID": "1", "KillMode": "process"}
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "systemctl"
    program.write_text('#!/bin/sh\ncat "$0.shown"\n')
    program.chmod(0o755)
    cgroup = tmp_path / "cgroup"
    cgroup.write_text("0::/system.slice/cron.service\n")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(hazards, "_CGROUP", str(cgroup))

    def units() -> list[str]:
        lines = "".join(f"{name}={value}\n" for name, value in shown.items())
        Path(f"{program}.shown").write_text(lines)
        return [unit["Id"] for unit in FIND_UNITS(tmp_path)]

    assert units() == []
    shown |= {"Id": "trip2g@blue.service", "MainPID": str(os.getpid())}
    assert units() == ["trip2g@blue.service"]
    cgroup.write_text("0::/user.slice/user-0.slice/session-1.scope\n")
    assert units() == []
    program.write_text("#!/bin/sh\nexit 1\n")
    cgroup.write_text("0::/system.slice/trip2g@blue.service\n")
    assert units() == []


def test_check_deploy_names_them_and_a_plain_check_does_not(tmp_path):
    """With settings that are wrong wherever the test runs."""
    environ = {
        "DATA_DIR": str(tmp_path),
        "SHUTDOWN_GRACE_PERIOD": "5s",
        "PROBE_WINDOW": "16s",
        "GUNICORN_CMD_ARGS": "--reuse-port --backlog 64",
    }

    def check(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", "check", *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout + done.stderr

    said = check("--deploy")
    assert "lifecycle.W002" in said
    assert "HINT: Set SHUTDOWN_GRACE_PERIOD to 17s or more." in said
    assert "lifecycle.W006" in said
    assert "lifecycle.W002" not in check()
    del environ["GUNICORN_CMD_ARGS"]
    assert "lifecycle.W006" not in check("--deploy")
