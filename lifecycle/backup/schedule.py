"""
Backups on a schedule: a subsystem of the writer process.

Each is made by a process of its own, at a low priority. It can be ended at any
moment, so that a handoff does not wait for it; the next holder of the slot makes it.
"""

from __future__ import annotations

import logging
import random
import threading
import time

from lifecycle.backup import status, workplace
from lifecycle.backup.conf import backup_conf
from lifecycle.backup.errors import NotNowError
from lifecycle.child import Child, django_command
from lifecycle.logs import quoted

logger = logging.getLogger(__name__)

# A backup is begun up to this share of the interval early or late, so that many
# sites do not come to one store at the same time.
_JITTER = 0.05
# The wait after the first failure, in seconds; it doubles, up to the interval.
_FIRST_RETRY = 30.0
# What a backup that is called off gets to end, in seconds. It does not clear up: a
# handoff waits for it. What it leaves is removed by the next holder of the slot.
_PATIENCE = 1.0
_POLL = 0.1


def run(stop: threading.Event) -> None:
    """Make backups until *stop* is set. Called in the writer process."""
    _clear_up(stop)
    if not backup_conf.is_scheduled:
        return
    status.note_begun(backup_conf.status_path)
    failures = 0
    while not stop.wait(_seconds_to_next(failures)):
        before = status.read(backup_conf.status_path)
        child = Child(
            [
                "nice",
                "--adjustment=5",
                *django_command(
                    "backup", "--verbosity=0", "create", "--reason=schedule"
                ),
            ]
        )
        exit_status = child.wait(stop)
        if exit_status is None:
            child.end(_PATIENCE)
            logger.info("event=backup_called_off")
            return
        if exit_status:
            _say_what_it_did_not(exit_status, before)
        failures = failures + 1 if exit_status else 0


def _clear_up(stop: threading.Event) -> None:
    """Remove what was left by a backup that was called off, and may just be ending."""
    deadline = time.monotonic() + 2 * _PATIENCE
    while not workplace.clear() and time.monotonic() < deadline:
        if stop.wait(_POLL):
            return


def _say_what_it_did_not(exit_status: int, before: status.Status) -> None:
    """Log and note the failure of a backup that could not do so itself."""
    after = status.read(backup_conf.status_path)
    if exit_status == NotNowError.returncode or (
        after.failed_at not in (0, before.failed_at)
    ):
        return
    if exit_status < 0:
        reason = f"The backup was killed by signal {-exit_status}: see to the memory."
    else:
        reason = (
            f"The backup ended with exit code {exit_status}: the lines before this one "
            "in the log say why."
        )
    logger.error("event=backup_failed reason=%s", quoted(reason))
    if after.at == before.at:  # it may have been good, and only the end of it failed
        status.note_failure(backup_conf.status_path, reason)


def _seconds_to_next(failures: int) -> float:
    """Return how long to wait for the next backup, in seconds."""
    interval = backup_conf.interval
    if failures:
        # A float ends before a store that is away for weeks does.
        wait = min(interval, _FIRST_RETRY * 2.0 ** min(failures - 1, 20))
        return wait * random.uniform(1 - _JITTER, 1)  # noqa: S311 - no secret
    last = status.read(backup_conf.status_path).at
    # A clock that was set back must not put the next one off for ever.
    due = min(last, time.time()) + interval if last else time.time()
    jitter = interval * random.uniform(-_JITTER, _JITTER)  # noqa: S311 - no secret
    return max(0.0, due + jitter - time.time())
