"""Warmup tasks, worker starters, companions and writer subsystems of the sample."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection

from lifecycle.warmup import WarmupContext


def _scratch() -> Path:
    """Return the folder in which the sample tells its test what happened."""
    return Path(os.environ["SAMPLE_SCRATCH"])


def gated(context: WarmupContext) -> dict[str, int]:
    """Warm half, then wait for the file 'go' in the scratch folder."""
    context.report(4312, 10000, "notes")
    (_scratch() / f"warming.{os.getpid()}").touch()
    while not (_scratch() / "go").exists():
        time.sleep(0.02)
    return {"notes": 10000}


def count_entries(context: WarmupContext) -> dict[str, int]:
    """Read the newest schema."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sample_entry")
        (found,) = cursor.fetchone()
    return {"entries": found}


def read_newest_column(context: WarmupContext) -> dict[str, int]:
    """Read a column that only the next migration makes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(colour) FROM sample_entry")
        (found,) = cursor.fetchone()
    return {"coloured": found}


def children(context: WarmupContext) -> dict[str, int]:
    """Fork one child, write down what it is like, and wait for its end."""
    (_scratch() / "processes").write_text(str(context.processes))
    pid = os.fork()
    if pid == 0:
        context.prepare_child()
        opened = []
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
            try:
                opened.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
            except FileNotFoundError:
                continue  # the listing's own
        fields = {"pid": os.getpid(), "nice": os.nice(0), "open": opened}
        temporary = _scratch() / "child.new"
        temporary.write_text(json.dumps(fields))
        temporary.rename(_scratch() / "child")
        while not (_scratch() / "go").exists():
            time.sleep(0.02)
        os._exit(0)
    os.waitpid(pid, 0)
    return {"children": 1}


class _Cycle:
    """What only the collector can take away."""

    def __init__(self) -> None:
        self.itself = self


cycles: dict[str, weakref.ref[_Cycle]] = {}


def keep_and_litter(context: WarmupContext) -> dict[str, int]:
    """Keep a thousand objects, and leave a cycle that only a full collection takes."""
    global _kept
    _kept = [[number] for number in range(1000)]
    cycle = _Cycle()
    cycles["cycle"] = weakref.ref(cycle)
    gc.collect()  # it is old now
    return {"kept": len(_kept)}


_kept: list[list[int]] = []


def problems(context: WarmupContext) -> Any:
    """Report figures, or two problems when asked to check."""
    context.report(1, 2, "notes")
    if context.check:
        return ["a.md: no such heading", "b.md: broken"]
    return {"notes": 2}


def broken(context: WarmupContext) -> dict[str, int]:
    """Fail as a program does that has a bug."""
    raise ValueError("the warmup has a bug")


def failing_starter() -> None:
    """Fail in each worker."""
    raise ValueError("this starter has a bug")


def steady_companion() -> Callable[[], None]:
    """Say who makes it; what is returned says who runs it, and runs to the end."""
    (_scratch() / f"made.{os.getpid()}").touch()

    def run() -> None:
        (_scratch() / f"companion.{os.getpid()}").touch()
        threading.Event().wait()

    return run


def background() -> None:
    """Write down what this process is like, and end."""
    (_scratch() / f"background.{os.getpid()}").write_text(str(os.nice(0)))


def failing_background() -> None:
    """Fail in the background."""
    raise ValueError("this work has a bug")


def failing_subsystem(stop: threading.Event) -> None:
    """Fail in the writer."""
    raise ValueError("this subsystem has a bug")


def steady_subsystem(stop: threading.Event) -> None:
    """Say who runs, then run to the end."""
    (_scratch() / f"writer.{os.getpid()}").touch()
    stop.wait()
    (_scratch() / f"stopped.{os.getpid()}").touch()


def subsystem_that_kills(stop: threading.Event) -> None:
    """Run to the end, and end as by kill -9 when there is the file 'kill'."""
    stop.wait()
    if (_scratch() / "kill").exists():
        os.kill(os.getpid(), signal.SIGKILL)
