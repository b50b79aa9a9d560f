"""One port and nobody in front of it: handed over, or shared."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.exchange import LostError, connect
from bench.performance import play
from bench.rows.caddy_tls import CaddyTls
from bench.rows.one_port import Handover, ReusePort
from bench.rows.systemd_restart import SystemdRestart
from bench.stage import Stage
from lifecycle.knobs import Address
from lifecycle.slot import WriterSlot
from tests.deploys.port import Port, system_v_creators
from tests.deploys.scene import PATIENCE, address_of, free_address, get
from tests.notes.trees import VAULTS
from tests.processes import free_port, wait_until

pytestmark = pytest.mark.process

RATE = 100  # pages a second, with a stylesheet and perhaps an attachment each


@pytest.mark.parametrize(
    ("kind", "rate", "grace"),
    # Behind Caddy the grace is longer than it keeps its own connections.
    [
        (Handover, RATE, 1.0),
        (ReusePort, RATE, 1.0),
        (CaddyTls, RATE, 3.0),
        (SystemdRestart, RATE, 1.0),
    ],
)
def test_no_request_is_lost_on_one_port(
    tmp_path, uncovered, kind, rate, grace, deploys
):
    if (reason := kind.missing()) is not None:
        pytest.skip(reason)
    stage = Stage(tmp_path, grace=grace, timeout=3.0)
    stage.load_vault(VAULTS / "quartz-docs")
    report = play(kind(stage), deploys=deploys, rate=rate, pause=0.5, patience=PATIENCE)
    assert report.lost == []
    assert report.reads_kept == report.reads >= rate * deploys
    assert report.writes_kept == report.writes >= rate * deploys / 20
    for log in tmp_path.glob("*.log"):
        assert "Traceback" not in log.read_text()


def test_a_reader_who_is_not_shown_the_right_name_is_lost(small_stage):
    row = CaddyTls(small_stage)
    if (reason := row.missing()) is not None:
        pytest.skip(reason)

    async def greet(target: Address, host: str) -> None:
        connection = await connect(target, host, row.ca)
        answer = await connection.get("/page-1", host, close=True)
        assert answer.status == 200
        await connection.end()

    with row:
        row.start()
        asyncio.run(greet(row.target, "localhost"))
        # Not in the certificate; and whoever speaks no TLS at all.
        for target, host in [(row.target, "127.0.0.1"), (row.plain, "localhost")]:
            with pytest.raises(LostError) as caught:
                asyncio.run(greet(target, host))
            assert caught.value.outcome == "tls"


@pytest.fixture
def port(small_stage: Stage) -> Iterator[Port]:
    """Give instances one free port, to be handed over."""
    made = Port(small_stage, free_address())
    with made.started:
        yield made


def test_an_inherited_socket_is_shown_where_it_listens(scene, listener):
    """Not where the knob would have put one: `handoff status` tells an operator."""
    assert scene.status(scene.start(listener=listener))["public"] == str(
        address_of(listener)
    )


def test_the_new_instance_retires_the_old_one_and_takes_its_probes(port):
    old = port.start()
    new = port.start()
    assert old.wait() == 0
    assert "event=listeners_received" in new.output
    assert "event=predecessor_retired" in new.output
    wait_until(lambda: new.probe("/readyz").status == 200, 10, "the new one's probes")
    assert get(port.public)[0].status == 200


def test_an_instance_that_fails_before_ready_leaves_the_old_one_alone(port):
    data = Path(port.stage.knobs["DATA_DIR"])
    old = port.start()
    (data / "hold-warmup").touch()
    new = port.start(ready=False)
    port.wait_phase(new, "warming")
    new.kill()
    (data / "hold-warmup").unlink()
    assert old.probe("/readyz").status == 200
    assert get(port.public)[0].status == 200
    assert "phase=draining" not in old.output
    # And the next deploy goes through.
    port.start()
    assert old.wait() == 0


def test_an_instance_that_dies_with_the_sockets_leaves_the_old_one_serving(port):
    old = port.start()
    new = port.start(ready=False)
    wait_until(lambda: "event=listeners_received" in new.output, 30, "the sockets")
    new.kill()
    if "event=predecessor_retired" in new.output:
        pytest.fail("it was ready before it could be killed")
    wait_until(lambda: old.probe("/readyz").status == 200, 10, "the old one's probes")
    assert get(port.public)[0].status == 200


def test_a_third_instance_waits_and_is_refused_in_one_line(port):
    port.stage = Stage(
        port.stage.folder,
        grace=1.0,
        timeout=2.0,
        command=port.stage.command,
        environ=(*port.stage.environ, ("WRITER_ACQUIRE_TIMEOUT", "1s")),
    )
    old = port.start()
    second = port.start(ready=False)
    wait_until(lambda: "event=listeners_received" in second.output, 30, "the sockets")
    second.send(signal.SIGSTOP)
    try:
        third = port.start(ready=False)
        assert third.wait() == 1
        assert "event=start_refused" in third.output
        assert "One deploy at a time" in third.output
        assert "Traceback" not in third.output
    finally:
        second.send(signal.SIGCONT)
    # Thawed, the second goes on; or the old one took it for a frozen holder.
    wait_until(
        lambda: not (old.is_running and second.is_running), 30, "one instance left"
    )


def test_a_frozen_instance_is_waited_for_and_then_replaced(port):
    old = port.start()
    old.send(signal.SIGSTOP)
    try:
        new = port.start(ready=False)
        wait_until(
            lambda: (
                port.status(new).get("progress", "").endswith(": it does not answer")
                or not new.is_running
            ),
            60,
            "the new one waiting",
        )
    finally:
        old.send(signal.SIGCONT)
    port.wait_phase(new, "ready")
    assert old.wait() == 0


def test_an_instance_that_is_to_bind_says_who_has_the_address(port):
    old = port.start()
    port.way = "bind"
    new = port.start(ready=False)
    assert new.wait() == 1
    assert (
        f"LISTEN_ADDR: {port.public} is that of {port.status(old)['id']}, which is here "
        "already. Set LISTENER=auto to take its place, or stop it first."
    ) in new.output
    assert old.probe("/readyz").status == 200


def take_slot(port: Port) -> WriterSlot:
    """Return the slot: while the test has it nobody is ready, nor retires anybody."""
    makes_the_database = port.start()
    makes_the_database.send(signal.SIGTERM)
    assert makes_the_database.wait() == 0
    slot = WriterSlot(port.data, "a test")
    assert slot.try_acquire()
    return slot


def test_a_second_instance_hands_nothing_on_before_it_is_ready(small_stage):
    """Else a third would retire the second, and nobody the first."""
    port = Port(small_stage, free_address())
    with port.started:
        slot = take_slot(port)
        for _ in range(2):
            port.wait_phase(port.start(ready=False), "standby")
        port.stage = dataclasses.replace(
            small_stage,
            environ=(*small_stage.environ, ("WRITER_ACQUIRE_TIMEOUT", "1s")),
        )
        third = port.start(ready=False)
        assert third.wait() == 1
        assert "One deploy at a time" in third.output
        assert "listeners_received" not in third.output
    slot.release()


def answers(path: Path) -> bool:
    """Return whether a GET through the socket file is answered with 200."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return client.recv(64).startswith(b"HTTP/1.0 200 ")


