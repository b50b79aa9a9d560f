"""Epochs in the database: beginning one, ending one, and what they tell."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.utils import DatabaseError

from lifecycle import gate, locks, timeline
from lifecycle.conf import conf
from lifecycle.exceptions import LifecycleError
from lifecycle.models import Epoch
from lifecycle.peers import RunDir
from lifecycle.phases import Phase
from lifecycle.tenure import RESERVED_SECONDS

# A release that crashed is refused for this long, doubling each time, in seconds.
_CRASH_BACKOFF = 10.0
_CRASH_BACKOFF_LIMIT = 600.0
# How far back crashes count, in epochs.
_CRASH_MEMORY = 20


class NotOursError(LifecycleError):
    """
    The lock gives no right to the slot.

    Attributes:
        successor: who may take it; '' when the lock's file was replaced.
        seconds: how long nobody else may.
    """

    def __init__(self, successor: str = "", seconds: float = 0.0) -> None:
        super().__init__(
            f"The writer slot is kept for {successor} for {seconds:.1f} s."
            if successor
            else "The writer slot's lock file was replaced."
        )
        self.successor = successor
        self.seconds = seconds


def begin(
    taker: str, version: str, run_dir: RunDir, is_intact: Callable[[], bool]
) -> int:
    """
    Begin the next epoch and return it; 0 before the tables are there.

    For whoever has the lock: *is_intact* tells whether it is one on the file that
    its path names.

    Raises:
        NotOursError: it is not, or the slot is kept for somebody else.
    """

    def check() -> None:
        if not is_intact():
            raise NotOursError
        kept = reservation(run_dir, taker)
        if kept is not None:
            raise NotOursError(*kept)

    connection.ensure_connection()
    wrapper: Any = connection
    return gate.begin_epoch(wrapper, check, taker, version)


def end(epoch: int, successor: str) -> None:
    """
    End *epoch* in one transaction: nobody holds it, *successor* may be next.

    Raises:
        WriterSlotLostError: another epoch has begun; nothing was changed.
    """
    now = time.time()
    with gate.write():
        Epoch.objects.filter(epoch=epoch).update(
            holder="",
            released_at=now,
            next=successor,
            until=now + RESERVED_SECONDS if successor else 0,
        )


def last() -> Epoch | None:
    """Return the newest epoch; None when there has been none."""
    try:
        return Epoch.objects.order_by("-epoch").first()
    except DatabaseError:
        return None  # no table: nobody has held it


def reservation(run_dir: RunDir, instance: str) -> tuple[str, float] | None:
    """Return whom else the slot is reserved for, and for how many seconds more."""
    row = last()
    if row is None or row.holder or row.next in {"", instance}:
        return None
    seconds = row.until - time.time()
    # More than was given: the clock has been set back.
    if not 0 < seconds <= RESERVED_SECONDS or not locks.is_locked(
        run_dir.path / f"{row.next}.lock"
    ):
        return None
    return row.next, seconds


def crashed_releases() -> dict[str, float]:
    """
    Return, for each version that crashed as the holder of late, when it may ask again.

    A row whose holder still stands there although a later epoch began is one of a
    crash, unless the holder was to end. Times are Unix times.
    """
    rows = list(Epoch.objects.order_by("-epoch")[:_CRASH_MEMORY])
    unreleased = [
        (row, later.since)
        for later, row in itertools.pairwise(rows)
        if row.holder and row.version and row.released_at is None
    ]
    ended_from = _epochs_of_drains() if unreleased else {}
    crashes: dict[str, list[float]] = {}
    for row, ended_at in unreleased:
        if row.epoch < ended_from.get(row.taken_by, math.inf):
            crashes.setdefault(row.version, []).append(ended_at)
    return {
        version: max(times)
        + min(_CRASH_BACKOFF * 2 ** (len(times) - 1), _CRASH_BACKOFF_LIMIT)
        for version, times in crashes.items()
    }


def _epochs_of_drains() -> dict[str, int]:
    """Return, for each instance that was told to end as the holder, its epoch then."""
    return {
        line["instance"]: line["epoch"]
        for line in timeline.read(conf.data_dir)
        if line["phase"] == Phase.DRAINING.value and line.get("epoch")
    }
