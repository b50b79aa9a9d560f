"""
The writer slot's life in one instance: ask, take, hold, give, take back.

The protocol is one generator. Each `yield` is a moment in which anything may
happen elsewhere; whatever it does to the world goes through its port, so that a
test can run many of them on one clock, lose their messages and kill them at
any step. What keeps it safe is not here: the lock elects, the epoch protects.

    new instance                           holder
    ------------                           ------
    warm, stands by
    asks, once  ------------------------>  refuses: the new one stays a reader
                                           its writer process ends the subsystems
                                           closes admission; its writer process ends
                                           the tenure in one transaction (holder =
                                           none, next = the asker, until = now + 5 s)
                                           unlocks; stands by, forwards writes
    has the lock: its writer process
    begins the next epoch, migrates,
    starts the subsystems
    ready

What if one dies here?
  before the lock is free   the holder never noticed, or opens admission again
  after it is free          the row names a taker that is dead (its own lock file is
                            free): anybody living takes the lock, the predecessor
                            among them, within one poll
  after the epoch began     the kernel frees the lock: as any death of a holder
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Generator, Iterator
from typing import Protocol

# How long only the asker may take a released slot, in seconds.
RESERVED_SECONDS = 5.0
# How long an instance steps aside for a successor at a time, in seconds: enough for
# one that polls to get the lock. Then it may try: what stands in the database counts,
# and its writer process looks there. Waiting the whole time out would keep the slot
# from an instance that gave it away and is given it back at once.
_ASIDE_SECONDS = 0.25
# How long the writer process gets to end a tenure before the release is called off.
RELEASE_TIMEOUT = 4.0
_NO_WRITER = "the writer process died as the instance ended"


@dataclasses.dataclass(frozen=True)
class Ask:
    """
    A request for the slot, as its holder gets it.

    Attributes:
        asker: the id of the instance that wants it.
        version: of the asker's code.
        migrations: those that the asker's code knows, as 'app.name'.
    """

    asker: str
    version: str
    migrations: frozenset[str]


class Said(enum.Enum):
    """What the writer process reports."""

    RUNNING = "running"
    RESERVED = "reserved"
    UNFIT = "unfit"
    FAILED = "failed"
    PREPARED = "prepared"
    RELEASED = "released"
    RELEASE_FAILED = "release_failed"


@dataclasses.dataclass(frozen=True)
class Event:
    """
    A report of the writer process.

    Attributes:
        attempt: the number that came with the command; a report may be a late one.
        epoch: of RUNNING.
        successor: of RESERVED and RELEASED: who may take the slot next; '' for anybody.
        until: of RESERVED and RELEASED: how long nobody else may, on the port's clock.
        reason: of UNFIT, FAILED and RELEASE_FAILED, one line.
    """

    said: Said
    attempt: int = 0
    epoch: int = 0
    successor: str = ""
    until: float = 0.0
    reason: str = ""


# After these the writer process has no tenure, and its copy of the lock is closed.
OVER = frozenset({Said.RESERVED, Said.UNFIT, Said.RELEASED, Said.FAILED})


class Port(Protocol):
    """The world, as one instance's tenure sees it. Nothing here blocks."""

    acquire_timeout: float

    def now(self) -> float:
        """Return the time in seconds."""

    def may_acquire(self) -> bool:
        """Return whether this instance may take the slot: it is not draining."""

    def should_end(self) -> bool:
        """Return whether the slot is to be released for good."""

    def lock(self) -> bool:
        """Try to take the lock; return whether it is ours. Idempotent."""

    def unlock(self) -> None:
        """Let go of the lock. Idempotent."""

    def ask_holder(self) -> None:
        """Send whoever holds the slot an Ask, without waiting for the answer."""

    def has_lost_lock(self) -> bool:
        """Return whether the lock's file was replaced: somebody else may have one."""

    def next_ask(self) -> Ask | None:
        """Return an Ask that has come in, if any."""

    def answer(self, ask: Ask, refusal: str) -> None:
        """Answer *ask*: '' is yes, anything else says why not."""

    def objection(self, ask: Ask) -> str:
        """Return why *ask* cannot be granted; '' when it can."""

    def tell_writer(self, command: str, attempt: int, successor: str = "") -> None:
        """Tell the writer process to 'take', 'prepare', 'release' or 'resume'."""

    def next_event(self) -> Event | None:
        """Return what the writer process reports, if anything, since the last 'take'."""

    def lacks_writer(self) -> bool:
        """Return whether the writer process is gone, and none will follow it."""

    def progressed_at(self) -> float:
        """Return when the writer process last told that a migration gets on."""

    def is_living(self, instance: str) -> bool:
        """Return whether *instance* lives."""

    def set_closing(self, closing: bool) -> None:
        """Stop, or let go on, the admission of writes."""

    def hold(self, epoch: int) -> None:
        """Announce that this instance writes under *epoch*; 0: that it does not."""

    def give_up(self, reason: str) -> None:
        """Acquire no more: what the slot's holders made of the database is too new."""

    def fail(self, reason: str) -> None:
        """End this instance: the slot is of no use to it."""


