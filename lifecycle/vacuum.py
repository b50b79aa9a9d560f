"""
Housekeeping of the database: PRAGMA optimize often, VACUUM seldom.

A subsystem of the writer process. VACUUM keeps writers waiting, so that it is only
done when it gives much back, gets less time than a write is held, and stops when the
slot is asked for; but not while SQLite copies the result back, which is one step.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from typing import Any

from django.db import connections

from lifecycle import gate
from lifecycle.conf import conf

logger = logging.getLogger(__name__)

# Between two looks, in seconds; the first is this long after the slot was taken,
# when a deploy has settled.
INTERVAL = 3600.0
# VACUUM when this share of the file is free pages, and at least so many bytes.
_FREE_SHARE = 0.25
_FREE_BYTES = 1 << 20
# The share of WRITE_HOLD_TIMEOUT that a VACUUM may take: writers wait for it.
_HOLD_SHARE = 0.5
# How often SQLite asks whether to go on, in steps of its virtual machine.
_STEPS = 10_000


def run(stop: threading.Event) -> None:
    """Look after the database until *stop* is set. Called in the writer process."""
    if not conf.vacuum_cron:
        return
    while not stop.wait(INTERVAL):
        keep_house(stop)


def keep_house(stop: threading.Event) -> None:
    """Optimize, and vacuum when it is worth it. Ends soon after *stop* is set."""
    with gate.maintenance():
        connection: Any = connections["default"]
        raw: sqlite3.Connection = connection.connection
        raw.execute("PRAGMA optimize")
        size, free = _sizes(raw)
        if free < max(_FREE_BYTES, _FREE_SHARE * size):
            return
        _vacuum(raw, stop, conf.write_hold_timeout * _HOLD_SHARE)


def _sizes(raw: sqlite3.Connection) -> tuple[int, int]:
    """Return the size of the database and that of its free pages, in bytes."""
    page_size, pages, free = (
        raw.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return page_size * pages, page_size * free


def _vacuum(raw: sqlite3.Connection, stop: threading.Event, limit: float) -> None:
    began = time.monotonic()
    before, _ = _sizes(raw)

    def is_over() -> bool:
        return stop.is_set() or time.monotonic() - began > limit

    raw.set_progress_handler(is_over, _STEPS)
    try:
        raw.execute("VACUUM")
    except sqlite3.OperationalError as exc:
        if not is_over():
            logger.warning("event=vacuum_failed reason=%r", str(exc))
        elif not stop.is_set():
            logger.warning(
                "event=vacuum_given_up seconds=%.1f bytes=%d hint=%s",
                limit,
                before,
                '"too large to do beside writes: stop the instances, then VACUUM"',
            )
        return
    finally:
        raw.set_progress_handler(None, 0)
    after, _ = _sizes(raw)
    # What VACUUM wrote is in the WAL: with this it is in the file, and the WAL is short.
    # Not while somebody reads an older state: writers would wait for that reader, too.
    (patience,) = raw.execute("PRAGMA busy_timeout").fetchone()
    raw.execute("PRAGMA busy_timeout = 0")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.execute(f"PRAGMA busy_timeout = {patience}")
    logger.info(
        "event=vacuum_end seconds=%.3f before=%d after=%d",
        time.monotonic() - began,
        before,
        after,
    )
