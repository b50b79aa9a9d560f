"""
A world in which many tenures run on one clock, and anything may go wrong.

Masters run the real `lifecycle.tenure`. The rest is a model of what stands
around it: the lock (free when its last descriptor closes), the table of epochs,
SQLite's one write transaction, the writer processes (as lifecycle.writer_main has
them), workers, commands. Each actor does one short step at a time; what happens
in between is up to the test.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Generator, Iterator

from lifecycle.tenure import OVER, RESERVED_SECONDS, Ask, Event, Said, tenure

# SQLite's busy time-out, and an instance's patience with a take, in seconds.
BUSY_TIMEOUT = 10.0
ACQUIRE_TIMEOUT = 20.0
# A writer process that is silent for this long is killed, in seconds.
SILENCE_LIMIT = 5.0
# What a writer process reports of a release.
RELEASE = {Said.PREPARED, Said.RELEASED, Said.RELEASE_FAILED}


@dataclasses.dataclass(eq=False)
class OpenLock:
    """An open file description of the lock's file; its lock ends with the last copy."""

    inode: int
    copies: set[object]


@dataclasses.dataclass
class Epoch:
    """A row of the table."""

    number: int
    holder: str
    next: str = ""
    until: float = 0.0


class BusyError(Exception):
    """The database was locked for too long."""


class World:
    """Clock, lock file, database and mail. It raises when a promise is broken."""

    def __init__(self) -> None:
        self.now = 0.0
        self.inode = 1
        self.locks: list[OpenLock] = []
        self.epochs: list[Epoch] = []
        self.transaction: object | None = None
        self.commits: list[tuple[int, str]] = []
        self.instances: dict[str, Instance] = {}
        self.commands: list[Guest] = []
        self.mail: list[tuple[str, Ask]] = []
        self.is_saturated = False
        """Whether workers always come before others in SQLite's queue, which is unfair."""

    def wants_to_write(self) -> bool:
        """Return whether a worker is there whose write is admitted."""
        return any(
            worker.is_alive and one.epoch and not one.is_closing
            for one in self.instances.values()
            for worker in one.workers
        )

    # -- the kernel -----------------------------------------------------------

    def try_lock(self, owner: object) -> OpenLock | None:
        """Return the lock on the file that is there now; None when it is taken."""
        if any(lock.inode == self.inode and lock.copies for lock in self.locks):
            return None
        made = OpenLock(self.inode, {owner})
        self.locks.append(made)
        return made

    def lock_owner(self) -> Instance | None:
        """Return the instance that has the lock on the file that is there now."""
        for one in self.instances.values():
            if one.is_alive and one.holds_intact_lock:
                return one
        return None

    def lives(self, instance: str) -> bool:
        """Return whether the lock on the instance's own file is held."""
        return instance in self.instances and self.instances[instance].is_alive

    # -- the database ---------------------------------------------------------

    def transact(
        self, owner: object, work: Callable[[], None]
    ) -> Generator[None, None, None]:
        """Run *work* in the one write transaction, once it can be had."""
        deadline = self.now + BUSY_TIMEOUT
        while self.transaction is not None or (
            self.is_saturated and self.wants_to_write()
        ):
            if self.now >= deadline:
                raise BusyError
            yield
        self.transaction = owner
        yield
        work()
        self.transaction = None

    def reservation(self, taker: str) -> tuple[str, float] | None:
        """Return for whom else the slot is kept, and until when."""
        if not self.epochs:
            return None
        row = self.epochs[-1]
        if row.holder or row.next in {"", taker} or row.until <= self.now:
            return None
        return (row.next, row.until) if self.lives(row.next) else None

    def begin_epoch(self, taker: str, lock: OpenLock) -> Epoch | tuple[str, float]:
        """
        Begin the next epoch, with the lock; or return who may, and until when.

        Nobody may when the lock's file was replaced.
        """
        assert lock.copies, f"{taker} begins an epoch without the lock"
        if lock.inode != self.inode:
            return "", 0.0
        kept = self.reservation(taker)
        if kept is not None:
            return kept
        if self.epochs and not self.epochs[-1].holder:
            row = self.epochs[-1]
            mine = row.next in {"", taker} or row.until <= self.now
            assert mine or not self.lives(row.next), f"{taker} takes what is {row}"
        row = Epoch(self.epochs[-1].number + 1 if self.epochs else 1, taker)
        self.epochs.append(row)
        return row

    def commit(self, writer: str) -> None:
        """Commit a write of *writer*: only the holder may."""
        row = self.epochs[-1]
        assert row.holder == writer, f"{writer} writes, {row.holder} holds the slot"
        # Each under an epoch that is not older than the one before.
        assert not self.commits or self.commits[-1][0] <= row.number
        self.commits.append((row.number, writer))


