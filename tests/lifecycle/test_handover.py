"""Listening sockets on their way from one process to another."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lifecycle.handover import Door, HandoverRefusedError, receive
from lifecycle.peers import Peer, RunDir
from tests.lifecycle.children import ROOT
from tests.processes import wait_until

# Gives away a listener of a network namespace of its own.
ELSEWHERE = """
import os, socket, sys, time
from pathlib import Path
from lifecycle.handover import Door
from lifecycle.peers import RunDir
listener = socket.create_server(("0.0.0.0", 0))
door = Door(RunDir(Path(sys.argv[1])), "there", lambda request: ([os.dup(listener.fileno())], ""))
print("open", flush=True)
sys.stdin.read()
"""
WANTED = {"want": "public", "id": "me"}


def count_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path)
    made.create()
    return made


def test_a_socket_is_received_with_what_waits_in_it(run_dir):
    asked: list[dict[str, Any]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def give(request: dict[str, Any]) -> tuple[Sequence[int], str]:
            asked.append(request)
            return [os.dup(listener.fileno())], ""

        door = Door(run_dir, "giver", give)
        before = count_descriptors()
        waiting = socket.create_connection(listener.getsockname())
        (received,) = receive(run_dir, Peer("giver", {}), WANTED)
        assert asked == [WANTED]
        assert received.getsockname() == listener.getsockname()
        assert not received.get_inheritable()
        received.accept()[0].close()
        waiting.close()
        received.close()
        # The copy that was sent is closed, too.
        wait_until(lambda: count_descriptors() == before, 5, "no copy left")
    door.listener.close()


def test_a_refusal_is_told_and_may_be_over_later(run_dir):
    door = Door(run_dir, "giver", lambda request: ([], "a deploy is under way"))
    with pytest.raises(
        HandoverRefusedError, match=r"^a deploy is under way$"
    ) as caught:
        receive(run_dir, Peer("giver", {}), WANTED)
    assert not caught.value.is_final
    door.listener.close()


def test_who_is_not_there_or_goes_away_gives_nothing(run_dir):
    with pytest.raises(FileNotFoundError):
        receive(run_dir, Peer("nobody", {}), WANTED)

    def fail(request: dict[str, Any]) -> tuple[Sequence[int], str]:
        raise OSError("out of descriptors")

    door = Door(run_dir, "giver", fail)
    with pytest.raises(OSError, match="it went away"):
        receive(run_dir, Peer("giver", {}), WANTED)
    door.listener.close()


@pytest.mark.parametrize("nonsense", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe"])
def test_nonsense_does_not_close_the_door(run_dir, nonsense):
    door = Door(run_dir, "giver", lambda request: ([], "not now"))
    with run_dir.connect("giver.lst", 5) as client:
        client.sendall(nonsense)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    with run_dir.connect("giver.lst", 5) as client:
        client.sendall(json.dumps(WANTED).encode())
        assert json.loads(client.recv(100)) == {"refusal": "not now"}
    door.listener.close()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="making a network namespace needs root, and unshare of util-linux",
)
def test_a_socket_of_another_network_namespace_is_refused_for_good(run_dir):
    """Its address is not here: connections to ours would be refused."""
    command = [
        "unshare",
        "--net",
        sys.executable,
        "-c",
        ELSEWHERE,
        str(run_dir.path.parent),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as giver:
        assert giver.stdout is not None
        assert giver.stdout.readline() == b"open\n"
        before = count_descriptors()
        with pytest.raises(HandoverRefusedError, match="network namespace") as caught:
            receive(run_dir, Peer("there", {}), WANTED)
        assert caught.value.is_final
        assert count_descriptors() == before
        giver.communicate()
