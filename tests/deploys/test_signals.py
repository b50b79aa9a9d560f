"""Signals, as orchestrators and terminals send them, under an open load."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from bench.instance import Instance
from bench.load import Plan
from bench.load_process import LoadProcess
from tests.deploys.scene import PATIENCE, address_of, free_address, get, is_listening
from tests.processes import wait_until

pytestmark = pytest.mark.process

PAGES = [f"/page-{n}" for n in range(10)]


def term_to_group(instance: Instance) -> None:
    """systemd's default KillMode=control-group."""
    instance.send_to_group(signal.SIGTERM)


def int_to_master(instance: Instance) -> None:
    """Nomad's default."""
    instance.send(signal.SIGINT)


def int_to_group(instance: Instance) -> None:
    """Ctrl-C in a terminal."""
    instance.send_to_group(signal.SIGINT)


def term_twice_to_group(instance: Instance) -> None:
    """A supervisor that is impatient: the grace goes on."""
    instance.send_to_group(signal.SIGTERM)
    wait_until(lambda: instance.probe("/readyz").status == 503, 10, "the drain")
    instance.send_to_group(signal.SIGTERM)


@pytest.mark.parametrize(
    "stop", [term_to_group, int_to_master, int_to_group, term_twice_to_group]
)
def test_each_way_to_stop_drains_and_loses_no_read(scene, listener, stop):
    old = scene.start(listener=listener)
    plan = Plan(
        address_of(listener), PAGES, 100, grace=scene.stage.grace, timeout=PATIENCE
    )
    with LoadProcess(plan) as load:
        began = time.monotonic()
        stop(old)
        assert old.wait() == 0
        assert time.monotonic() - began >= scene.stage.grace
        # The workers themselves served to the end, and were not started anew.
        assert old.output.count("Booting worker with pid") == 2
        scene.start(listener=listener)
        report = load.stop()
    assert report.lost == []
    assert report.reads_kept == report.reads > 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_reload_is_refused_and_loses_no_read(scene, listener, number):
    instance = scene.start(listener=listener)
    family = instance.group_pids()
    plan = Plan(
        address_of(listener), PAGES, 100, grace=scene.stage.grace, timeout=PATIENCE
    )
    with LoadProcess(plan) as load:
        # To the workers and the writer as well, as a terminal that closes sends it.
        instance.send_to_group(number)
        wait_until(lambda: "event=refused" in instance.output, 10, "the refusal")
        report = load.stop()
    assert report.lost == []
    assert f"signal={number.name} hint=" in instance.output
    assert instance.probe("/readyz").status == 200
    assert instance.group_pids() == family


def quit_at_once(instance: Instance) -> None:
    instance.send(signal.SIGQUIT)


def int_twice(instance: Instance) -> None:
    instance.send(signal.SIGINT)
    wait_until(lambda: instance.probe("/readyz").status == 503, 10, "the drain")
    instance.send(signal.SIGINT)


def int_twice_to_group(instance: Instance) -> None:
    instance.send_to_group(signal.SIGINT)
    wait_until(lambda: instance.probe("/readyz").status == 503, 10, "the drain")
    instance.send_to_group(signal.SIGINT)


def quit_in_a_drain(instance: Instance) -> None:
    instance.send(signal.SIGTERM)
    wait_until(lambda: instance.probe("/readyz").status == 503, 10, "the drain")
    instance.send(signal.SIGQUIT)


@pytest.mark.parametrize(
    "stop", [quit_at_once, int_twice, int_twice_to_group, quit_in_a_drain]
)
def test_an_operator_can_stop_it_at_once(scene, stop: Callable[[Instance], None]):
    public = free_address()
    instance = scene.start(public=public, grace=120, SHUTDOWN_TIMEOUT="120s")
    stop(instance)
    instance.wait(timeout=15)  # not the grace, not the time-out
    assert instance.group_pids() == []
    assert not is_listening(public)


def test_a_second_sigterm_does_not_cut_the_grace(scene):
    public = free_address()
    instance = scene.start(public=public, grace=2)
    began = time.monotonic()
    instance.send(signal.SIGTERM)
    wait_until(lambda: instance.probe("/readyz").status == 503, 5, "the drain")
    instance.send_to_group(signal.SIGTERM)
    assert get(public)[0].status == 200
    wait_until(lambda: not is_listening(public), 20, "the port being closed")
    assert time.monotonic() - began >= 2
    assert instance.wait() == 0
