"""
The timeline of every instance: one line of JSON a phase, in DATA_DIR/history.jsonl.

A file and not a table, since an instance that drains or dies does not write to
the database. Lines are short and appended in one call, so that two instances
never mix theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# The file is moved to history.jsonl.1 beyond this, in bytes; two are kept.
_MAX_BYTES = 1 << 20


def record(data_dir: Path, instance: str, phase: str, **details: Any) -> None:
    """Append that *instance* entered *phase* now. A full disk loses the line, no more."""
    path = data_dir / "history.jsonl"
    line = json.dumps(
        {"at": time.time(), "instance": instance, "phase": phase, **details}
    )
    with contextlib.suppress(OSError):
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            path.rename(path.with_suffix(".jsonl.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode() + b"\n")
        finally:
            os.close(descriptor)


def read(data_dir: Path) -> list[dict[str, Any]]:
    """Return every line, the oldest first; one that is broken is left out."""
    lines: list[dict[str, Any]] = []
    for name in ("history.jsonl.1", "history.jsonl"):
        path = data_dir / name
        if not path.exists():
            continue
        for line in path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict) and {"at", "instance", "phase"} <= set(
                    found
                ):
                    lines.append(found)
    return lines


# What is counted of an instance's writes.
_COUNTERS = ("writes_held", "writes_forwarded", "longest_hold_ms")


def deploys(
    lines: list[dict[str, Any]], living: Iterable[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """
    Return one object an instance: when it started, how long each phase lasted.

    Durations are in seconds; the last phase has none. Counters are those of the last
    line that had any; *living* are what instances say of themselves now. One that does
    not live, and whose last phase is not 'stopped', was killed in that phase.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        deploy = found.setdefault(
            line["instance"],
            {
                "instance": line["instance"],
                "version": line.get("version", ""),
                "started_at": line["at"],
                "phases": [],
                "lives": False,
                "epochs": [],
                "writes_held": 0,
                "writes_forwarded": 0,
                "longest_hold_ms": 0,
            },
        )
        if deploy["phases"]:
            last = deploy["phases"][-1]
            last["seconds"] = round(line["at"] - last["at"], 3)
        deploy["phases"].append({"phase": line["phase"], "at": line["at"]})
        # A drain begins under the epoch of the phase before.
        if line.get("epoch") and line["epoch"] not in deploy["epochs"]:
            deploy["epochs"].append(line["epoch"])
        for name in _COUNTERS:
            deploy[name] = line.get(name, deploy[name])
    for status in living:
        if status["id"] in found:
            deploy = found[status["id"]]
            deploy["lives"] = True
            deploy |= {name: status[name] for name in _COUNTERS if name in status}
    return sorted(found.values(), key=lambda deploy: float(deploy["started_at"]))
