"""One process builds for the workers of a real instance, and may die at any time."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from pathlib import Path

import pytest

from bench.stage import Stage
from tests.deploys.scene import Scene, address_of, get
from tests.processes import wait_until

pytestmark = pytest.mark.process


def _put(listener: socket.socket, token: str, text: str) -> None:
    address = address_of(listener)
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    connection.request(
        "PUT", "/api/notes/a.md", text, {"Authorization": f"Bearer {token}"}
    )
    assert connection.getresponse().status in {200, 201}
    connection.close()


def test_what_is_written_is_served_whoever_of_them_dies(
    tmp_path: Path, listener: socket.socket
) -> None:
    stage = Stage(tmp_path, grace=1.0, timeout=3.0)
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "a.md").write_text("first")
    stage.load_vault(vault)
    with Scene(stage) as scene:
        instance = scene.start(listener=listener)
        token = stage.make_token()

        def tells(text: str) -> bool:
            return text in get(address_of(listener), "/a")[1].decode()

        def reads(text: str) -> None:
            # Several: each of the workers is likely to get one.
            assert all(tells(text) for _ in range(8))

        reads("first")
        _put(listener, token, "second")
        reads("second")
        (builder,) = scene.status(instance)["companions"][:1]
        built = [line for line in instance.output.splitlines() if "site_built" in line]
        assert [f" pid={builder} " in line for line in built] == [False, True]
        # The master has the first text: what it forks now must not serve that.
        before = scene.workers(instance)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_until(
            lambda: len(now := scene.workers(instance)) == 2 and not {*now} & {*before},
            30,
            "other workers",
        )
        reads("second")
        os.kill(builder, signal.SIGKILL)
        _put(listener, token, "third")
        wait_until(lambda: tells("third"), 30, "a worker that builds by itself")
        (successor,) = wait_until(
            lambda: [
                pid for pid in scene.status(instance)["companions"] if pid != builder
            ][:1],
            30,
            "another builder",
        )
        _put(listener, token, "fourth")
        reads("fourth")
        assert f" pid={successor} " in instance.output
        instance.stop()
        assert "Traceback" not in instance.output
