"""The probes, as seen from outside, tell the phase; the listener outlives readiness."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import os
import signal
import threading
import time
from functools import partial

import pytest

from bench.instance import Instance
from bench.probes import Poller
from tests.deploys.scene import address_of, free_address, get, is_listening
from tests.processes import wait_until

pytestmark = pytest.mark.process


def test_an_instance_is_alive_before_it_is_warm_and_ready_only_after(scene, listener):
    scene.data_dir.mkdir()
    (scene.data_dir / "hold-warmup").touch()
    instance = scene.start(listener=listener, ready=False)
    wait_until(lambda: instance.probe("/livez").status == 200, 10, "/livez")
    wait_until(
        lambda: instance.probe("/readyz")[1:] == (503, "warming: 5/10 notes"),
        20,
        "the warmup's progress in /readyz",
    )
    assert instance.probe("/livez")[1:] == (200, "ok")
    assert instance.probe("/healthz").status == 200
    answers: list[int] = []
    reader = threading.Thread(
        target=lambda: answers.append(get(address_of(listener), timeout=60)[0].status)
    )
    reader.start()
    try:
        # An inherited socket queues readers in the kernel: none is turned away.
        assert is_listening(address_of(listener))
        assert answers == []
    finally:
        (scene.data_dir / "hold-warmup").unlink()
        reader.join()
    assert answers == [200]
    instance.wait_ready()
    assert instance.probe("/readyz")[1:] == (200, "ok")


def test_a_bound_port_opens_when_warm_and_not_before(scene):
    scene.data_dir.mkdir()
    (scene.data_dir / "hold-warmup").touch()
    public = free_address()
    instance = scene.start(public=public, ready=False)
    wait_until(lambda: "5/10" in instance.probe("/readyz").text, 20, "the warmup")
    assert not is_listening(public)
    (scene.data_dir / "hold-warmup").unlink()
    instance.wait_ready()
    assert get(public)[0].status == 200


def logged_at(instance: Instance, words: str) -> float:
    """Return when the instance logged the line with *words*, on the monotonic clock."""
    line = next(line for line in instance.output.splitlines() if words in line)
    written = datetime.datetime.fromisoformat(line.split()[0].removeprefix("time="))
    return written.timestamp() - time.time() + time.monotonic()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_instance_that_is_not_warm_ends_at_once(scene, listener, number):
    scene.data_dir.mkdir()
    (scene.data_dir / "hold-warmup").touch()
    instance = scene.start(listener=listener, ready=False, grace=60)
    wait_until(lambda: "5/10" in instance.probe("/readyz").text, 20, "the warmup")
    instance.send(number)
    assert instance.wait(timeout=10) == 0  # there is no grace to wait for
    assert instance.group_pids() == []


def is_alive(instance: Instance) -> bool:
    return instance.probe("/livez").status == 200


def test_the_internal_port_answers_within_a_second_of_the_start(scene, listener):
    # Where other tests crowd the processor it only must not wait for the warmup.
    limit = 1.0 if os.environ.get("SOAK") else 5.0
    scene.data_dir.mkdir()
    (scene.data_dir / "hold-warmup").touch()
    took = []
    for _ in range(3):
        began = time.monotonic()
        instance = scene.start(listener=listener, ready=False)
        wait_until(
            partial(is_alive, instance),
            10,
            "/livez",
            interval=0.01,
        )
        took.append(time.monotonic() - began)
        instance.send(signal.SIGTERM)
        instance.wait()
    assert min(took) < limit


def test_a_second_instance_asks_for_the_slot_and_is_ready_with_it(scene, listener):
    first = scene.start(listener=listener)
    assert scene.status(first)["epoch"] == 1
    second = scene.start(listener=listener)
    assert scene.status(second)["phase"] == "ready"
    assert scene.status(second)["epoch"] == 2
    assert scene.status(first)["phase"] == "standby"
    assert first.probe("/readyz").status == 200
    second.stop()
    wait_until(lambda: scene.status(first)["epoch"] == 3, 10, "the slot taken back")
    assert first.probe("/readyz")[1:] == (200, "ok")


def test_an_instance_turns_ready_for_reads_when_its_patience_is_over(scene, listener):
    first = scene.start(listener=listener)
    first.send(signal.SIGSTOP)
    try:
        second = scene.start(
            listener=listener, WRITER_ACQUIRE_TIMEOUT="1s", KILL_FROZEN_HOLDER="false"
        )
        assert scene.status(second)["phase"] == "standby"
        assert scene.status(second)["epoch"] == 0
    finally:
        first.send(signal.SIGCONT)


def test_probes_are_right_in_each_phase_of_a_life(scene):
    """/livez polled every 50 ms; /readyz is 503 at least a grace before the port closes."""
    public = free_address()
    instance = scene.start(public=public, ready=False, grace=3)
    with (
        Poller(instance.internal, "/livez") as livez,
        Poller(instance.internal, "/readyz", interval=0.01) as readyz,
    ):
        wait_until(lambda: 200 in {one.status for one in readyz.seen}, 30, "ready")
        signalled_at = time.monotonic()
        instance.send(signal.SIGTERM)
        wait_until(lambda: not is_listening(public), 20, "the port being closed")
        closed_at = time.monotonic()
        assert instance.wait() == 0
    born_at = next(one.asked_at for one in livez.seen if one.status)
    # What is asked while the interpreter is being taken down may find nobody.
    stopped_at = logged_at(instance, "phase=stopped")
    alive = livez.between(born_at, stopped_at - 0.2)
    dead = [(one.asked_at - stopped_at, one.text) for one in alive if one.status != 200]
    assert len(alive) > 10
    assert dead == []

    seen = [one for one in readyz.seen if one.status]
    statuses = [one.status for one in seen]
    ready = statuses.index(200)
    unready = statuses.index(503, ready)
    assert set(statuses[:ready]) == {503}
    assert set(statuses[ready:unready]) == {200}
    assert set(statuses[unready:]) == {503}, "ready again after it drained"
    assert seen[unready].text == "draining"
    # At once, and not when the grace is over.
    assert seen[unready].asked_at - signalled_at < 2
    # It turned after the last answer of 200, so the port outlived that by the grace.
    assert closed_at - seen[unready - 1].asked_at >= 3


def test_a_draining_instance_serves_and_closes_each_connection(scene, listener):
    instance = scene.start(listener=listener, grace=2)
    response, _ = get(address_of(listener))
    assert response.getheader("Connection") != "close"
    instance.send(signal.SIGTERM)
    wait_until(lambda: instance.probe("/readyz").status == 503, 5, "the drain")
    response, body = get(address_of(listener))
    assert response.status == 200
    assert body.endswith(b"</html>\n")
    assert response.getheader("Connection") == "close"
    assert instance.probe("/healthz").status == 503
    assert instance.wait() == 0


def test_a_request_in_flight_gets_the_time_out_after_the_grace(scene, listener):
    instance = scene.start(listener=listener, grace=0.2, SHUTDOWN_TIMEOUT="30s")
    answers: list[tuple[int, bytes]] = []

    def read() -> None:
        response, body = get(address_of(listener), "/held", timeout=60)
        answers.append((response.status, body))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_until(lambda: list(scene.data_dir.glob("held-*")), 10, "the request")
        instance.send(signal.SIGTERM)
        wait_until(
            lambda: "event=accepting_ends" in instance.output, 10, "the grace's end"
        )
        assert instance.is_running
    finally:
        (scene.data_dir / "let-go").touch()
        reader.join()
    assert [status for status, _ in answers] == [200]
    assert answers[0][1].endswith(b"</html>\n")
    assert instance.wait() == 0


def test_a_stream_gets_the_rest_of_the_time_out(scene, listener):
    instance = scene.start(listener=listener, grace=0.2, SHUTDOWN_TIMEOUT="30s")
    host, port = listener.getsockname()
    reader = http.client.HTTPConnection(host, port, timeout=60)
    with contextlib.closing(reader):
        reader.request("GET", "/streamed")
        response = reader.getresponse()
        begun = response.read(1)
        instance.send(signal.SIGTERM)
        wait_until(
            lambda: "event=accepting_ends" in instance.output, 10, "the grace's end"
        )
        assert instance.is_running
        (scene.data_dir / "let-go").touch()
        assert (begun + response.read()).endswith(b"</html>\n")
    assert instance.wait() == 0


def test_a_request_that_never_ends_does_not_keep_the_instance(scene, listener):
    instance = scene.start(listener=listener, grace=0.2, SHUTDOWN_TIMEOUT="1s")
    errors: list[Exception] = []

    def read() -> None:
        try:
            get(address_of(listener), "/stuck", timeout=60)
        except (OSError, http.client.HTTPException) as exc:
            errors.append(exc)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: list(scene.data_dir.glob("stuck-*")), 10, "the request")
    began = time.monotonic()
    instance.send(signal.SIGTERM)
    instance.wait(timeout=20)
    reader.join()
    assert len(errors) == 1
    # Grace and time-out, and what gunicorn needs to kill a worker.
    assert time.monotonic() - began < 0.2 + 1 + 5
    assert instance.group_pids() == []
