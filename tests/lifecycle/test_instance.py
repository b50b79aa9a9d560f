"""What an instance tells of itself, with the clock and the workers made up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle import instance as instance_module
from lifecycle import internal_pages
from lifecycle import page as page_module
from lifecycle.instance import Instance, InstanceError
from lifecycle.knobs import KNOBS
from lifecycle.listeners import ListenerError
from lifecycle.page import WorkerSlot
from lifecycle.peers import RunDir
from lifecycle.phases import Phase
from lifecycle.probes import Check, text_answer
from tests.processes import free_port, listening_socket, wait_until


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(instance_module, "time", made)
    monkeypatch.setattr(internal_pages, "time", made)
    monkeypatch.setattr(page_module, "time", made)
    return made


Make = Callable[..., Instance]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes an instance with knobs; all are closed."""
    made: list[Instance] = []

    def build(**knobs: str) -> Instance:
        environ = {
            "DATA_DIR": str(tmp_path / "data"),
            "INTERNAL_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            "WORKERS": "2",
            **knobs,
        }
        one = Instance(KNOBS.load(environ))
        made.append(one)
        return one

    yield build
    for one in made:
        one.close()
        for server in one._servers:
            server.close()


def reach(one: Instance, phase: Phase) -> None:
    """Bring *one* to *phase* by the shortest way."""
    way = [Phase.WARMING, Phase.STANDBY, Phase.READY, Phase.DRAINING]
    for step in way[: way.index(phase) + 1]:
        one.phases.transition(step)


def boot(one: Instance, pid: int = 1) -> WorkerSlot:
    slot = one.page.claim()
    slot.pid = pid
    slot.mark_booted()
    return slot


def checks(one: Instance) -> list[Check]:
    return list(one.pages.readyz())


def test_livez_fails_when_the_loop_has_been_silent_for_thirty_seconds(
    make: Make, clock: Clock
) -> None:
    one = make()
    reach(one, Phase.READY)
    one.seconds_to_tick()
    clock.now += 29.9
    assert list(one.pages.livez()) == [Check("loop", True)]
    clock.now += 0.2
    assert list(one.pages.livez()) == [Check("loop", False, "silent for 30 s")]
    one.tick()
    assert list(one.pages.livez()) == [Check("loop", True)]


@pytest.mark.parametrize("phase", [Phase.WARMING, Phase.DRAINING])
def test_livez_does_not_count_warmup_and_drain(
    make: Make, clock: Clock, phase: Phase
) -> None:
    one = make()
    reach(one, phase)
    clock.now += 3600
    assert list(one.pages.livez()) == [Check("loop", True)]


def test_a_long_warmup_is_no_silence_of_the_loop_that_begins_after_it(
    make: Make, clock: Clock
) -> None:
    """Else /livez would be 503 while the workers are forked."""
    one = make()
    one.phases.transition(Phase.WARMING)
    clock.now += 600
    one.phases.transition(Phase.STANDBY)
    assert list(one.pages.livez()) == [Check("loop", True)]


def test_readyz_tells_the_progress_of_the_warmup(make: Make) -> None:
    one = make()
    assert checks(one) == [Check("phase", False, "starting")]
    one.phases.transition(Phase.WARMING)
    assert checks(one) == [Check("phase", False, "warming")]
    one.report(4312, 10000, "notes")
    assert checks(one) == [Check("phase", False, "warming: 4312/10000 notes")]
    one.report(0, 0, "waiting for manage.py sync_vault (pid 7)")
    assert checks(one) == [
        Check("phase", False, "warming: waiting for manage.py sync_vault (pid 7)")
    ]


def test_readyz_waits_until_every_worker_has_booted_once(
    make: Make, clock: Clock
) -> None:
    one = make()
    reach(one, Phase.READY)
    assert checks(one)[1] == Check("workers", False, "workers: 0/2 booted")
    first = boot(one)
    assert checks(one)[1] == Check("workers", False, "workers: 1/2 booted")
    boot(one)
    assert checks(one)[1] == Check("workers", True, "workers: 2 of 2 answer")
    # One that is replaced later does not turn it.
    one.page.release(first)
    assert checks(one)[1] == Check("workers", True, "workers: 1 of 1 answer")


def test_readyz_counts_the_workers_that_gunicorn_was_told_to_start(make: Make) -> None:
    """`gunicorn -w 1` wins over WORKERS, and must get ready all the same."""
    one = make(WORKERS="4")
    one.workers_wanted = 1
    reach(one, Phase.READY)
    boot(one)
    assert checks(one)[1] == Check("workers", True, "workers: 1 of 1 answer")


def test_readyz_names_workers_within_five_seconds_of_their_silence(
    make: Make, clock: Clock
) -> None:
    one = make()
    reach(one, Phase.READY)
    slots = [boot(one), boot(one)]
    assert checks(one)[1].ok
    clock.now += 3.9
    slots[0].beat()
    slots[0].progress()
    clock.now += 0.2
    assert checks(one)[1] == Check("workers", True, "workers: 1 of 2 answer")
    clock.now += 4
    assert checks(one)[1] == Check("workers", False, "workers: 0 of 2 answer")
    # A loop that runs while every thread is stuck does not answer either.
    slots[0].beat()
    assert checks(one)[1] == Check("workers", False, "workers: 0 of 2 answer")
    slots[0].progress()
    assert checks(one)[1] == Check("workers", True, "workers: 1 of 2 answer")


