from __future__ import annotations

import itertools
import json
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle import locks, peers
from lifecycle.internal_server import InternalServer, is_trusted_peer
from lifecycle.peers import Peer, RunDir
from lifecycle.probes import ProbeApplication, json_answer, json_body, text_answer
from tests.lifecycle.children import ROOT, python, run_in_child, said

REGISTER = """
import sys, time
from pathlib import Path
from lifecycle import locks, peers
run_dir = peers.RunDir(Path(sys.argv[1]))
name, descriptor = peers.register(run_dir, {"started_at": float(sys.argv[2])})
listener = run_dir.listen(f"{name}.ctl")
print(name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path)
    made.create()
    return made


@pytest.fixture
def registered(run_dir: RunDir) -> Iterator[str]:
    name, descriptor = peers.register(run_dir, {"started_at": 1.0, "pid": 1})
    yield name
    os.close(descriptor)


def names(run_dir: RunDir) -> list[str]:
    return sorted(path.name for path in run_dir.path.iterdir())


def long_run_dir(tmp_path: Path) -> RunDir:
    """Return a run folder whose path alone is longer than a socket's may be."""
    data_dir = tmp_path / ("x" * 120)
    made = RunDir(data_dir)
    made.create()
    return made


def test_the_run_folder_is_for_its_user_only(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "data")
    run_dir.create()
    run_dir.create()
    assert stat.S_IMODE(run_dir.path.stat().st_mode) == 0o700