def tenure(port: Port) -> Iterator[None]:
    """
    Run the slot's life in an instance, until it is to end.

    Each step is short; between two steps the caller waits a few milliseconds.
    Runs in one thread of the master.
    """
    if port.may_acquire() and not port.lock():
        # Once in its life, and again one that drains. Else it only takes a free lock.
        port.ask_holder()
    # Of takes and releases: a writer process that was stopped answers late.
    attempts = itertools.count(1)
    successor, until = "", 0.0
    while not port.should_end():
        is_reserved = port.now() < until and port.is_living(successor)
        if is_reserved or not port.may_acquire() or not port.lock():
            # It is ours when a drain began just after it was taken.
            port.unlock()
            _refuse_asks(port)
            yield
            continue
        event = yield from _take(port, next(attempts))
        if event.said is Said.RUNNING:
            event = yield from _hold(port, attempts)
        if event.said is Said.FAILED:
            port.fail(event.reason)
            return
        if event.said is Said.UNFIT:
            # Readers are served on; the newer version is what may write.
            port.give_up(event.reason)
        # With no successor it was put off: the database was locked, or the lock's
        # file was replaced. Then this is the next to try.
        successor = event.successor
        until = min(event.until, port.now() + _ASIDE_SECONDS)
        yield


def _refuse_asks(port: Port) -> None:
    while (ask := port.next_ask()) is not None:
        port.answer(ask, "this instance does not hold the writer slot")


def _take(port: Port, attempt: int) -> Generator[None, None, Event]:
    """
    Let the writer process begin a tenure; the lock is ours.

    Return what came of it: RUNNING, RESERVED, UNFIT or FAILED. But for RUNNING the
    lock is free again.
    """
    port.tell_writer("take", attempt)
    began = port.now()
    while True:
        _refuse_asks(port)
        event = port.next_event()
        # A migration and the snapshot before it may last: what gets on is waited for.
        deadline = max(began, port.progressed_at()) + port.acquire_timeout
        if event is None and port.now() >= deadline:
            event = Event(
                Said.FAILED,
                reason=f"not ready within {port.acquire_timeout:g} s of taking the slot, "
                "or of a migration's last progress (WRITER_ACQUIRE_TIMEOUT)",
            )
        if event is None and port.lacks_writer():
            event = Event(Said.FAILED, reason=_NO_WRITER)
        if event is not None and event.said is Said.RUNNING:
            port.set_closing(False)
            port.hold(event.epoch)
            return event
        if event is not None and event.said in OVER:
            port.unlock()
            return event
        yield


def _hold(port: Port, attempts: Iterator[int]) -> Generator[None, None, Event]:
    """
    Hold the slot until it is given away, or everything ends.

    Return what the writer process said last. Whatever it was, this instance writes
    no more, and the lock is free.
    """
    while True:
        event = port.next_event()
        ask, refusal = None, ""
        if event is None and (ask := port.next_ask()) is not None:
            refusal = port.objection(ask)
            if not refusal:
                event = yield from _release(port, next(attempts), ask.asker)
                if event.said not in OVER or event.successor != ask.asker:
                    refusal = event.reason or "the slot went to another instance"
        elif event is None and (port.should_end() or port.has_lost_lock()):
            event = yield from _release(port, next(attempts), "")
        # The end comes without a release, too: from a writer process that died, or
        # answered late, after the tenure had been ended in the database.
        is_over = event is not None and event.said in OVER
        if is_over:
            port.hold(0)
            port.unlock()
        elif event is not None and event.said is Said.RUNNING:
            # The writer process died, and a new one began the next epoch.
            port.hold(event.epoch)
        if ask is not None:
            port.answer(ask, refusal)
        if event is not None and is_over:
            return event
        yield


def _release(port: Port, attempt: int, successor: str) -> Generator[None, None, Event]:
    """
    Release the slot in two phases; return what the writer process said of it.

    The subsystems end first, while writes go on. Then admission stops, since
    SQLite's queue is not fair, and the transaction that ends the tenure waits for
    the writes that run. Called off, admission goes on and nobody has noticed.
    """
    for command, done in (("prepare", Said.PREPARED), ("release", Said.RELEASED)):
        port.set_closing(command == "release")
        port.tell_writer(command, attempt, successor)
        event = yield from _await_writer(port, attempt, done)
        if event.said in OVER:
            return event
        if event.said is not done:
            if port.should_end() or port.lacks_writer():
                # Nobody ends the tenure in the database: the next epoch will. Nor is
                # it tried again for each peer that has asked.
                return Event(Said.RELEASED, successor=successor, reason=event.reason)
            break
    port.set_closing(False)
    # Also to a process that has just begun: it may have been told to prepare.
    port.tell_writer("resume", attempt)
    return event


def _await_writer(port: Port, attempt: int, done: Said) -> Generator[None, None, Event]:
    """
    Return the report that *done* was, or what came instead of it.

    That an earlier attempt was prepared, or failed, says nothing: the subsystems
    have gone on since. That one ended the tenure always counts.
    """
    deadline = port.now() + RELEASE_TIMEOUT
    while port.now() < deadline:
        event = port.next_event()
        if event is None:
            if port.lacks_writer():
                return Event(Said.RELEASE_FAILED, reason=_NO_WRITER)
            yield
        elif event.said is Said.RUNNING:
            # It died and began anew: the release is off.
            return dataclasses.replace(
                event, reason="the writer process died during the release"
            )
        elif event.said in OVER or (
            event.attempt == attempt and event.said in {done, Said.RELEASE_FAILED}
        ):
            return event
    return Event(
        Said.RELEASE_FAILED,
        reason=f"the tenure did not end within {RELEASE_TIMEOUT:g} s",
    )
