"""
The backup at the end of an instance: when the grace is over and nobody took the slot.

In the master, stdlib only: what makes the backup is a process of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from lifecycle.child import Child, django_command

if TYPE_CHECKING:
    from lifecycle.instance import Instance

logger = logging.getLogger(__name__)

_POLL = 0.1
_PATIENCE = 1.0


def back_up(instance: Instance) -> None:
    """
    Make a backup, if the knobs say so and *instance* holds the slot.

    For the main thread, once the workers are gone. Called off when it takes longer
    than its time-out, or when a new instance takes the slot: then that one makes
    backups.
    """
    knobs = instance.knobs
    if not (knobs["SIMPLE_BACKUP"] and knobs["SIMPLE_BACKUP_ON_SHUTDOWN"]):
        return
    if instance.is_rushed or not instance.page.epoch:
        logger.info("event=last_backup_skipped")
        return
    timeout: float = knobs["SIMPLE_BACKUP_SHUTDOWN_TIMEOUT"]
    deadline = time.monotonic() + timeout
    child = Child(
        django_command(
            "backup",
            "--verbosity=0",
            "create",
            "--reason=shutdown",
            # One that the schedule has begun may miss the last writes.
            f"--wait={timeout}",
        )
    )
    status: int | None = None
    while status is None and instance.page.epoch and time.monotonic() < deadline:
        status = child.wait(threading.Event(), _POLL)
    if status is None:
        child.end(_PATIENCE)
        logger.warning(
            "event=last_backup_called_off reason=%s",
            "timeout" if instance.page.epoch else "slot_given_away",
        )
