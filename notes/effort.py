"""How long work took, and how much of that time a processor was at it."""

from __future__ import annotations

import resource
import time


class Effort:
    """
    Seconds since it was made, by the clock and of CPU.

    CPU is that of this process, and of the children that it has waited for. On a
    machine that others use, too, it tells more than the clock.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._cpu = _cpu_seconds()

    def __str__(self) -> str:
        seconds = time.monotonic() - self._began
        cpu = _cpu_seconds() - self._cpu
        return f"seconds={seconds:.3f} cpu_seconds={cpu:.3f}"


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(
            resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
    )
