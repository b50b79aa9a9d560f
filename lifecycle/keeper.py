"""
The tenure's port to the world, and the thread that runs it.

It lives in the master. Asks come in by the control socket's threads, reports by
the writer process's; what blocks (asking a holder) has a thread of its own.
"""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from lifecycle import locks, peers
from lifecycle.frozen import FrozenHolder
from lifecycle.lock_watch import LockWatch
from lifecycle.tenure import Ask, Event, tenure
from lifecycle.writer import WriterProcess

if TYPE_CHECKING:
    from lifecycle.instance import Instance

logger = logging.getLogger(__name__)

# Between two looks at the world, in seconds, where nothing says that it has changed.
_INTERVAL = 0.05
# Between two looks whether this instance is ready to ask, in seconds.
_BOOT_INTERVAL = 0.01
# An asker's patience with the holder's answer, in seconds: longer than a release
# may take.
_ASK_TIMEOUT = 12.0
# How often a standby looks whether the holder answers, in seconds.
_WATCH_INTERVAL = 1.0


class _PendingAsk:
    """An ask that waits for its answer, in a thread of the control socket."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.answered = threading.Event()
        self.refusal = ""


class SlotKeeper:
    """The real port of `lifecycle.tenure`; see there for its methods."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._watch = LockWatch(instance.slot.path)
        self._asks: collections.deque[_PendingAsk] = collections.deque()
        self._answering: dict[Ask, _PendingAsk] = {}
        self._is_ending = False
        self._has_held = False
        self._thread: threading.Thread | None = None
        self.acquire_timeout: float = max(instance.knobs["WRITER_ACQUIRE_TIMEOUT"], 1.0)
        self.writer = WriterProcess(instance, self._watch.wake)
        self.failure = ""
        """Why this instance is to end; one line."""
        self.refusal = ""
        """Why the holder refused; '' before an answer, or when it granted."""
        self.unfit = ""
        """Why this instance never takes the slot again; one line."""
        self.holder = FrozenHolder(instance)

    def start(self) -> None:
        """Start the writer process and the thread. For the main thread, in standby."""
        self.writer.tend()
        self._thread = threading.Thread(target=self._run, name="slot", daemon=True)
        self._thread.start()
        threading.Thread(
            target=self._look_at_holder, name="slot-holder", daemon=True
        ).start()

    def finish(self) -> None:
        """
        Release the slot, end the writer process, let go of the lock. Idempotent.

        For the main thread, once the workers are gone.
        """
        self._is_ending = True
        self._watch.wake()
        if self._thread is not None:
            self._thread.join(2 * self.acquire_timeout)
            self._thread = None
        self.writer.stop()
        self.unlock()

    @property
    def was_demoted(self) -> bool:
        """Whether the slot was given away, lost or refused: a peer has it by right."""
        return bool(self._has_held or self.refusal)

    def close_in_child(self) -> None:
        """Close what is the master's. For a child, right after its fork."""
        self._watch.close_in_child()
        self.writer.close_in_child()

    def _run(self) -> None:
        try:
            for _ in tenure(self):
                self._watch.wait(_INTERVAL)
        except Exception:  # without this thread nobody ever gives or takes the slot
            logger.exception("event=tenure_failed instance=%s", self._instance.id)
            self.failure = "the writer slot's thread has failed; its traceback says why"

    def _look_at_holder(self) -> None:
        asked = ""
        while not self._is_ending:
            if not self._instance.slot.is_held:
                self.holder.look()
                if self.holder.leaving != asked:
                    # It need not keep the slot till its last reader has gone.
                    asked = self.holder.leaving
                    self.ask_holder()
            time.sleep(_WATCH_INTERVAL)

    # -- asked by a peer, in a thread of the control socket -------------------

    def receive(self, ask: Ask) -> str:
        """Return '' once the slot was released to *ask*, or why it was not."""
        pending = _PendingAsk(ask)
        self._asks.append(pending)
        self._watch.wake()
        if not pending.answered.wait(_ASK_TIMEOUT):
            return "the holder did not decide in time"
        return pending.refusal

    # -- the port -------------------------------------------------------------

    def now(self) -> float:
        """See `Port.now`."""
        return time.monotonic()

    def may_acquire(self) -> bool:
        """See `Port.may_acquire`."""
        is_leaving = self._instance.page.is_draining or self._is_ending
        return not is_leaving and not self.unfit

    def should_end(self) -> bool:
        """See `Port.should_end`."""
        return self._is_ending

    def lock(self) -> bool:
        """See `Port.lock`."""
        return self._instance.slot.try_acquire()

    def unlock(self) -> None:
        """See `Port.unlock`."""
        self._instance.slot.release()

    def ask_holder(self) -> None:
        """See `Port.ask_holder`."""
        threading.Thread(target=self._ask, name="slot-ask", daemon=True).start()

    def _ask(self) -> None:
        """
        Ask the living instance that holds the slot, the eldest first.

        Writers wait from the moment that it says yes, so everything else is done
        before: the workers have booted, and the writer process waits for its word.
        """
        instance = self._instance
        deadline = time.monotonic() + self.acquire_timeout
        while not (instance.workers_have_booted() and self.writer.has_spoken):
            if self._is_ending or time.monotonic() >= deadline:
                break
            time.sleep(_BOOT_INTERVAL)
        for peer in instance.living_peers():
            if instance.slot.is_held or not self.may_acquire():
                return
            try:
                answer = peers.post(
                    instance.run_dir,
                    peer,
                    "/slot",
                    instance.ask(),
                    timeout=_ASK_TIMEOUT,
                )
            except OSError as exc:
                logger.info(
                    "event=slot_ask_failed peer=%s reason=%r", peer.id, str(exc)
                )
                continue
            refusal = str(answer.get("refusal", ""))
            if not refusal:
                logger.info("event=slot_granted by=%s", peer.id)
                return
            if answer.get("holds"):
                self.refusal = refusal
                logger.warning(
                    "event=slot_refused by=%s reason=%s", peer.id, json.dumps(refusal)
                )
                return

    def has_lost_lock(self) -> bool:
        """See `Port.has_lost_lock`."""
        return not self._instance.slot.is_intact()

    def next_ask(self) -> Ask | None:
        """See `Port.next_ask`."""
        with contextlib.suppress(IndexError):
            pending = self._asks.popleft()
            self._answering[pending.ask] = pending
            return pending.ask
        return None

    def answer(self, ask: Ask, refusal: str) -> None:
        """See `Port.answer`."""
        pending = self._answering.pop(ask)
        pending.refusal = refusal
        if not refusal:
            self.holder.expect(ask.asker)
        pending.answered.set()

    def objection(self, ask: Ask) -> str:
        """See `Port.objection`."""
        if not self.is_living(ask.asker):
            return f"instance {ask.asker} is gone"
        # The tables of an application that it has not installed do not concern it.
        applications = {name.partition(".")[0] for name in ask.migrations}
        lacking = sorted(
            name
            for name, compatible in self.writer.facts.get("migrations", {}).items()
            if not compatible
            and name not in ask.migrations
            and name.partition(".")[0] in applications
        )
        if lacking:
            return f"its code lacks applied migrations: {', '.join(lacking)}"
        again_at = self.writer.facts.get("crashed", {}).get(ask.version, 0.0)
        if again_at > time.time() and ask.version != self._instance.version:
            return (
                f"version {ask.version} crashed while it held the slot; "
                f"it may ask again in {again_at - time.time():.0f} s"
            )
        return ""

    def tell_writer(self, command: str, attempt: int, successor: str = "") -> None:
        """See `Port.tell_writer`."""
        self.writer.tell(command, attempt, successor)

    def next_event(self) -> Event | None:
        """See `Port.next_event`."""
        return self.writer.next_event()

    def lacks_writer(self) -> bool:
        """See `Port.lacks_writer`: gunicorn's loop, which starts one, is over."""
        return self._instance.is_stopping and self.writer.has_ended

    def progressed_at(self) -> float:
        """See `Port.progressed_at`."""
        return self.writer.progressed_at

    def is_living(self, instance: str) -> bool:
        """See `Port.is_living`."""
        return locks.is_locked(self._instance.run_dir.path / f"{instance}.lock")

    def set_closing(self, closing: bool) -> None:
        """See `Port.set_closing`."""
        self._instance.page.is_closing = closing

    def hold(self, epoch: int) -> None:
        """See `Port.hold`."""
        self._instance.hold(epoch)
        if epoch:
            self._has_held = True
            self.refusal = ""

    def give_up(self, reason: str) -> None:
        """See `Port.give_up`."""
        self.unfit = reason
        logger.error("event=slot_given_up reason=%s", json.dumps(reason))

    def fail(self, reason: str) -> None:
        """See `Port.fail`."""
        self.failure = reason


def parse_ask(body: Any) -> Ask:
    """
    Return the Ask in *body*, as a peer sent it.

    Raises:
        ValueError: it is none.
    """
    try:
        return Ask(
            asker=str(body["asker"]),
            version=str(body["version"]),
            migrations=frozenset(map(str, body["migrations"])),
        )
    except (KeyError, TypeError) as exc:
        raise ValueError("not an ask for the writer slot") from exc