def test_readyz_waits_for_the_slot_and_then_serves_reads_without_it(
    make: Make, clock: Clock
) -> None:
    one = make(WRITER_ACQUIRE_TIMEOUT="20s")
    one.phases._clock = clock.monotonic
    reach(one, Phase.STANDBY)
    clock.now += 19
    assert checks(one)[2] == Check(
        "slot", False, "standby: waiting for the writer slot, 19 s"
    )
    clock.now += 1
    assert checks(one)[2] == Check("slot", True, "no writer slot: reads only")
    one.phases.transition(Phase.READY)
    assert checks(one)[2] == Check("slot", True, "writer slot held")


def test_a_draining_instance_is_not_ready_whatever_its_workers_do(make: Make) -> None:
    one = make()
    reach(one, Phase.READY)
    boot(one)
    boot(one)
    assert one.begin_drain("SIGTERM")
    assert checks(one) == [
        Check("phase", False, "draining"),
        Check("workers", True, "workers: 2 of 2 answer"),
    ]
    assert one.page.is_draining


def test_a_drain_begins_once_and_ends_with_the_grace(make: Make, clock: Clock) -> None:
    one = make(SHUTDOWN_GRACE_PERIOD="5s")
    reach(one, Phase.READY)
    assert one.begin_drain("SIGTERM")
    assert one.tick() is False
    clock.now += 3
    assert not one.begin_drain("SIGINT")
    assert one.seconds_to_tick() == 1.0
    clock.now += 1.5
    assert one.seconds_to_tick() == 0.5
    assert one.tick() is False
    clock.now += 0.5
    assert one.seconds_to_tick() == 0.0
    assert one.tick() is True


def test_a_stop_without_a_drain_still_leaves_ready(make: Make) -> None:
    one = make()
    reach(one, Phase.READY)
    one.begin_stop()
    one.begin_stop()
    assert one.phases.phase is Phase.DRAINING


def test_opening_makes_it_known_and_closing_leaves_nothing(
    make: Make, tmp_path: Path
) -> None:
    one = make()
    one.open()
    run = tmp_path / "data" / "run"
    assert sorted(path.name for path in run.iterdir()) == [
        f"{one.id}.ctl",
        f"{one.id}.lock",
    ]
    status = one.pages.status()
    assert status["phase"] == "starting"
    assert status["holds_slot"] is False
    assert status["resident_bytes"] > 1 << 20
    one.close()
    one.close()
    assert list(run.iterdir()) == []
    assert one.phases.phase is Phase.STOPPED


def test_an_internal_address_that_a_stranger_has_ends_the_start(
    make: Make, clock: Clock
) -> None:
    with listening_socket() as taken:
        address = "{}:{}".format(*taken.getsockname())
        one = make(INTERNAL_LISTEN_ADDR=address)
        with pytest.raises(InstanceError) as caught:
            one.open()
        assert str(caught.value) == (
            f"INTERNAL_LISTEN_ADDR: Cannot listen on {address}: Address already in "
            "use. Stop what has the address, or set another."
        )
        # It waited for a peer that might just be leaving.
        assert 1001 <= clock.now < 1001.1


def waits_for_address(one: Instance) -> bool:
    return one._internal_wanted is not None


@pytest.mark.parametrize("others", ["127.0.0.1:{}", ":{}", "0.0.0.0:{}"])
def test_an_internal_address_that_a_peer_has_is_taken_once_it_is_free(
    make: Make, others: str
) -> None:
    port = free_port()
    first = make(INTERNAL_LISTEN_ADDR=others.format(port))
    first.open()
    second = make(INTERNAL_LISTEN_ADDR=f"127.0.0.1:{port}")
    second.open()
    assert waits_for_address(second)
    second.phases.transition(Phase.WARMING)
    second.phases.transition(Phase.STANDBY)
    second.tick()
    assert waits_for_address(second)
    for server in first._servers:
        server.close()
    first._servers.clear()
    second.tick()
    assert not waits_for_address(second)
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_an_address_that_cannot_be_had_later_does_not_end_a_serving_instance(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    first = make(INTERNAL_LISTEN_ADDR=f"127.0.0.1:{port}")
    first.open()
    second = make(INTERNAL_LISTEN_ADDR=f"127.0.0.1:{port}")
    second.open()
    second.phases.transition(Phase.WARMING)
    second.phases.transition(Phase.STANDBY)

    def no_more_descriptors(address: Any) -> socket.socket:
        raise ListenerError("x") from OSError(24, "Too many open files")

    monkeypatch.setattr(instance_module, "bind", no_more_descriptors)
    second.tick()
    assert waits_for_address(second)


def test_health_checks_that_hang_leave_room_for_the_other_probes(make: Make) -> None:
    """The worker that should answer accepts, and says nothing."""
    one = make()
    one.open()
    one.forward_name = ""
    reach(one, Phase.READY)
    limit = internal_pages._MAX_HEALTH_CHECKS
    answers: list[bytes] = []
    with RunDir(one.data_dir).listen(f"{one.id}.fwd", backlog=64) as silent:
        threads = [
            threading.Thread(target=lambda: answers.append(one.pages.healthz({}).body))
            for _ in range(limit)
        ]
        for thread in threads:
            thread.start()
        silent.settimeout(10)
        held = [silent.accept()[0] for _ in range(limit)]
        assert one.pages.healthz({}) == text_answer(
            "503 Service Unavailable", "8 health checks run already"
        )
        for connection in held:
            connection.close()
        for thread in threads:
            thread.join()
    assert answers == [b"workers: no answer\n"] * limit
    wait_until(
        lambda: one.pages._health_checks.acquire(blocking=False), 5, "a free place"
    )
