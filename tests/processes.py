"""What a test of real processes needs: free ports, and waiting for a condition."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.waiting import free_port, listening_socket, wait_until

__all__ = ["free_port", "is_stopped", "listening_socket", "running", "wait_until"]


@contextlib.contextmanager
def running(subsystem: Callable[[threading.Event], object]) -> Iterator[None]:
    """Run a subsystem of the writer process, in a thread here, till it is left."""
    stop = threading.Event()
    thread = threading.Thread(target=subsystem, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def is_stopped(pid: int) -> bool:
    """Return whether *pid* is there, and stopped by a signal."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"
    return False
