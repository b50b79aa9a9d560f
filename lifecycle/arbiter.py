"""
The gunicorn master of an instance: signals become phases, and the loop ticks.

gunicorn's arbiter closes its listeners as the first act of a stop. Here a stop
begins with a drain instead: /readyz turns 503 at once, serving goes on for the
grace, and only then is the arbiter's own stop let run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from lifecycle import frozen
from lifecycle.exceptions import LifecycleError

logger = logging.getLogger(__name__)

# How long workers get to go when an operator wants the instance gone, in seconds.
_AT_ONCE_SECONDS = 1.0
# A loop that looks each second and is later than this stood still, in seconds.
_LATE_SECONDS = 2.0
# How long a worker may take from its fork to its loop, in seconds.
_BOOT_SECONDS = 30.0
# How long a worker may be silent that keeps nobody from writing, in seconds.
_HANG_SECONDS = 30.0


def refuse(name: str) -> None:
    """Log that the signal *name* does nothing here, and how to deploy."""
    logger.warning(
        "event=refused signal=%s hint=%s",
        name,
        '"to deploy, start the new version beside this one, then send SIGTERM here"',
    )


class InstanceArbiter(Arbiter):  # type: ignore[misc]
    """
    gunicorn's arbiter with an instance around it.

    gunicorn makes its own Arbiter, so `adopt` turns that object into this class
    in on_starting, before it handles its first signal.
    """

    instance: Any
    LISTENERS: list[Any]
    _looked_at: float
    _judges_from: float

    @classmethod
    def adopt(cls, server: Any, instance: Any) -> None:
        """Turn gunicorn's arbiter *server* into one of *instance*."""
        server.__class__ = cls
        server.instance = instance
        server._looked_at = server._judges_from = time.monotonic()
        # For the workers, too, who give their requests this long; set past
        # gunicorn's own check, which knows whole seconds only.
        server.cfg.settings["graceful_timeout"].value = instance.shutdown_timeout

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait for signals, but not past the instance's next tick; then tick."""
        signals: list[int] = super().wait_for_signals(
            min(timeout, self.instance.seconds_to_tick())
        )
        try:
            is_over = self.instance.tick()
        except LifecycleError as exc:
            raise HaltServer(str(exc), 1) from exc
        if is_over:
            # Raised here, in the loop's try: gunicorn's way to end gracefully.
            raise StopIteration
        return signals

    def handle_term(self) -> None:
        """Drain; once draining, only an operator's SIGINT or SIGQUIT is quicker."""
        self.instance.begin_drain("SIGTERM")

    def handle_int(self) -> None:
        """Drain; the second one stops at once."""
        if not self.instance.begin_drain("SIGINT"):
            self._stop_at_once("SIGINT")

    def handle_quit(self) -> None:
        """Stop at once."""
        self._stop_at_once("SIGQUIT")

    def handle_hup(self) -> None:
        """Refuse: a reload that fails would take the site down."""
        refuse("SIGHUP")

    def handle_usr2(self) -> None:
        """Refuse: an upgrade in place loses the supervisor's track of it."""
        refuse("SIGUSR2")

    def murder_workers(self) -> None:
        """
        Kill workers that have been silent for too long, or that never begin.

        gunicorn's time-out is for one that is stopped or that hangs in a write: nobody
        writes until it is gone. Another one gets longer, for what it reads comes late
        when the machine is slow, and not at all once it is killed. gunicorn looks at
        no worker before its first heartbeat.
        """
        if not self.timeout or not self._may_judge():
            return
        for pid, worker in list(self.WORKERS.items()):
            with contextlib.suppress(OSError, ValueError):  # its heartbeats are gone
                silent = time.monotonic() - worker.tmp.last_update()
                if silent > self._patience(pid, worker, silent):
                    self._abort(pid, worker, silent)
            if worker.slot.begins_seconds() > _BOOT_SECONDS:
                logger.error("event=worker_does_not_begin pid=%d", pid)
                self.kill_worker(pid, signal.SIGKILL)

    def _may_judge(self) -> bool:
        """
        Whether an old heartbeat means that its worker is silent.

        A machine that stood still (a paused VM, a laptop that slept, a process group
        that was stopped) wakes with every heartbeat old: who serves well would be
        killed, with what it answers. So the workers get time to beat first.
        """
        now = time.monotonic()
        if now - self._looked_at > _LATE_SECONDS:
            self._judges_from = now + _LATE_SECONDS
        self._looked_at = now
        return now >= self._judges_from

    def _patience(self, pid: int, worker: Any, silent: float) -> float:
        limit = float(self.timeout)
        if silent <= limit or worker.slot.is_writing or frozen.is_stopped(pid):
            return limit
        return max(limit, _HANG_SECONDS)

    def _abort(self, pid: int, worker: Any, silent: float) -> None:
        """Let a worker say where it hangs and end; kill it if it does not."""
        if worker.aborted:
            self.kill_worker(pid, signal.SIGKILL)
            return
        logger.critical("event=worker_silent pid=%d seconds=%.0f", pid, silent)
        worker.aborted = True
        self.kill_worker(pid, signal.SIGABRT)

    def _stop_at_once(self, name: str) -> None:
        logger.warning("event=stop_at_once signal=%s", name)
        self.instance.is_rushed = True
        self.stop(False)
        raise StopIteration

    def stop(self, graceful: bool = True) -> None:
        """End accepting, then the workers; in-flight requests get the time-out."""
        self.instance.begin_stop()
        self.instance.public.close(self.LISTENERS)
        self.LISTENERS = []
        if not graceful:
            self.cfg.settings["graceful_timeout"].value = _AT_ONCE_SECONDS
        super().stop(graceful)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """
        End as gunicorn does, and then at once.

        Python's own end stops the threads that answer the probes first and frees
        the whole site after that: for a quarter of a second /livez would be silent.
        """
        try:
            super().halt(reason, exit_status)
        except SystemExit as exc:
            logging.shutdown()
            sys.stdout.flush()
            os._exit(exc.code if isinstance(exc.code, int) else 1)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Signal a worker, which obeys since the page says that the master asked."""
        if sig in {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}:
            worker = self.WORKERS.get(pid)
            if worker is not None:
                worker.slot.allow_stop()
        super().kill_worker(pid, sig)
