"""manage.py handoff: looking at the slot, and moving it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from lifecycle import locks, peers
from lifecycle.slot import WriterSlot
from tests.lifecycle.instances import Instance, instance, manage
from tests.lifecycle.migrations_of import Migrations
from tests.processes import is_stopped, wait_until


def handoff(
    data_dir: Path, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    return manage(data_dir, "handoff", *arguments, **environ)


def as_json(data_dir: Path, *arguments: str) -> Any:
    done = handoff(data_dir, "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    # Before the action and after it: the same.
    return json.loads(done.stdout)


def refusal(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    assert done.stdout == ""
    return done.returncode, done.stderr


def holds(one: Instance) -> bool:
    return bool(one.status()["epoch"])


@pytest.mark.process
def test_the_slot_is_shown_moved_and_an_instance_retired(
    migrated: Path, data_dir: Path
) -> None:
    with instance(data_dir, RELEASE="v1") as one:
        one.wait_ready()
        assert refusal(handoff(data_dir, "release")) == (
            3,
            "CommandError: No other instance stands by: nobody could take the writer "
            "slot.\n",
        )
        assert refusal(handoff(data_dir, "retire")) == (
            3,
            "CommandError: No instance stands by; name the one to drain.\n",
        )
        with instance(data_dir, RELEASE="v2") as two:
            two.wait_ready()
            one.wait_ready()
            assert holds(two)

            status = as_json(data_dir, "status")
            assert status["slot"]["epoch"] == two.status()["epoch"]
            assert status["slot"]["holder"] == two.id
            assert [
                (i["id"], i["phase"], i["version"]) for i in status["instances"]
            ] == [
                (one.id, "standby", "v1"),
                (two.id, "ready", "v2"),
            ]
            done = handoff(data_dir, "status")
            assert done.returncode == 0
            first, heads, *rows = done.stdout.splitlines()
            assert first == (
                f"writer slot: epoch {status['slot']['epoch']}, held by {two.id}"
            )
            assert heads.split() == [
                "id", "phase", "slot", "version", "pid", "public", "internal",
                "held", "forwarded",
            ]  # fmt: skip
            standby, holder = (re.split(r"\s{2,}", row) for row in rows)
            assert standby[0] == one.id
            assert re.fullmatch(r"standby \d+s", standby[1])
            assert holder[2:7] == [
                "holds", "v2", str(two.process.pid), two.public, two.internal,
            ]  # fmt: skip

            # To and fro.
            done = handoff(data_dir, "acquire", one.id)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == f"{one.id} holds the writer slot\n"
            assert (holds(one), holds(two)) == (True, False)
            assert as_json(data_dir, "acquire", one.id) == {"holder": one.id}
            assert as_json(data_dir, "release") == {"holder": two.id}
            assert (holds(one), holds(two)) == (False, True)
            assert refusal(handoff(data_dir, "acquire", "nobody")) == (
                3,
                "CommandError: No instance nobody stands by.\n",
            )

            # A version that cannot live with what is applied is refused.
            two.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: is_stopped(two.process.pid), 5, "the stop")
            silent = as_json(data_dir, "status")["instances"][1]
            assert (silent["id"], silent["phase"]) == (two.id, "silent")
            two.process.send_signal(signal.SIGCONT)

            assert refusal(handoff(data_dir, "retire", "nobody")) == (
                3,
                "CommandError: No instance nobody lives here.\n",
            )
            assert as_json(data_dir, "retire") == {"retired": one.id}
            assert one.wait_end() == 0
            history = as_json(data_dir, "history")
            assert [deploy["lives"] for deploy in history] == [False, True]
            last = handoff(data_dir, "history").stdout.splitlines()[-1]
            assert " > ready  " in last

        history = as_json(data_dir, "history")
        assert [deploy["instance"] for deploy in history] == [one.id, two.id]
        assert [phase["phase"] for phase in history[0]["phases"]] == [
            "starting", "warming", "standby", "ready", "standby", "ready", "standby",
            "draining", "stopped",
        ]  # fmt: skip
        assert len(history[0]["epochs"]) == 2
        done = handoff(data_dir, "history")
        assert done.returncode == 0
        heads, first, second = done.stdout.splitlines()
        assert heads.split()[:3] == ["started", "instance", "version"]
        assert one.id in first
        assert "draining 0." in first
        assert " > stopped  " in first
        # It was killed, and could not write that down.
        assert two.id in second
        assert " > ready > died  " in second


def test_without_an_instance_there_is_little_to_show_and_nothing_to_move(
    data_dir: Path,
) -> None:
    assert as_json(data_dir, "status") == {
        "slot": {"epoch": 0, "holder": "", "last": "", "since": None},
        "instances": [],
    }
    assert handoff(data_dir, "status").stdout.splitlines()[0] == (
        "writer slot: epoch 0, nobody holds the slot"
    )
    assert as_json(data_dir, "history") == []
    assert as_json(data_dir, "check") == []
    # Looking makes no database.
    assert not list(data_dir.glob("sample.sqlite3*"))
    for action in ("acquire", "release"):
        assert refusal(handoff(data_dir, action)) == (
            3,
            "CommandError: No living instance holds the writer slot.\n",
        )
    assert handoff(data_dir, "retire").returncode == 3


def test_a_holder_that_was_killed_holds_nothing(migrated: Path, data_dir: Path) -> None:
    slot = WriterSlot(data_dir, "instance 12345678")
    assert slot.try_acquire()
    holder, life = peers.register(peers.RunDir(data_dir), {})
    with contextlib.closing(sqlite3.connect(migrated)) as database, database:
        database.execute(
            "INSERT INTO lifecycle_epoch (epoch, holder, taken_by, version, since, "
            "released_at, next, until) VALUES (7, ?, ?, '', 1, NULL, '', 0)",
            [holder, holder],
        )

    def first_line() -> str:
        return handoff(data_dir, "status").stdout.splitlines()[0]

    nobody = f"writer slot: epoch 7, nobody holds the slot; last: {holder}"
    assert first_line() == f"writer slot: epoch 7, held by {holder}"
    os.close(life)  # as the kernel does it, the row as it is
    # Somebody has the lock, and has not begun: the database is locked, say.
    assert first_line() == nobody
    slot.release()
    assert first_line() == nobody
    slot_then = {"epoch": 7, "holder": "", "last": holder, "since": 1.0}
    assert as_json(data_dir, "status")["slot"] == slot_then
    # It was not even taken to look.
    assert not locks.is_locked(slot.path)


@pytest.mark.parametrize("arguments", [[], ["jump"], ["status", "extra"]])
def test_a_usage_that_is_none_ends_with_status_two(
    data_dir: Path, arguments: list[str]
) -> None:
    assert handoff(data_dir, *arguments).returncode == 2


def test_pending_migrations_are_judged(
    migrated: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert handoff(data_dir, "check").stdout == "No migration is pending.\n"
    made = Migrations(tmp_path, "migrations_here")
    environ = {
        "SAMPLE_MIGRATIONS": made.package,
        "PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}",
    }
    made.write(
        "0002_next",
        """[migrations.AddField("entry", "new", models.TextField(null=True))]""",
    )
    done = handoff(data_dir, "check", **environ)
    assert (done.returncode, done.stderr, done.stdout) == (
        0,
        "",
        "sample.0002_next: older code can live with it\n",
    )
    made.write(
        "0003_then",
        """[migrations.RemoveField("entry", "text")]""",
        after="0002_next",
    )
    done = handoff(data_dir, "check", **environ)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[1] == (
        "sample.0003_then: breaks older code: removes the column entry.text"
    )
    done = handoff(data_dir, "check", "--json", **environ)
    assert done.returncode == 1
    assert json.loads(done.stdout) == [
        {"migration": "sample.0002_next", "compatible": True, "reasons": []},
        {
            "migration": "sample.0003_then",
            "compatible": False,
            "reasons": ["removes the column entry.text"],
        },
    ]
    # Looking changed nothing, and took nothing.
    assert not (data_dir / "snapshots").exists()
    assert not (data_dir / "writer.lock").exists()


def test_a_database_that_cannot_be_judged_is_one_line(data_dir: Path) -> None:
    (data_dir / "sample.sqlite3").write_bytes(b"no database at all " * 100)
    began = time.monotonic()
    status, line = refusal(handoff(data_dir, "check"))
    assert (status, line.count("\n")) == (1, 1)
    assert line.startswith(f"CommandError: Database {data_dir}/sample.sqlite3 cannot")
    assert time.monotonic() - began < 30
