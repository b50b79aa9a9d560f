"""What a worker process knows of its instance; None anywhere else."""

from __future__ import annotations

import dataclasses
import threading

from lifecycle.page import SharedPage, WorkerSlot
from lifecycle.peers import RunDir


@dataclasses.dataclass(frozen=True)
class WorkerState:
    """
    One worker of an instance.

    Attributes:
        seats: one for each write that may be under way in this worker.
        admission: held by the one write that runs.
    """

    instance_id: str
    page: SharedPage
    slot: WorkerSlot
    run_dir: RunDir
    seats: threading.BoundedSemaphore
    admission: threading.Lock = dataclasses.field(default_factory=threading.Lock)


_state: WorkerState | None = None


def state() -> WorkerState | None:
    """Return this worker's state; None in a process that is no worker."""
    return _state


def set_state(new: WorkerState | None) -> None:
    """Set it. For a worker, after the fork."""
    global _state
    _state = new


def expected_sequence() -> int:
    """
    Return the last state of the data that this instance has acknowledged.

    A worker that has seen less catches up before it answers: who wrote reads
    what was written. 0 in a process that is no worker.
    """
    return _state.page.sequence if _state is not None else 0
