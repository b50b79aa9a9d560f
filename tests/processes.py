"""What a test of real processes needs: free ports, and waiting for a condition."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bench.waiting import free_port, listening_socket, wait_until

__all__ = ["free_port", "is_stopped", "listening_socket", "wait_until"]


def is_stopped(pid: int) -> bool:
    """Return whether *pid* is there, and stopped by a signal."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"
    return False