def test_a_run_folder_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    RunDir(tmp_path).create()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_an_instance_lives_as_long_as_the_lock_on_its_file(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    with python(REGISTER, str(tmp_path), "7") as instance:
        name = said(instance)
        assert peers.living(run_dir) == [Peer(name, {"started_at": 7.0})]
        assert names(run_dir) == [f"{name}.ctl", f"{name}.lock"]
        instance.kill()
        instance.wait()
        assert peers.living(run_dir) == []
    assert names(run_dir) == []


def test_living_ones_come_in_the_order_of_their_start_less_oneself(
    tmp_path: Path,
) -> None:
    run_dir = RunDir(tmp_path)
    with (
        python(REGISTER, str(tmp_path), "2") as second,
        python(REGISTER, str(tmp_path), "1") as first,
        python(REGISTER, str(tmp_path), "3") as third,
    ):
        ids = [said(process) for process in (first, second, third)]
        assert [peer.id for peer in peers.living(run_dir)] == ids
        assert [peer.id for peer in peers.living(run_dir, but=ids[1])] == [
            ids[0],
            ids[2],
        ]


def test_cleaning_up_after_the_dead_leaves_the_living_their_files(
    run_dir: RunDir, registered: str
) -> None:
    dead, descriptor = peers.register(run_dir, {})
    os.close(descriptor)
    for instance in (dead, registered):
        for name in (
            f"{instance}.ctl",
            f"{instance}.fwd",
            f".{instance}.rehearsal-wal",
        ):
            (run_dir.path / name).touch()
    (run_dir.path / "unrelated").touch()
    assert [peer.id for peer in peers.living(run_dir)] == [registered]
    assert names(run_dir) == sorted(
        [
            f".{registered}.rehearsal-wal",
            f"{registered}.ctl",
            f"{registered}.fwd",
            f"{registered}.lock",
            "unrelated",
        ]
    )


def test_a_file_is_locked_before_it_gets_its_name(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a peer would clean up after a new instance that is not dead."""
    seen: list[bool] = []
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        seen.append(locks.is_locked(self))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    _, descriptor = peers.register(run_dir, {})
    os.close(descriptor)
    assert seen == [True]


def test_peers_that_look_while_instances_come_and_go_never_kill_one(
    run_dir: RunDir,
) -> None:
    """With the lock taken after the rename instead, this fails within a second."""
    stop = threading.Event()
    problems: list[str] = []

    def look() -> None:
        try:
            while not stop.is_set():
                peers.living(run_dir)
        except OSError as exc:
            problems.append(repr(exc))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(300):
            name, descriptor = peers.register(run_dir, {"started_at": 1})
            if not (run_dir.path / f"{name}.lock").exists():
                problems.append(f"{name} was cleaned up while it lived")
            os.close(descriptor)
            peers.unregister(run_dir, name)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []


def test_a_lock_file_that_is_not_ours_to_read_is_passed_over(run_dir: RunDir) -> None:
    (run_dir.path / "folder.lock").mkdir()
    _, descriptor = peers.register(run_dir, {})
    path = next(run_dir.path.glob("*[0-9a-f].lock"))
    path.write_text("not json")
    assert peers.living(run_dir) == []
    assert path.exists()
    os.close(descriptor)


def test_unregister_removes_all_that_bears_the_id_and_nothing_else(
    run_dir: RunDir, registered: str
) -> None:
    for name in ("ctl", "fwd", "job"):
        (run_dir.path / f"{registered}.{name}").touch()
    (run_dir.path / f".{registered}.rehearsal").touch()
    (run_dir.path / f"{registered}0.ctl").touch()
    peers.unregister(run_dir, registered)
    peers.unregister(run_dir, registered)
    assert names(run_dir) == [f"{registered}0.ctl"]


@pytest.mark.parametrize("length", ["short", "long"])
def test_a_socket_of_the_run_folder_is_reached(tmp_path: Path, length: str) -> None:
    run_dir = RunDir(tmp_path) if length == "short" else long_run_dir(tmp_path)
    run_dir.create()
    (run_dir.path / "x.ctl").touch()  # a file left behind
    with run_dir.listen("x.ctl") as listener:
        assert stat.S_IMODE((run_dir.path / "x.ctl").stat().st_mode) == 0o600
        with run_dir.connect("x.ctl", timeout=5) as client:
            accepted, _ = listener.accept()
            with accepted:
                client.sendall(b"hello")
                assert accepted.recv(10) == b"hello"


def test_a_path_of_exactly_the_limit_is_used_as_it_is(tmp_path: Path) -> None:
    room = 107 - len(str(tmp_path)) - len("//run/x.ctl")
    run_dir = RunDir(tmp_path / ("d" * room))
    run_dir.create()
    with run_dir.reachable("x.ctl") as path:
        assert path == str(run_dir.path / "x.ctl")
        assert len(path) == 107
    with run_dir.reachable("xx.ctl") as path:
        assert path.startswith("/proc/self/fd/")


def test_reaching_a_long_path_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    run_dir = long_run_dir(tmp_path)
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names, not paths
    with run_dir.listen("x.ctl"), run_dir.connect("x.ctl", timeout=5):
        pass
    with pytest.raises(OSError, match="refused"):
        run_dir.connect("x.ctl", timeout=5)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def serve(run_dir: RunDir, name: str, pages: dict[str, Any]) -> InternalServer:
    return InternalServer(run_dir.listen(name), ProbeApplication({}, pages))


def test_a_peer_is_asked_over_its_control_socket(
    run_dir: RunDir, registered: str
) -> None:
    peer = Peer(registered, {})
    pages = {
        "/status": lambda environ: json_answer("200 OK", {"phase": "ready"}),
        "/text": lambda environ: text_answer("200 OK", "no json"),
        "/list": lambda environ: json_answer("200 OK", [1]),
        "/bad": lambda environ: json_answer("400 Bad Request", {"error": "bad"}),
    }
    server = serve(run_dir, f"{registered}.ctl", pages)
    try:
        assert peers.ask(run_dir, peer, "/status") == {"phase": "ready"}
        for path in ("/text", "/list", "/bad", "/missing"):
            with pytest.raises(
                OSError, match=f"instance {registered} gave no answer that can be read"
            ):
                peers.ask(run_dir, peer, path)
    finally:
        server.close()
    with pytest.raises(ConnectionRefusedError):
        peers.ask(run_dir, peer, "/status")


def test_what_is_posted_to_a_peer_arrives_whole_however_it_is_cut(
    run_dir: RunDir, registered: str
) -> None:
    """HTTP clients send head and body one by one."""
    application = ProbeApplication(
        {}, {}, {"/echo": lambda environ: json_answer("200 OK", json_body(environ))}
    )
    server = InternalServer(run_dir.listen(f"{registered}.ctl"), application)
    body = json.dumps({"text": "x" * 100_000}).encode()
    head = b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    try:
        for cuts in ([len(head)], [len(head) + 1], [10, len(head) - 2, 90_000], []):
            whole = head + body
            with run_dir.connect(f"{registered}.ctl", timeout=10) as client:
                for begin, end in itertools.pairwise([0, *cuts, len(whole)]):
                    client.sendall(whole[begin:end])
                    time.sleep(0.01)  # so that the pieces are read one by one
                said = b""
                while piece := client.recv(65536):
                    said += piece
            assert said.endswith(body + b"\n")
        assert peers.post(
            run_dir, Peer(registered, {}), "/echo", {"a": 1}, timeout=5
        ) == {"a": 1}
    finally:
        server.close()


def test_a_peer_that_hangs_is_given_up_in_time(
    run_dir: RunDir, registered: str
) -> None:
    with (
        run_dir.listen(f"{registered}.ctl"),  # it never accepts
        pytest.raises(TimeoutError),
    ):
        peers.ask(run_dir, Peer(registered, {}), "/status", timeout=0.1)


def test_this_user_is_trusted_at_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert is_trusted_peer(one)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_user_is_not_trusted_even_with_the_socket_open_to_all(
    tmp_path: Path,
) -> None:
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    folder.chmod(0o755)
    run_dir = RunDir(folder)
    run_dir.create()
    server = serve(
        run_dir, "x.ctl", {"/status": lambda environ: json_answer("200 OK", {})}
    )
    run_dir.path.chmod(0o777)
    (run_dir.path / "x.ctl").chmod(0o777)

    def ask_as_nobody() -> None:
        os.setuid(65534)
        with pytest.raises((OSError, json.JSONDecodeError)):
            peers.ask(run_dir, Peer("x", {}), "/status")

    try:
        assert peers.ask(run_dir, Peer("x", {}), "/status") == {}
        assert run_in_child(ask_as_nobody) == 0
    finally:
        server.close()
        subprocess.run(["rm", "-r", str(folder)], check=True, cwd=ROOT)


def test_a_child_closes_its_copies_of_open_connections(run_dir: RunDir) -> None:
    """The thread that waits for an answer stays in the parent, and so does its end."""
    with run_dir.listen("a.ctl"):
        connection = run_dir.connect("a.ctl", 5)
        answer = connection.makefile("rb")
        descriptor = connection.fileno()
        closed = run_dir.connect("a.ctl", 5)
        closed.close()

        def work() -> None:
            peers.close_in_child()
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)

        assert run_in_child(work) == 0
        assert os.fstat(descriptor)
        answer.close()
        connection.close()