class Worker:
    """A worker process: one write after another, while the page lets it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.is_alive = True
        self.frozen_until = 0.0
        self._program = self._run()

    def step(self) -> None:
        """Go on a little."""
        if self.is_alive and self.instance.world.now >= self.frozen_until:
            next(self._program)

    def die(self) -> None:
        """End; an open transaction is undone."""
        self.is_alive = False
        self._program.close()
        if self.instance.world.transaction is self:
            self.instance.world.transaction = None

    def _run(self) -> Generator[None, None, None]:
        world, page = self.instance.world, self.instance
        while True:
            yield
            if not page.epoch or page.is_closing:
                continue
            yield  # admitted
            if world.transaction is not None:
                continue
            world.transaction = self
            row = world.epochs[-1]
            is_current = row.number == page.epoch and row.holder != ""
            if is_current:
                yield
                world.commit(page.id)
            world.transaction = None


class Writer:
    """A writer process, as lifecycle.writer_main has it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.is_alive = True
        self.frozen_until = 0.0
        self.is_busy = False
        """Whether a job runs that does not end in time."""
        self.job_waits = False
        """Whether a command waits to hand one in."""
        self.runs_subsystems = False
        self.lock: OpenLock | None = None
        self.commands: collections.deque[tuple[str, int, str, OpenLock | None]] = (
            collections.deque()
        )
        self._attempt = 0
        self._epoch: Epoch | None = None
        self._program: Iterator[None] = iter(())

    def step(self) -> None:
        """Go on a little."""
        if not self.is_alive or self.instance.world.now < self.frozen_until:
            return
        try:
            next(self._program)
        except StopIteration:
            if self.commands:
                self._program = self._obey(*self.commands.popleft())

    def die(self) -> None:
        """End; the kernel closes its copy of the lock, SQLite undoes what is open."""
        self.is_alive = self.runs_subsystems = False
        if self.lock is not None:
            self.lock.copies.discard(self)
        if self.instance.world.transaction is self:
            self.instance.world.transaction = None

    def _say(self, said: Said, **details: object) -> None:
        event = Event(said, self._attempt, **details)  # type: ignore[arg-type]
        self.instance.channel.append((self, event))

    def _end(self) -> None:
        self.runs_subsystems = False
        if self.lock is not None:
            self.lock.copies.discard(self)
        self.lock = self._epoch = None

    def _start(self) -> None:
        """Run the subsystems, and the job that waits for them."""
        self.runs_subsystems = True
        self.is_busy, self.job_waits = self.is_busy or self.job_waits, False

    def hand_in_job(self) -> None:
        """Have a job that does not end in time, as soon as jobs are taken."""
        self.job_waits = True
        if self.runs_subsystems:
            self._start()

    def _obey(
        self, command: str, attempt: int, successor: str, lock: OpenLock | None
    ) -> Iterator[None]:
        self._attempt = attempt
        try:
            if command == "take":
                yield from self._take(lock)
            elif command == "prepare":
                yield from self._prepare()
            elif command == "release":
                yield from self._release(successor)
            elif self.lock is not None:
                self._start()
        except BusyError:
            if command == "take":
                self._end()
                self._say(Said.RESERVED)
            else:
                self._say(Said.RELEASE_FAILED, reason="database is locked")

    def _take(self, lock: OpenLock | None) -> Iterator[None]:
        world, me = self.instance.world, self.instance.id
        assert lock is not None
        self.lock = lock
        lock.copies.add(self)
        yield
        if self.instance.is_older:
            self._end()
            self._say(Said.UNFIT, reason="the database is newer")
            return
        begun: Epoch | tuple[str, float] = ("", 0.0)

        def begin() -> None:
            nonlocal begun
            begun = world.begin_epoch(me, lock)

        yield from world.transact(self, begin)
        if isinstance(begun, tuple):
            self._end()
            self._say(Said.RESERVED, successor=begun[0], until=begun[1])
            return
        self._epoch = begun
        yield
        while world.now < self.instance.migrates_until:
            if not self.instance.is_stuck:
                self.instance.note_progress()
            yield
        self._start()
        self._say(Said.RUNNING, epoch=self._epoch.number)

    def _prepare(self) -> Iterator[None]:
        self.runs_subsystems = False
        yield
        if self.is_busy:
            self._say(Said.RELEASE_FAILED, reason="a job is running")
        else:
            self._say(Said.PREPARED)

    def _release(self, successor: str) -> Iterator[None]:
        world, row, until = self.instance.world, self._epoch, 0.0

        def end() -> None:
            nonlocal until, successor
            assert row is not None
            assert not self.runs_subsystems, f"{self.instance.id} has not prepared"
            assert not self.is_busy, f"{self.instance.id} gives up with a job running"
            if world.epochs[-1] is row:
                until = world.now + RESERVED_SECONDS
                row.holder, row.next, row.until = "", successor, until
            else:
                successor = ""  # another epoch has begun

        if row is None:
            successor = ""
        else:
            yield from world.transact(self, end)
        self._end()
        yield
        self._say(Said.RELEASED, successor=successor, until=until)


