"""Process groups, as /proc tells of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def members(group: int) -> list[int]:
    """Return the pids of the processes of *group* that live; zombies do not."""
    return [pid for pid, fields in _processes(group) if fields[0] != "Z"]


def cpu_seconds(group: int) -> float:
    """Return the CPU time that the living processes of *group* have used so far."""
    ticks = sum(int(f[11]) + int(f[12]) for _, f in _processes(group))
    return ticks / os.sysconf("SC_CLK_TCK")


def _processes(group: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each process of *group*: its pid, and /proc/PID/stat after the name."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name, in brackets, may hold anything; see proc_pid_stat(5).
        fields = stat.rpartition(")")[2].split()
        if int(fields[2]) == group:
            yield int(entry.name), fields