def test_a_unix_socket_is_handed_over_and_not_removed_by_the_old_one(
    small_stage, tmp_path
):
    path = tmp_path / "public.sock"
    port = Port(small_stage, Address("", 0, str(path)))
    with port.started:
        old = port.start()
        # A proxy is another user; who must not connect is kept out by the folder.
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        inode = path.stat().st_ino
        new = port.replace(old)
        assert path.stat().st_ino == inode
        assert answers(path)
        new.send(signal.SIGTERM)
        assert new.wait() == 0
        assert not path.exists()


def test_a_socket_file_stays_while_anybody_listens_there(small_stage, tmp_path):
    """Whoever goes first, in whatever order they came."""
    path = tmp_path / "public.sock"
    port = Port(small_stage, Address("", 0, str(path)))
    with port.started:
        slot = take_slot(port)
        first = port.start(ready=False)
        port.wait_phase(first, "standby")
        for goes_first in ("new", "old"):
            second = port.start(ready=False)
            port.wait_phase(second, "standby")
            leaving = second if goes_first == "new" else first
            leaving.send(signal.SIGTERM)
            assert leaving.wait() == 0
            assert answers(path)
        second.send(signal.SIGTERM)
        assert second.wait() == 0
        assert not path.exists()
    slot.release()


@pytest.mark.parametrize("way", ["auto", "reuseport"])
def test_an_ipv6_address_is_passed_on(small_stage, way):
    port = Port(small_stage, Address("::1", free_port("::1")), way)
    with port.started:
        old = port.start()
        new = port.start()
        if way == "reuseport":
            port.wait_logged(new, "event=steering ")
            old.send(signal.SIGTERM)
        assert old.wait() == 0
        assert get(port.public)[0].status == 200


def added(before, after):
    """Return what *after* has more of than *before*, both as `Port.left` counts it."""
    counts = {**after["descriptors"], "processes": after["processes"]}
    had = {**before["descriptors"], "processes": before["processes"]}
    more = Counter(counts) - Counter(had)
    return more | dict(Counter(after["files"]) - Counter(before["files"]))


def test_handovers_leave_nothing_behind(small_stage, tmp_path):
    """No process, descriptor, socket file, shared memory or temporary file."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    port = Port(
        dataclasses.replace(
            small_stage,
            grace=0.1,
            timeout=1.0,
            environ=(*small_stage.environ, ("TMPDIR", str(temporary))),
        ),
        free_address(),
    )
    with port.started:
        instance = port.replace(port.replace(port.start()))
        then = port.settled()
        pids = {*port.processes()}
        for _ in range(1000 if os.environ.get("SOAK") else 20):
            instance = port.replace(instance)
            pids.update(port.processes())
        # A probe, or a look of the writer, may have a descriptor open for a moment: then,
        # or now; and a child that is forked in that moment has a copy as long as it
        # lives. What is left behind stays, whoever comes next.
        for _ in range(5):
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: not added(then, port.left()), 5, "nothing more")
            if not (more := added(then, port.left())):
                break
            instance = port.replace(instance)
        assert more == {}
        # Memory with a name outlives its processes; there is none.
        assert port.named_memory() == []
        assert not pids & system_v_creators()
        assert list(temporary.iterdir()) == []
        instance.send(signal.SIGTERM)
        assert instance.wait() == 0
    assert port.processes() == []
