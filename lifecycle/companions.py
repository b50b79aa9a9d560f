"""
Companions: children of the master that work beside its workers.

Each runs one callable of the application. They serve no request, so what is costly
can be done in one of them without a thread of a worker having to wait for it. The
kernel ends them with their master (PR_SET_PDEATHSIG); nothing that they do may be
lost by that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lifecycle.writer import die_with_parent, has_exited

if TYPE_CHECKING:
    from lifecycle.instance import Instance

logger = logging.getLogger(__name__)

# The least time between two starts, in seconds; doubled each time that one ends.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
# What ends after this long has not failed at its start, in seconds.
_LONG_LIFE = 60.0

# The kernel needs a moment for it; in seconds.
_KILL_TIMEOUT = 5.0

LEAST_NICE = 19
"""The lowest priority that there is; see nice(2)."""


class Companion:
    """
    One process after another that runs the same callable.

    All methods are for the master's main thread, the only one that forks.
    """

    def __init__(
        self,
        instance: Instance,
        name: str,
        run: Callable[[], None],
        *,
        is_once: bool = False,
        nice: int = 0,
    ) -> None:
        """
        Args:
            instance: whose companion it is.
            name: what the log calls it.
            run: what it does.
            is_once: it is done when it ends, however it ends.
            nice: how much lower than the master's its priority is.
        """
        self._instance = instance
        self._name = name
        self._run = run
        self._is_once = is_once
        self._nice = nice
        self._pidfd = -1
        self.pid = 0
        """The pid of the process that lives; 0 when none does."""
        self._started_at = 0.0
        self._pause = 0.0
        self._is_done = False

    def tend(self) -> None:
        """Start the process, or the next one. Never blocks."""
        if self.pid and has_exited(self._pidfd, 0):
            self._note_end()
        if self.pid or self._is_done:
            return
        if time.monotonic() - self._started_at >= self._pause:
            self._start()

    def stop(self) -> None:
        """End the process and wait for its end. Idempotent."""
        self._is_done = True
        if self.pid:
            # It may have ended, and gunicorn's loop has reaped it.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            has_exited(self._pidfd, _KILL_TIMEOUT)
            self._forget()

    def close_in_child(self) -> None:
        """Close the master's descriptor. For another child, right after its fork."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _start(self) -> None:
        self._started_at = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._run_child()
        self.pid, self._pidfd = pid, os.pidfd_open(pid)
        logger.info("event=companion_started name=%s pid=%s", self._name, pid)

    def _run_child(self) -> None:
        status = 1
        try:
            die_with_parent(self._instance.master_pid)
            # The master decides when it ends: a signal to the whole group must not.
            for name in ("INT", "TERM", "QUIT", "HUP", "USR1", "USR2"):
                signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_IGN)
            for number in (signal.SIGCHLD, signal.SIGWINCH):
                signal.signal(number, signal.SIG_DFL)
            os.nice(self._nice)
            self._instance.become_child(keep_listeners=False)
            self._run()
            status = 0
        except BaseException:
            logger.exception("event=companion_crashed name=%s", self._name)
        finally:
            # Not sys.exit: this is a copy of gunicorn's master, whose own
            # cleanup must not run here.
            sys.stdout.flush()
            os._exit(status)

    def _note_end(self) -> None:
        seconds = time.monotonic() - self._started_at
        logger.log(
            logging.INFO if self._is_once else logging.ERROR,
            "event=companion_ended name=%s pid=%s seconds=%.1f",
            self._name,
            self.pid,
            seconds,
        )
        self._is_done = self._is_once
        if seconds > _LONG_LIFE:
            self._pause = 0.0
        self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        self._forget()

    def _forget(self) -> None:
        os.close(self._pidfd)
        self.pid, self._pidfd = 0, -1
