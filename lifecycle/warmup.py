"""Warmup: what is built before the public port opens, read-only."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from django.db import connections
from django.utils.module_loading import import_string

from lifecycle.conf import conf

logger = logging.getLogger(__name__)

# Readers of the serving instance come first; see nice(2).
_NICE_BESIDE_A_PEER = 10


class WarmupContext:
    """
    What a warmup task is told, and what it tells.

    Attributes:
        processes: how many processes may work at once, this one included.
        check: build everything and return a list of problems instead of figures.
    """

    def __init__(
        self,
        report: Callable[[int, int, str], None],
        *,
        has_peers: bool = False,
        become_child: Callable[[], None] = lambda: None,
        check: bool = False,
    ) -> None:
        cores = len(os.sched_getaffinity(0))
        self.processes = max(1, cores - 1) if has_peers else cores
        self.check = check
        self.report = report
        self._nice = _NICE_BESIDE_A_PEER if has_peers else 0
        self._become_child = become_child
        self._pid = os.getpid()

    @property
    def is_nice(self) -> bool:
        """Whether the work should be done in child processes, which are nice."""
        return self._nice > 0

    def prepare_child(self) -> None:
        """
        Make a process that a task forked a good child. Called first in each.

        The task forks from the process that runs it, and from its main thread.
        It dies with the master, ignores what the master refuses or decides, keeps no
        socket or lock of the master's, and is nice beside a serving peer. A
        process that became nice cannot go back without privilege: hence children.
        """
        from lifecycle.writer import die_with_parent

        die_with_parent(self._pid)
        for name in ("INT", "HUP", "USR1", "USR2"):
            signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_IGN)
        for name in ("TERM", "QUIT"):
            signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_DFL)
        self._become_child()
        if self._nice:
            os.nice(self._nice)


def run_tasks(context: WarmupContext) -> list[tuple[str, Any, float]]:
    """
    Run the tasks of LIFECYCLE_WARMUP_TASKS; return (path, answer, seconds) of each.

    Leaves no database connection open: workers are forked from here.
    """
    done = []
    for path in conf.warmup_tasks:
        began = time.monotonic()
        try:
            answer = import_string(path)(context)
        finally:
            connections.close_all()
        seconds = time.monotonic() - began
        pairs = answer.items() if isinstance(answer, dict) else ()
        logger.info(
            "event=warmed task=%s seconds=%.3f%s",
            path,
            seconds,
            "".join(f" {name}={value}" for name, value in pairs),
        )
        done.append((path, answer, seconds))
    return done
