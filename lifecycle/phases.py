"""The phases of an instance, and the steps allowed between them."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable

from lifecycle.exceptions import LifecycleError

logger = logging.getLogger(__name__)


class Phase(enum.Enum):
    """
    Where an instance is in its life.

    The value's place in this list is what the shared page holds.
    """

    STARTING = "starting"
    WARMING = "warming"
    STANDBY = "standby"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


_ALLOWED = {
    Phase.STARTING: {Phase.WARMING, Phase.STOPPED},
    Phase.WARMING: {Phase.STANDBY, Phase.STOPPED},
    Phase.STANDBY: {Phase.READY, Phase.DRAINING, Phase.STOPPED},
    # Back to standby: the slot was given away, reads go on.
    Phase.READY: {Phase.STANDBY, Phase.DRAINING, Phase.STOPPED},
    Phase.DRAINING: {Phase.STOPPED},
    Phase.STOPPED: set(),
}


class PhaseTransitionError(LifecycleError):
    """A step that the table of phases does not have."""

    def __init__(self, was: Phase, to: Phase) -> None:
        super().__init__(f"An instance cannot go from {was.value} to {to.value}.")
        self.was = was
        self.to = to


class PhaseMachine:
    """
    The phase of one instance; it changes only by `transition`.

    Reading is safe from any thread. *announce* is called inside the
    transition, so that nobody sees the new phase before it has run.
    """

    def __init__(
        self,
        announce: Callable[[Phase], None] = lambda phase: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Reentrant: a signal handler of the start ends the process from inside a step.
        self._lock = threading.RLock()
        self._announce = announce
        self._clock = clock
        self._phase = Phase.STARTING
        self._since = self._started = clock()
        announce(self._phase)

    @property
    def phase(self) -> Phase:
        """The phase now."""
        return self._phase

    @property
    def seconds(self) -> float:
        """How long this phase has lasted."""
        return self._clock() - self._since

    def transition(self, to: Phase, **details: object) -> None:
        """
        Step to *to* and log one line; *details* go into the line.

        Raises:
            PhaseTransitionError: the table has no such step.
        """
        with self._lock:
            was = self._phase
            if to not in _ALLOWED[was]:
                raise PhaseTransitionError(was, to)
            now = self._clock()
            lasted = now - self._since
            self._announce(to)
            self._phase = to
            self._since = now
        logger.info(
            "event=phase phase=%s was=%s was_seconds=%.3f total_seconds=%.3f%s",
            to.value,
            was.value,
            lasted,
            now - self._started,
            "".join(f" {name}={value}" for name, value in details.items()),
        )
