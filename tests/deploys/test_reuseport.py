"""Two sockets on one address: steered, not steered, a third one, and deaths."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator

import pytest

from bench.stage import Stage
from tests.deploys.port import Port
from tests.deploys.scene import free_address, get
from tests.processes import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def port(small_stage: Stage) -> Iterator[Port]:
    """Give each instance a socket of its own on one free port."""
    made = Port(small_stage, free_address(), way="reuseport")
    with made.started:
        yield made


def read(port: Port) -> None:
    """Read on a connection of its own, and again and again."""
    for _ in range(20):
        assert get(port.public, timeout=30)[0].status == 200


@pytest.mark.parametrize("victim", ["old", "new"])
def test_a_shared_port_survives_kill_9_of_either(port, victim):
    old = port.start()
    new = port.start()
    port.wait_logged(new, "event=steering ")
    killed, left = (old, new) if victim == "old" else (new, old)
    killed.send(signal.SIGKILL)
    killed.wait()
    # Its workers serve what waits, see that their master is gone, and close.
    read(port)
    wait_until(lambda: killed.group_pids() == [], 10, "the workers' end")
    read(port)
    third = port.start()
    port.wait_logged(third, "event=steering ")
    read(port)
    left.send(signal.SIGTERM)
    assert left.wait() == 0
    read(port)
    # Alone again: the next one need not wait.
    wait_until(lambda: not port.is_deploying, 10, "the end of the deploy")


def test_a_newer_instance_that_leaves_first_sends_readers_to_the_older(port):
    """A deploy that is taken back: what it closes must have nobody waiting in it."""
    old = port.start()
    new = port.start()
    port.wait_logged(new, "event=steering ")
    new.send(signal.SIGTERM)
    port.wait_phase(new, "draining")
    workers = port.status(old)["workers"]
    for _ in range(20):
        assert int(get(port.public, "/pid", timeout=30)[1]) in workers
    assert new.wait() == 0
    read(port)


def test_whoever_had_a_socket_of_its_own_may_hand_it_over(port):
    """The knob may change from one deploy to the next."""
    old = port.start()
    port.way = "auto"
    new = port.start()
    assert old.wait() == 0
    assert "event=listeners_received" in new.output
    read(port)


def test_a_third_waits_until_one_of_two_has_closed(port):
    old = port.start()
    second = port.start()
    port.wait_logged(second, "event=steering ")
    third = port.start(ready=False)
    wait_until(
        lambda: port.status(third).get("progress") == "waiting for another deploy",
        30,
        "the third waiting",
    )
    assert port.sockets == 2
    old.send(signal.SIGTERM)
    assert old.wait() == 0
    port.wait_phase(third, "ready")
    assert port.sockets == 2
    read(port)


def test_a_third_waits_for_workers_that_outlive_their_master(port):
    old = port.start()
    frozen = list(port.status(old)["workers"])
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    second = port.start()
    port.wait_logged(second, "event=steering ")
    old.send(signal.SIGKILL)
    old.wait()
    # Two sockets: that of the dead one's workers, and the second's, who is steered to.
    third = port.start(ready=False)
    wait_until(
        lambda: port.status(third).get("progress", "").startswith("waiting"),
        30,
        "the third waiting",
    )
    read(port)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    port.wait_phase(third, "ready")
    port.wait_logged(third, "event=steering ")
    read(port)


def test_a_kernel_that_does_not_steer_is_named_and_the_queue_emptied(port):
    command = [
        "tests.deploys.unsteered" if word == "gunicorn" else word
        for word in port.stage.command
    ]
    old = port.start()
    port.stage = dataclasses.replace(port.stage, command=command)
    new = port.start()
    port.wait_logged(new, "event=steering_refused ")
    (line,) = [line for line in new.output.splitlines() if "steering_refused" in line]
    assert 'reason="Protocol not available"' in line
    assert 'hint="the old instance empties its queue before it closes"' in line
    old.send(signal.SIGTERM)
    assert old.wait() == 0
    read(port)
    wait_until(lambda: not port.is_deploying, 10, "the end of the deploy")