class Guest:
    """A command that takes the slot for its run, as lifecycle.guests has it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.name = f"command {len(world.commands)}"
        self.is_alive = True
        self.lock: OpenLock | None = None
        self._program = self._run()

    def step(self) -> None:
        """Go on a little; it ends by itself."""
        if self.is_alive and next(self._program, "end") == "end":
            self.die()

    def die(self) -> None:
        """End; the kernel frees the lock."""
        self.is_alive = False
        self._program.close()
        if self.lock is not None:
            self.lock.copies.discard(self)
        if self.world.transaction is self:
            self.world.transaction = None

    def _run(self) -> Generator[None, None, None]:
        world = self.world
        begun: Epoch | tuple[str, float] = ("", 0.0)

        def begin() -> None:
            nonlocal begun
            assert self.lock is not None
            begun = world.begin_epoch(self.name, self.lock)

        def write() -> None:
            if world.epochs[-1] is begun:
                world.commit(self.name)

        def finish() -> None:
            if world.epochs[-1] is begun:
                world.epochs[-1].holder = ""

        try:
            while isinstance(begun, tuple):
                if self.lock is not None:
                    self.lock.copies.discard(self)
                self.lock = world.try_lock(self)
                yield
                if self.lock is not None:
                    yield from world.transact(self, begin)
            yield from world.transact(self, write)
            yield from world.transact(self, finish)
        except BusyError:
            return


class Instance:
    """A master with its page, and its port to this world."""

    acquire_timeout = ACQUIRE_TIMEOUT

    def __init__(self, world: World) -> None:
        self.world = world
        self.id = f"i{len(world.instances)}"
        self.is_alive = True
        self.frozen_until = 0.0
        self.is_draining = False
        self.is_stopping = False
        """Whether the main thread waits for the workers' end, and tends nothing."""
        self.is_ending = False
        self.objects_to: set[str] = set()
        self.is_older = False
        """Whether its code cannot live with what the database has by now."""
        self.given_up = ""
        self.migrates_until = 0.0
        self.is_stuck = False
        """Whether its migrations make no progress."""
        self._progressed_at = 0.0
        self.failure = ""
        self.answers: list[tuple[str, str]] = []
        self.takes = 0
        # The page.
        self.epoch = 0
        self.is_closing = False
        self._lock: OpenLock | None = None
        self._asks: collections.deque[Ask] = collections.deque()
        self._events: collections.deque[Event] = collections.deque()
        self._holding = False
        self._taken = 0
        self.deaf_until = 0.0
        """Till when reports are under way, and do not come in."""
        self.heard: tuple[Writer, Event] | None = None
        self.channel: collections.deque[tuple[Writer, Event]] = collections.deque()
        self.writer = Writer(self)
        self.workers = [Worker(self), Worker(self)]
        self._tenure = tenure(self)
        world.instances[self.id] = self

    # -- what happens to it ---------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the master lives and is not stopped."""
        return self.is_alive and self.world.now >= self.frozen_until

    @property
    def holds_intact_lock(self) -> bool:
        """Whether the lock is ours, on the file that is there."""
        return self._lock is not None and self._lock.inode == self.world.inode

    def step(self) -> None:
        """Let the tenure's thread run to its next wait."""
        if not self.is_running:
            return
        ended = next(self._tenure, "ended") == "ended"
        if self.failure or (ended and self.is_ending):
            self.die(with_workers=True)

    def tend(self) -> None:
        """Let the main thread look after the writer process."""
        if not self.is_running or self.is_stopping:
            return
        if self.writer.frozen_until - self.world.now > SILENCE_LIMIT:
            self.writer.die()  # it would be silent for that long
        if not self.writer.is_alive:
            self.writer = Writer(self)
            if self._holding:
                self._events.clear()
                self.writer.commands.append(("take", self._taken, "", self._lock))

    def hear(self) -> None:
        """Receive the oldest report that is under way."""
        if self.is_running and self.channel and self.world.now >= self.deaf_until:
            self.heard = writer, event = self.channel.popleft()
            if writer is self.writer:
                self._events.append(event)

    def hear_again(self) -> None:
        """Let the last report come once more, later, if it is one of a release."""
        if self.heard is not None and self.heard[1].said in RELEASE:
            self.channel.append(self.heard)

    def note_progress(self) -> None:
        """Hear from the writer process that a migration gets on."""
        self._progressed_at = self.world.now

    def receive(self, ask: Ask) -> None:
        """Receive *ask*."""
        if self.is_alive:
            self._asks.append(ask)

    def replace_worker(self, number: int) -> None:
        """Kill a worker; a living master forks the next."""
        self.workers[number].die()
        if self.is_alive and not self.is_stopping:
            self.workers[number] = Worker(self)

    def stop(self) -> None:
        """Let it accept no more; its workers go on with what they have."""
        self.is_draining = self.is_stopping = True

    def end(self) -> None:
        """Let it end in order: its workers are gone, then it gives the slot back."""
        self.is_draining = self.is_stopping = self.is_ending = True
        for worker in self.workers:
            worker.die()

    def die(self, *, with_workers: bool = False) -> None:
        """Kill the master: its writer goes with it, its workers live on as orphans."""
        self.is_alive = False
        if self._lock is not None:
            self._lock.copies.discard(self)
        self.writer.die()
        if with_workers:
            for worker in self.workers:
                worker.die()

    # -- the port; see lifecycle.tenure.Port ----------------------------------

    def now(self) -> float:
        return self.world.now

    def may_acquire(self) -> bool:
        return not self.is_draining and not self.given_up

    def should_end(self) -> bool:
        return self.is_ending

    def lock(self) -> bool:
        if self._lock is None:
            self._lock = self.world.try_lock(self)
        return self._lock is not None

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.copies.discard(self)
            self._lock = None

    def has_lost_lock(self) -> bool:
        return self._lock is not None and self._lock.inode != self.world.inode

    def ask_holder(self) -> None:
        ask = Ask(self.id, "v", frozenset())
        for peer in self.world.instances.values():
            if peer is not self and peer.is_alive:
                self.world.mail.append((peer.id, ask))

    def next_ask(self) -> Ask | None:
        return self._asks.popleft() if self._asks else None

    def answer(self, ask: Ask, refusal: str) -> None:
        self.answers.append((ask.asker, refusal))

    def objection(self, ask: Ask) -> str:
        return "not you" if ask.asker in self.objects_to else ""

    def tell_writer(self, command: str, attempt: int, successor: str = "") -> None:
        lock = None
        if command == "take":
            self.takes += 1
            self._holding, self._taken = True, attempt
            lock = self._lock
        if self.writer.is_alive:
            self.writer.commands.append((command, attempt, successor, lock))

    def next_event(self) -> Event | None:
        while self._events:
            event = self._events.popleft()
            if event.attempt < self._taken:
                continue
            if event.said in OVER:
                self._holding = False
            return event
        return None

    def lacks_writer(self) -> bool:
        return self.is_stopping and not self.writer.is_alive

    def progressed_at(self) -> float:
        return self._progressed_at

    def is_living(self, instance: str) -> bool:
        return self.world.lives(instance)

    def set_closing(self, closing: bool) -> None:
        self.is_closing = closing

    def hold(self, epoch: int) -> None:
        self.epoch = epoch
        if not epoch:
            self.is_closing = False

    def give_up(self, reason: str) -> None:
        self.given_up = reason

    def fail(self, reason: str) -> None:
        self.failure = reason
