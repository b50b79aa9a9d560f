"""The head of every table: its title, which machine, when, by which command."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path


def describe(command: Sequence[str], packages: Sequence[str] = ()) -> list[str]:
    """Return the head's lines, as a Markdown list; *packages* with their versions."""
    now = datetime.datetime.now(tz=datetime.UTC)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"- Machine: {len(os.sched_getaffinity(0))} cores ({_processor()}), "
        f"{memory:.0f} GB, Linux {platform.release()}; "
        f"load average {os.getloadavg()[0]:.1f} when it began",
        f"- Software: Python {platform.python_version()}"
        + (f", {versions}" if versions else ""),
        f"- Date: {now:%Y-%m-%d %H:%M} UTC",
        f"- Command: `{shlex.join(command)}`",
    ]


def title(text: str) -> list[str]:
    """Return a table's first lines: it is a page of the manual, which is a vault."""
    return ["---", f"title: {text}", "---", ""]


def command_line() -> list[str]:
    """Return how this program was called, as a person would type it."""
    program = Path(sys.argv[0])
    root = Path(__file__).resolve().parent.parent
    if program.is_absolute() and program.is_relative_to(root):
        program = program.relative_to(root)
    return ["python", str(program), *sys.argv[1:]]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
