"""The writer slot's protocol: at most one writer, and a writer in the end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from lifecycle.tenure import RELEASE_TIMEOUT, RESERVED_SECONDS, Ask, Said
from tests.lifecycle.world import (
    ACQUIRE_TIMEOUT,
    BUSY_TIMEOUT,
    SILENCE_LIMIT,
    Guest,
    Instance,
    World,
)

# In a run of its own: many more lives, and longer ones.
SOAK = os.environ.get("SOAK") == "1"
# Time that passes in a round in which everybody does one step, in seconds.
ROUND = 0.05
# Within this there is a writer, once nothing goes wrong any more: a take that was
# under way fails, and so does a release; a reservation lapses; then one more take.
RECOVERY = (
    ACQUIRE_TIMEOUT
    + 2 * RELEASE_TIMEOUT
    + RESERVED_SECONDS
    + BUSY_TIMEOUT
    + SILENCE_LIMIT
)
# How long one more handoff takes when everybody answers.
HANDOFF = 2.0


def actors(world: World) -> list[Callable[[], None]]:
    """Return every step that could be done next, of all that live."""
    steps: list[Callable[[], None]] = []
    for one in world.instances.values():
        if one.is_alive:
            steps += [one.step, one.tend, one.writer.step, one.hear]
        steps += [worker.step for worker in one.workers if worker.is_alive]
    steps += [guest.step for guest in world.commands if guest.is_alive]
    return steps


def check(world: World) -> None:
    """Raise when two run what writes, where the lock's file is the one they know."""
    running = [
        one.id
        for one in world.instances.values()
        if one.writer.runs_subsystems
        and one.writer.lock is not None
        and one.writer.lock.inode == world.inode
    ]
    assert len(running) <= 1, running
    numbers = [row.number for row in world.epochs]
    assert numbers == list(range(1, len(numbers) + 1))


def deliver(world: World, index: int = 0) -> None:
    """Bring one of the asks that are under way to its instance."""
    target, ask = world.mail.pop(index % len(world.mail))
    world.instances[target].receive(ask)


def go_on(world: World, steps: int) -> None:
    """Let everybody do a step, in turn, until so many have been done."""
    while steps > 0:
        while world.mail:
            deliver(world)
        choices = actors(world)[:steps]
        for step in choices:
            step()
            check(world)
        steps -= len(choices) or 1
        world.now += ROUND


def run(world: World, until: Callable[[], bool], limit: float) -> bool:
    """Go on; return whether *until* came within *limit* seconds."""
    deadline = world.now + limit
    while not until():
        if world.now >= deadline:
            return False
        go_on(world, max(1, len(actors(world))))  # time passes for nobody, too
    return True


def holder(world: World) -> Instance | None:
    """Return the instance that holds the slot, with all that belongs to it."""
    row = world.epochs[-1] if world.epochs else None
    for one in world.instances.values():
        if row is None or not one.is_alive:
            continue
        if (row.holder, row.number) == (one.id, one.epoch) and (
            one.writer.runs_subsystems
            and one.holds_intact_lock
            and not one.is_closing
            and all(not other.epoch for other in living(world) if other is not one)
        ):
            return one
    return None


def living(world: World) -> list[Instance]:
    return [one for one in world.instances.values() if one.is_alive]


class Calm:
    """Whether somebody has written under one epoch for a while."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._epoch = 0
        self._since = len(world.commits)

    def __call__(self) -> bool:
        one = holder(self._world)
        epoch = one.epoch if one is not None else 0
        if not epoch or epoch != self._epoch:
            self._epoch, self._since = epoch, len(self._world.commits)
        return len(self._world.commits) > self._since + 9


def comes_to_rest(world: World) -> bool:
    """Return whether there is a writer in time, once nothing goes wrong any more."""
    for one in list(world.instances.values()):
        one.writer.is_busy = one.writer.job_waits = False
        for number, worker in enumerate(one.workers):
            # gunicorn's time-out ends a frozen one. An orphan that runs may go on.
            if worker.frozen_until > world.now:
                one.replace_worker(number)
        if one.is_alive and one.frozen_until > world.now + SILENCE_LIMIT:
            one.die(with_workers=True)  # its peers, or its probes, see to that
        if one.is_alive and one.is_stopping:
            one.end()
    limit = RECOVERY + HANDOFF * len(world.mail)
    if run(world, Calm(world), limit):
        return True
    # Whoever could have taken it may have ended, saying so.
    assert not any(one.may_acquire() for one in living(world)), "no writer"
    Instance(world)
    return run(world, Calm(world), limit)


# -- one handoff, and one thing that goes wrong at each of its steps ----------


def held_by_the_first() -> tuple[World, Instance, Instance]:
    """Return a world where one instance holds the slot, and another stands by."""
    world = World()
    one = Instance(world)
    assert run(world, Calm(world), 5)
    other = Instance(world)
    one.objects_to.add(other.id)
    assert run(world, lambda: one.answers == [(other.id, "not you")], 5)
    return world, one, other


def freeze(one: Instance, seconds: float) -> None:
    """Stop a master, its writer and its workers."""
    until = one.world.now + seconds
    one.frozen_until = one.writer.frozen_until = until
    for worker in one.workers:
        worker.frozen_until = until


def freeze_writer(one: Instance, seconds: float) -> None:
    one.writer.frozen_until = one.world.now + seconds


def freeze_master(one: Instance, seconds: float) -> None:
    one.frozen_until = one.world.now + seconds


def freeze_worker(one: Instance, seconds: float) -> None:
    one.workers[0].frozen_until = one.world.now + seconds


def be_busy(one: Instance) -> None:
    one.writer.hand_in_job()


def be_deaf(one: Instance) -> None:
    one.deaf_until = one.world.now + 4.5


def drain(one: Instance) -> None:
    one.is_draining = True


def replace_lock_file(one: Instance) -> None:
    one.world.inode += 1


def start_command(one: Instance) -> None:
    one.world.commands.append(Guest(one.world))


def deploy_another(one: Instance) -> None:
    Instance(one.world)


def lose_mail(one: Instance) -> None:
    one.world.mail.clear()


def ask_again(one: Instance) -> None:
    """`handoff acquire`: an operator lets everybody be asked, for everybody."""
    for target in one.world.instances:
        for asker in one.world.instances:
            one.world.mail.append((target, Ask(asker, "v", frozenset())))


def time_passes(one: Instance) -> None:
    one.world.now += RESERVED_SECONDS + 1


FAULTS: dict[str, Callable[[Instance], None]] = {
    "kill the master": lambda one: one.die(),
    "kill the writer": lambda one: one.writer.die(),
    "kill a worker": lambda one: one.replace_worker(0),
    "freeze all for a while": lambda one: freeze(one, 4.5),
    "freeze the writer for a while": lambda one: freeze_writer(one, 4.5),
    "freeze the writer": lambda one: freeze_writer(one, 60),
    "freeze the master for a while": lambda one: freeze_master(one, 4.5),
    "freeze the master": lambda one: freeze_master(one, 1e9),
    "freeze a worker for a while": lambda one: freeze_worker(one, 4.5),
    "freeze a worker": lambda one: freeze_worker(one, 1e9),
    "run a job": be_busy,
    "hear reports late": be_deaf,
    "hear a report again": Instance.hear_again,
    "drain": drain,
    "stop": lambda one: one.stop(),
    "end": lambda one: one.end(),
    "replace the lock file": replace_lock_file,
    "start a command": start_command,
    "deploy another": deploy_another,
    "lose the mail": lose_mail,
    "ask again": ask_again,
    "let time pass": time_passes,
}
# A handoff takes 342 steps; in between, a stride that meets each actor in its turn.
STEPS = range(0, 380, 1 if SOAK else 11)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("whose", ["giver", "taker"])
def test_there_is_one_writer_whatever_happens_in_a_handoff(
    fault: str, whose: str
) -> None:
    for step in STEPS:
        world, giver, _ = held_by_the_first()
        taker = Instance(world)
        go_on(world, step)
        one = giver if whose == "giver" else taker
        if one.is_alive:
            FAULTS[fault](one)
            go_on(world, 40)
        assert comes_to_rest(world), (fault, whose, step)


def test_a_handoff_takes_a_few_rounds_and_nobody_gets_in_between() -> None:
    world, giver, other = held_by_the_first()
    taker = Instance(world)
    began, taken = world.now, len(world.epochs)
    assert run(world, lambda: holder(world) is taker, HANDOFF)
    assert world.now - began < 25 * ROUND
    assert giver.answers[1:] == [(taker.id, "")]
    assert [row.holder for row in world.epochs[taken - 1 :]] == ["", taker.id]
    assert (giver.epoch, giver.is_closing, other.epoch) == (0, False, 0)


def test_a_giver_does_not_get_what_it_gave_while_its_successor_is_slow() -> None:
    world, giver, _ = held_by_the_first()
    taker = Instance(world)
    assert run(world, lambda: giver.epoch == 0, HANDOFF)
    taker.frozen_until = taker.writer.frozen_until = world.now + RESERVED_SECONDS - 1
    held_again = []

    def is_takers() -> bool:
        held_again.append(giver.epoch)
        return holder(world) is taker

    assert run(world, is_takers, RESERVED_SECONDS)
    assert not any(held_again)


def test_a_release_gets_its_turn_among_more_writes_than_there_is_time_for() -> None:
    world, _, _ = held_by_the_first()
    world.is_saturated = True
    taker = Instance(world)
    assert run(world, lambda: world.epochs[-1].holder == taker.id, HANDOFF)


def test_a_slot_that_its_taker_does_not_take_goes_back() -> None:
    world, giver, other = held_by_the_first()
    other.end()
    taker = Instance(world)
    taker.step()  # it asks
    taker.is_draining = True
    assert run(world, lambda: giver.epoch == 0, HANDOFF)
    released = world.now
    assert run(world, lambda: holder(world) is giver, RESERVED_SECONDS + HANDOFF)
    assert world.now - released > RESERVED_SECONDS - 2 * ROUND


def test_a_slot_whose_taker_died_goes_back_at_once() -> None:
    world, giver, other = held_by_the_first()
    other.end()
    taker = Instance(world)
    assert run(world, lambda: giver.epoch == 0, HANDOFF)
    taker.die()
    died = world.now
    assert run(world, lambda: holder(world) is giver, 1.0)
    assert world.now - died < 1.0


def test_a_predecessor_that_cannot_live_with_the_database_leaves_the_slot() -> None:
    world, giver, other = held_by_the_first()
    taker = Instance(world)
    assert run(world, lambda: holder(world) is taker, HANDOFF)
    giver.is_older = other.is_older = True  # the taker has migrated
    taker.die(with_workers=True)
    assert not run(world, Calm(world), RECOVERY)
    assert world.lock_owner() is None
    assert (giver.given_up, other.given_up) == 2 * ("the database is newer",)
    assert max(giver.takes, other.takes) == 2  # its first, and this one
    newer = Instance(world)
    assert run(world, lambda: holder(world) is newer, HANDOFF)


def test_a_taker_that_is_not_ready_in_time_ends() -> None:
    world, giver, other = held_by_the_first()
    other.end()
    taker = Instance(world)
    assert run(world, lambda: world.lock_owner() is taker, HANDOFF)
    taker.writer.frozen_until = world.now + SILENCE_LIMIT - 0.1
    while taker.is_alive:
        freeze_writer(taker, SILENCE_LIMIT - 0.1)
        go_on(world, max(1, len(actors(world))))  # time passes for nobody, too
    assert taker.failure.startswith("not ready within 20 s of taking the slot")
    assert run(world, lambda: holder(world) is giver, HANDOFF)


@pytest.mark.parametrize("is_stuck", [False, True])
def test_a_migration_may_take_as_long_as_it_gets_on(is_stuck: bool) -> None:
    world, giver, _ = held_by_the_first()
    taker = Instance(world)
    taker.is_stuck, taker.migrates_until = is_stuck, world.now + 3 * ACQUIRE_TIMEOUT
    end = world.now + 2 * ACQUIRE_TIMEOUT
    run(world, lambda: world.now >= end, 3 * ACQUIRE_TIMEOUT)
    assert taker.is_alive is not is_stuck
    chosen = giver if is_stuck else taker
    assert run(world, lambda: holder(world) is chosen, 2 * ACQUIRE_TIMEOUT)


def test_a_lock_on_a_file_that_was_replaced_begins_no_epoch() -> None:
    world, giver, other = held_by_the_first()
    taker = Instance(world)
    assert run(world, lambda: world.lock_owner() is taker, HANDOFF)
    freeze(taker, RESERVED_SECONDS + 2)
    world.inode += 1
    assert run(world, Calm(world), RECOVERY)
    chosen, epoch = holder(world), world.epochs[-1].number
    assert chosen in {giver, other}
    go_on(world, 400)
    assert holder(world) is chosen
    assert world.epochs[-1].number == epoch
    assert taker.is_alive


def test_a_holder_whose_lock_file_is_replaced_steps_down() -> None:
    world, giver, other = held_by_the_first()
    world.inode += 1
    assert run(world, lambda: holder(world) is other, HANDOFF)
    assert (giver.epoch, giver.writer.runs_subsystems) == (0, False)


def test_a_drain_that_begins_with_the_first_look_leaves_the_lock_free() -> None:
    world = World()

    class Late(Instance):
        """It is told to drain between taking the lock and going on."""

        def lock(self) -> bool:
            taken = super().lock()
            self.is_draining = True
            return taken

    late = Late(world)
    late.step()
    assert world.lock_owner() is None
    assert run(world, Calm(world), RECOVERY) is False
    Instance(world)
    assert run(world, Calm(world), HANDOFF)


def test_a_refused_asker_is_told_why() -> None:
    world, giver, other = held_by_the_first()
    giver.writer.is_busy = True
    taker = Instance(world)
    assert run(world, lambda: len(giver.answers) == 2, HANDOFF)
    assert giver.answers == [(other.id, "not you"), (taker.id, "a job is running")]
    giver.writer.is_busy = False
    assert comes_to_rest(world)
    assert holder(world) is giver
    # A standby refuses as well: the asker goes on to the next.
    other.receive(Ask(taker.id, "v", frozenset()))
    other.step()
    assert other.answers[-1] == (
        taker.id,
        "this instance does not hold the writer slot",
    )


def test_a_holder_that_ends_gives_the_slot_to_anybody() -> None:
    world, giver, other = held_by_the_first()
    giver.end()
    ended = world.now
    assert run(world, lambda: holder(world) is other, HANDOFF)
    assert world.now - ended < 1.0
    assert [row.holder for row in world.epochs] == ["", other.id]
    assert not giver.is_alive


@pytest.mark.parametrize("step", range(0, 60, 2))
@pytest.mark.parametrize("comes_to", ["stop", "end"])
def test_a_writer_that_dies_when_its_instance_ends_keeps_nobody_waiting(
    comes_to: str, step: int
) -> None:
    """Nobody starts another: the main thread has other things to do by then."""
    world, giver, other = held_by_the_first()
    giver.objects_to.clear()
    FAULTS[comes_to](giver)
    giver.receive(Ask(other.id, "v", frozenset()))
    go_on(world, step)
    giver.writer.die()
    died = world.now
    assert run(world, lambda: holder(world) is other, HANDOFF)
    assert world.now - died < 1.0


def test_a_writer_that_is_frozen_at_the_end_is_waited_for_once() -> None:
    """Not once for each ask: nobody writes any more, and the others wait."""
    world, giver, other = held_by_the_first()
    giver.objects_to.clear()
    for _ in range(5):
        giver.receive(Ask(other.id, "v", frozenset()))
    giver.stop()
    freeze_writer(giver, 1000)
    giver.end()
    assert run(world, lambda: holder(world) is other, RELEASE_TIMEOUT + HANDOFF)


def test_a_writer_that_dies_in_a_take_at_the_end_leaves_the_lock() -> None:
    world = World()
    one = Instance(world)
    one.step()
    assert world.lock_owner() is one
    one.end()
    one.writer.die()
    go_on(world, 20)
    assert not one.is_alive


@pytest.mark.parametrize("has_job", [False, True])
@pytest.mark.parametrize("stalls", range(1, 4))
def test_a_report_that_comes_late_is_none_of_the_next_attempt(
    stalls: int, has_job: bool
) -> None:
    """The writer process is stopped, and goes on once its master has waited enough."""
    world, giver, other = held_by_the_first()
    for _ in range(stalls + 1):
        giver.receive(Ask(other.id, "v", frozenset()))
    giver.objects_to.clear()
    for _ in range(stalls):
        giver.step()  # it tells the writer process, which does nothing
        world.now += RELEASE_TIMEOUT
        giver.step()
        giver.writer.step()  # and now one thing
        giver.writer.step()
        giver.hear()
    if has_job:
        giver.writer.hand_in_job()
    assert run(world, lambda: not giver.is_closing and not giver._asks, HANDOFF)
    assert comes_to_rest(world)


def test_a_report_of_the_tenure_before_is_none_of_this_one() -> None:
    world, giver, other = held_by_the_first()
    giver.objects_to.clear()
    giver.receive(Ask(other.id, "v", frozenset()))
    assert run(world, lambda: giver.epoch == 0, HANDOFF)
    released = giver.heard
    assert released is not None
    assert released[1].said is Said.RELEASED
    other.die()
    assert run(world, lambda: holder(world) is giver, HANDOFF)
    giver.channel.append(released)
    go_on(world, 100)
    assert holder(world) is giver


# -- many instances, and many things that go wrong ----------------------------


class Tenures(RuleBasedStateMachine):
    """Instances come, go, die and freeze at any step; in the end there is a writer."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        Instance(self.world)
        go_on(self.world, 60)
        Instance(self.world)

    def pick(self, index: int) -> Instance:
        """Return the youngest that lives, or one that is so much older."""
        found = living(self.world)
        return found[-1 - index % len(found)]

    @rule(steps=st.integers(1, 80))
    def goes_on(self, steps: int) -> None:
        go_on(self.world, steps)

    @rule(script=st.lists(st.integers(0, 63), min_size=1, max_size=60))
    def goes_on_out_of_turn(self, script: list[int]) -> None:
        """Let whoever the script names do a step."""
        for number in script:
            choices = actors(self.world)
            if choices:
                choices[number % len(choices)]()
            check(self.world)
            self.world.now += 0.01

    @precondition(lambda self: bool(living(self.world)))
    @rule(index=st.integers(0, 3), fault=st.sampled_from(sorted(FAULTS)))
    def goes_wrong(self, index: int, fault: str) -> None:
        if fault != "deploy another" or len(living(self.world)) < 4:
            FAULTS[fault](self.pick(index))
        check(self.world)

    @precondition(lambda self: len(living(self.world)) < 4)
    @rule(steps=st.integers(1, 160))
    def deploy(self, steps: int) -> None:
        Instance(self.world)
        go_on(self.world, steps)

    @precondition(lambda self: bool(self.world.mail))
    @rule(index=st.integers(0, 7), copies=st.sampled_from([0, 1, 2]))
    def ask_arrives(self, index: int, copies: int) -> None:
        """Or is lost, or comes twice; not in the order of sending."""
        target, ask = self.world.mail.pop(index % len(self.world.mail))
        for _ in range(copies):
            self.world.instances[target].receive(ask)

    @precondition(lambda self: bool(living(self.world)))
    @rule(
        index=st.integers(0, 3),
        askers=st.integers(1, 3),
        steps=st.integers(1, 40),
        has_job=st.booleans(),
    )
    def releases_late(self, index: int, askers: int, steps: int, has_job: bool) -> None:
        """A release lasts longer than its master waits, and others have asked."""
        one = self.pick(index)
        for number in range(askers):
            one.receive(Ask(self.pick(number).id, "v", frozenset()))
        go_on(self.world, steps)
        if has_job:
            one.writer.hand_in_job()
        self.world.now += RELEASE_TIMEOUT

    @precondition(lambda self: bool(self.world.commands))
    @rule(index=st.integers(0, 3))
    def kill_command(self, index: int) -> None:
        self.world.commands[index % len(self.world.commands)].die()

    def teardown(self) -> None:
        """Nothing goes wrong any more: there is a writer, and it stays one."""
        assert comes_to_rest(self.world), "no writer"


Tenures.TestCase.settings = settings(
    max_examples=3000 if SOAK else 150,
    stateful_step_count=60 if SOAK else 25,
    derandomize=not SOAK,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestTenures = Tenures.TestCase
