"""Backups of a site in a directory: made, damaged, pruned, and brought back."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files import File
from django.core.management import call_command
from django.core.management.base import CommandError

from lifecycle import litestream, locks, peers
from lifecycle.backup import (
    creating,
    manifest,
    packing,
    pruning,
    restoring,
    schedule,
    status,
    workplace,
)
from lifecycle.backup.directory import DirectoryStorage
from lifecycle.backup.errors import BackupError
from lifecycle.backup.store import Store
from lifecycle.health import Backup
from lifecycle.slot import WriterSlot
from tests.lifecycle.children import run_in_child
from tests.processes import running, wait_until


def silent(what: str, done: int, total: int) -> None:
    pass


class Site:
    """A data directory with a database and files, and a store beside it."""

    def __init__(self, database: Path, store: Path) -> None:
        self.database = database
        self.data_dir = database.parent
        self.store = store
        self.files = self.data_dir / "files"

    def write(self, text: str) -> None:
        with contextlib.closing(sqlite3.connect(self.database)) as raw, raw:
            raw.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
            raw.execute("INSERT INTO words VALUES (?)", (text,))

    def words(self, database: Path | None = None) -> list[str]:
        path = database or self.database
        with contextlib.closing(sqlite3.connect(path)) as raw:
            return [word for (word,) in raw.execute("SELECT word FROM words")]

    def add_file(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.files / sha256[:2] / sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return sha256

    def back_up(self) -> manifest.Manifest:
        return creating.create("command", silent)

    def restore(self, **options: Any) -> restoring.Restored:
        with restoring.alone():
            return restoring.restore(silent, **options)

    def lose(self) -> None:
        """Lose the database and the files."""
        for path in self.data_dir.glob(f"{self.database.name}*"):
            path.unlink()
        for path in self.files.rglob("*"):
            if path.is_file():
                path.unlink()

    def names(self) -> list[str]:
        (folder,) = [path for path in self.store.iterdir() if path.is_dir()]
        return sorted(path.name for path in folder.iterdir() if path.name != "files")

    def stored(self, pattern: str) -> list[Path]:
        return sorted(self.store.glob(pattern))

    def work(self) -> Path:
        return self.data_dir / "backup-work"


@pytest.fixture
def site(guarded: Path, tmp_path: Path, settings: Any) -> Iterator[Site]:
    made = Site(guarded, tmp_path / "store")
    settings.STORAGES = {
        "backups": {
            "BACKEND": "lifecycle.backup.directory.DirectoryStorage",
            "OPTIONS": {"location": str(made.store)},
        }
    }
    settings.LIFECYCLE_BACKUP_TREES = {"files": made.files}
    settings.LIFECYCLE_SIMPLE_BACKUP = True
    made.write("first")
    yield made
    assert not made.work().exists()


def command(*arguments: str) -> str:
    return str(call_command("backup", *arguments))


def fails(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        call_command("backup", *arguments)
    assert "\n" not in str(caught.value)
    return caught.value.returncode, str(caught.value)


def damage(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(bytes(content))


def flip(content: bytearray) -> None:
    content[len(content) // 2] ^= 1


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def test_a_backup_is_restored_as_it_was(site: Site) -> None:
    sha256 = site.add_file(b"a picture")
    made = site.back_up()
    site.write("second")
    assert (made.file_count, made.file_bytes) == (1, 9)
    assert "lifecycle.0001_initial" in made.migrations
    with contextlib.closing(sqlite3.connect(site.database)) as raw:
        wanted = [line for line in raw.iterdump() if "second" not in line]
    site.lose()
    restored = site.restore()
    assert (restored.manifest, restored.files, restored.skipped) == (made, 1, [])
    with contextlib.closing(sqlite3.connect(site.database)) as raw:
        assert list(raw.iterdump()) == wanted
    assert (site.files / sha256[:2] / sha256).read_bytes() == b"a picture"
    # Nobody else may read what is in there.
    for path in (site.store, *site.store.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0


def test_a_snapshot_is_of_one_moment_while_others_write(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(sqlite3.connect(site.database)) as raw, raw:
        raw.execute("CREATE TABLE ballast (b BLOB)")
        raw.executemany(
            "INSERT INTO ballast VALUES (?)", [(os.urandom(4096),) for _ in range(600)]
        )
    monkeypatch.setattr("lifecycle.backup.snapshot._STEP_PAGES", 100)
    steps = 0

    def write(what: str, done: int, total: int) -> None:
        nonlocal steps
        if what == "snapshot":
            steps += 1
            # A reader in the way, or a backup that begins again, would never end here.
            assert steps < 50
            site.write(f"during {steps}")

    creating.create("command", write)
    assert steps >= 3
    during = site.words()
    assert len(during) == steps + 1
    site.restore(move_aside=True)
    assert site.words() == ["first"]


def test_what_litestream_keeps_in_a_database_is_not_backed_up(site: Site) -> None:
    with contextlib.closing(sqlite3.connect(site.database)) as raw, raw:
        raw.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INT)")
        raw.execute("CREATE TABLE _litestream_lock (id INTEGER)")
        raw.execute("CREATE TABLE _litestreams (id INTEGER)")  # no table of its own
    site.back_up()
    site.lose()
    site.restore()
    with contextlib.closing(sqlite3.connect(site.database)) as raw:
        tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}
    assert {name for name in tables if name.startswith("_")} == {"_litestreams"}
    assert site.words() == ["first"]
    litestream.refuse_conflicts({"SIMPLE_BACKUP": True}, site.database)


def test_each_file_is_stored_once(site: Site) -> None:
    site.add_file(b"one")
    site.back_up()
    (stored,) = site.stored("*/files/*")
    before = stored.stat().st_mtime_ns
    site.add_file(b"two")
    assert site.back_up().file_count == 2
    assert len(site.stored("*/files/*")) == 2
    assert stored.stat().st_mtime_ns == before


@pytest.mark.parametrize("part", ["database.zst", "files.json.zst", "manifest.json"])
@pytest.mark.parametrize("change", [flip, cut, bytearray.clear])
def test_a_damaged_backup_is_passed_over_for_the_one_before(
    site: Site, part: str, change: Callable[[bytearray], None]
) -> None:
    good = site.back_up()
    site.write("second")
    bad = site.back_up()
    site.write("third")
    damage(next(site.store.glob(f"*/{bad.name}/{part}")), change)
    with pytest.raises(SystemExit) as caught:
        command("verify")
    assert caught.value.code == 1
    restored = site.restore(move_aside=True)
    assert restored.manifest.name == good.name
    (line,) = restored.skipped
    assert line.startswith(f"Backup {bad.name}")
    assert site.words() == ["first"]
    # And what was here is where it says.
    assert restored.aside is not None
    assert site.words(restored.aside / site.database.name)[-1] == "third"


class Torn(io.BytesIO):
    """A file whose last block cannot be read."""

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if size and not found:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return found


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """What the store cannot read: part of a name to an error number, 0: at its end."""
    broken: dict[str, int] = {}
    opening = DirectoryStorage.open

    def open_it(self: DirectoryStorage, name: str, mode: str = "rb") -> File[bytes]:
        errors = [error for part, error in broken.items() if part in name]
        if any(errors):
            raise OSError(errors[0], os.strerror(errors[0]))
        file: File[bytes] = opening(self, name, mode)
        if not errors:
            return file
        with file:
            return File(Torn(file.read()))

    monkeypatch.setattr(DirectoryStorage, "open", open_it)
    yield broken
    broken.clear()


@pytest.mark.parametrize("part", ["database.zst", "files.json.zst", "manifest.json"])
@pytest.mark.parametrize(("error", "why"), [(0, "[Errno 5]"), (13, "[Errno 13]")])
def test_a_backup_that_cannot_be_read_is_passed_over_for_the_one_before(
    site: Site,
    unreadable: dict[str, int],
    part: str,
    error: int,
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = site.back_up()
    site.write("second")
    bad = site.back_up()
    unreadable[f"{bad.name}/{part}"] = error
    what = "its manifest" if part == "manifest.json" else part
    line = (
        f"Backup {bad.name}: {what} cannot be read: {why} "
        f"{os.strerror(error or errno.EIO)}."
    )
    with pytest.raises(SystemExit):
        command("verify", "--all")
    assert capsys.readouterr().out == f"{bad.name}: {line}\n{good.name}: good\n"
    command("drill")
    assert capsys.readouterr().err == f"{line}\n"
    site.lose()
    # Whoever names one wants no other.
    assert fails("restore", "--at", bad.name) == (1, line)
    assert not site.database.exists()
    restored = restoring.restore_at_start(silent)
    assert restored is not None
    assert (restored.manifest.name, restored.skipped) == (good.name, [line])
    assert site.words() == ["first"]


def test_a_file_that_cannot_be_read_does_not_keep_the_database_away(
    site: Site, unreadable: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    sha256 = site.add_file(b"a picture")
    site.back_up()
    site.lose()
    unreadable[sha256] = errno.EIO
    code, line = fails("restore")
    assert (code, line) == (1, "The database is restored; 1 files are not.")
    assert capsys.readouterr().err == (
        f"files/{sha256[:2]}/{sha256}: File {sha256} cannot be read: [Errno 5] "
        "Input/output error.\n"
    )


def test_a_store_that_goes_away_meanwhile_is_not_passed_over(
    site: Site, unreadable: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.back_up()
    made = site.back_up()
    site.lose()
    # This machine lacks what it takes to read, and so no backup is at fault.
    unreadable[f"{made.name}/database.zst"] = errno.ENOSPC
    wanted = f"Backup store {site.store} cannot be "
    with pytest.raises(BackupError, match="No space left") as caught:
        restoring.restore_at_start(silent)
    assert str(caught.value).startswith(f"{wanted}read: [Errno 28]")
    unreadable[f"{made.name}/database.zst"] = errno.EIO
    fetch = restoring.fetch

    def fetch_from_nowhere(*arguments: Any) -> restoring.Listed:
        def refuse(self: DirectoryStorage, path: str) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(DirectoryStorage, "listdir", refuse)
        return fetch(*arguments)

    monkeypatch.setattr(restoring, "fetch", fetch_from_nowhere)
    with pytest.raises(BackupError) as caught:
        restoring.restore_at_start(silent)
    assert str(caught.value).startswith(f"{wanted}listed: [Errno 5]")
    assert not site.database.exists()


@pytest.mark.parametrize("change", [flip, cut, Path.unlink])
def test_a_damaged_file_is_named_and_does_not_keep_the_database_away(
    site: Site, change: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sha256 = site.add_file(b"a picture")
    site.back_up()
    (stored,) = site.stored("*/files/*")

    def break_it() -> None:
        change(stored) if change is Path.unlink else damage(stored, change)

    break_it()
    # It is here, so that it can be stored again.
    command("verify")
    assert stored.read_bytes() == b"a picture"
    break_it()
    site.lose()
    with pytest.raises(SystemExit):
        command("verify")
    code, line = fails("restore")
    assert (code, line) == (1, "The database is restored; 1 files are not.")
    assert f"files/{sha256[:2]}/{sha256}: File {sha256} is" in capsys.readouterr().err
    assert site.words() == ["first"]
    assert not [path for path in site.files.rglob("*") if path.is_file()]


def test_when_none_verifies_nothing_is_replaced(site: Site) -> None:
    made = site.back_up()
    damage(next(site.store.glob("*/*/database.zst")), flip)
    code, line = fails("restore", "--move-aside")
    assert code == 1
    assert line.startswith(f"No backup in {site.store} verifies: Backup {made.name}: ")
    assert line.endswith("Nothing was replaced.")
    assert site.words() == ["first"]


def test_a_backup_of_another_site_is_refused(
    site: Site, tmp_path: Path, settings: Any
) -> None:
    made = site.back_up()
    (folder,) = [path for path in site.store.iterdir() if path.is_dir()]
    # Copied in the store from one site to another: its manifest still says whose.
    other = site.store / "0123456789abcdef"
    folder.rename(other)
    code, line = fails("restore", "--move-aside")
    assert code == 1
    assert line.startswith(f"Backup store {site.store} has nothing of site ")
    assert "it has those of 0123456789abcdef" in line
    code, line = fails("restore", "--move-aside", "--site", other.name)
    assert (code, "is another site" in line) == (1, True)
    (site.data_dir / "site-id").unlink()
    code, line = fails("restore", "--move-aside")
    assert (code, f"Backup {made.name} is of another site" in line) == (1, True)
    assert site.words() == ["first"]
    # Two sites in one store: a new data directory must say which.
    other.rename(folder)
    other.mkdir()
    code, line = fails("restore", "--move-aside")
    assert (code, "backups of several sites" in line) == (1, True)
    assert site.restore(site=folder.name, move_aside=True).manifest == made


def test_a_restore_never_writes_over_a_database_or_beside_an_instance(
    site: Site,
) -> None:
    site.back_up()
    code, line = fails("restore")
    assert code == 3
    assert line.startswith(f"{site.database} is in the way")
    holder = WriterSlot(site.data_dir, "instance abc")
    assert holder.try_acquire()
    code, line = fails("restore", "--move-aside")
    assert (code, "held by instance abc" in line) == (3, True)
    holder.release()
    # A log that is left would be taken for part of what is restored.
    site.lose()
    left = Path(f"{site.database}-wal")
    left.write_bytes(b"x")
    code, line = fails("restore")
    assert (code, line.startswith(f"{left} is in the way")) == (3, True)
    site.restore(move_aside=True)
    assert site.words() == ["first"]
    assert not left.exists()


def test_nothing_is_moved_from_an_instance_that_started_during_the_fetch(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.back_up()
    site.write("second")
    run_dir = peers.RunDir(site.data_dir)
    fetch = restoring.fetch
    started: list[tuple[str, int]] = []

    def slowly(*arguments: Any) -> restoring.Listed:
        listed = fetch(*arguments)
        started.append(peers.register(run_dir, {"pid": 4711}))
        return listed

    monkeypatch.setattr(restoring, "fetch", slowly)
    try:
        code, line = fails("restore", "--move-aside")
    finally:
        instance_id, descriptor = started[0]
        os.close(descriptor)
    assert code == 3
    assert line.startswith(f"Instance {instance_id} (pid 4711) lives on ")
    assert site.words() == ["first", "second"]
    assert not (site.data_dir / "replaced").exists()


def test_a_time_chooses_the_newest_of_then_or_before(site: Site) -> None:
    made = []
    for word in ("second", "third", "fourth"):
        made.append(site.back_up())
        site.write(word)
    for each, words in zip(made, (1, 2, 3), strict=True):
        restored = site.restore(at=each.name, move_aside=True)
        assert restored.manifest == each
        assert len(site.words()) == words
    code, line = fails("restore", "--move-aside", "--at", "2000-01-01")
    assert (code, "has no backup of 20000101T000000.000Z or before" in line) == (
        1,
        True,
    )
    name = "20000101T000000.000Z"
    code, line = fails("restore", "--move-aside", "--at", name)
    assert (code, f"has no backup {name} of site " in line) == (1, True)
    code, line = fails("verify", "--at", "yesterday")
    assert (code, line.startswith("--at 'yesterday' is not a time")) == (2, True)


def test_a_backup_that_is_newer_than_the_code_is_refused(site: Site) -> None:
    with contextlib.closing(sqlite3.connect(site.database)) as raw, raw:
        raw.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('lifecycle', '9999_later', '2026-01-01')"
        )
    site.back_up()
    code, line = fails("restore", "--move-aside")
    assert code == 1
    assert "is newer than this code: it has lifecycle.9999_later" in line
    assert site.words() == ["first"]


def test_a_damaged_database_is_not_backed_up(site: Site) -> None:
    good = site.back_up()
    with contextlib.closing(sqlite3.connect(site.database)) as raw:
        raw.execute("CREATE INDEX by_word ON words (word)")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX by_word ON words (word) "
            "WHERE 0' WHERE name = 'by_word'"
        )
        raw.commit()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with pytest.raises(BackupError, match="The database is damaged"):
        site.back_up()
    assert site.names() == [good.name]
    noted = status.read(site.data_dir / "backup-status.json")
    assert noted.name == good.name
    assert noted.reason.startswith("The database is damaged")


def test_what_was_cut_short_is_no_backup(site: Site) -> None:
    made = site.back_up()
    (stored,) = site.stored("*/*/manifest.json")
    stored.unlink()
    code, line = fails("restore", "--move-aside")
    assert (code, "was never finished" in line) == (1, True)
    later = site.back_up()
    # It may be at work elsewhere; a day later it is not.
    assert site.names() == [made.name, later.name]
    old = stored.parent.with_name(manifest.name_of(time.time() - 90_000))
    stored.parent.rename(old)
    command("prune")
    assert site.names() == [later.name]


def test_pruning_keeps_the_newest_good_one(site: Site, settings: Any) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP = 100
    good, *bad = [site.back_up() for _ in range(4)]
    for each in bad:
        damage(next(site.store.glob(f"*/{each.name}/database.zst")), flip)
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP = 2
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP_DAYS = 0
    command("prune", "--dry-run")
    assert len(site.names()) == 4
    command("prune")
    assert site.names() == [good.name, bad[1].name, bad[2].name]
    newest = site.back_up()
    assert site.names() == [bad[2].name, newest.name]


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """What sets the clock a day ahead, as long as what it returns is entered."""
    now = time.time

    @contextlib.contextmanager
    def a_day() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now() + 86400)
            yield

    return a_day


def test_the_newest_is_what_was_made_last_though_the_clock_was_set_back(
    site: Site, settings: Any, ahead: Callable[[], Any]
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_INTERVAL = 60.0
    before = site.back_up()
    with ahead():
        early = site.back_up()
    site.write("second")
    between = manifest.name_of(time.time())
    site.write("third")
    late = site.back_up()
    assert site.names() == [before.name, early.name, late.name]
    assert Backup().age == "0 min"
    assert late.created_at < early.created_at
    # A time is that of the making.
    for at, made in (
        (None, late),
        (late.created_at + 60, late),
        (manifest.time_of(between), before),
        (late.name, late),
        (early.name, early),
    ):
        assert site.restore(at=at, move_aside=True).manifest == made
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP = 1
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP_DAYS = 0
    command("prune")
    assert site.names() == [late.name]


def test_what_was_cut_short_while_the_clock_was_ahead_goes_after_a_day(
    site: Site, ahead: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ahead(), ahead():
        cut_short = site.back_up()
    (stored,) = site.stored("*/*/manifest.json")
    stored.unlink()
    finished = site.back_up()
    assert site.names() == [cut_short.name, finished.name]
    with ahead():
        command("prune")
    assert site.names() == [finished.name]


def test_a_prune_that_fails_does_not_fail_the_backup(
    site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP = 1
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP_DAYS = 0
    old = site.back_up()

    def refuse(self: DirectoryStorage, name: str) -> None:
        raise PermissionError(name)

    monkeypatch.setattr(DirectoryStorage, "delete", refuse)
    made = site.back_up()
    assert site.names() == [old.name, made.name]
    noted = status.read(site.data_dir / "backup-status.json")
    assert (noted.name, noted.reason) == (made.name, "")


def test_pruning_removes_the_files_that_no_backup_has(
    site: Site, settings: Any
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP = 1
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP_DAYS = 0
    gone, kept = site.add_file(b"gone"), site.add_file(b"kept")
    site.back_up()
    (site.files / gone[:2] / gone).unlink()
    site.back_up()
    assert [path.name for path in site.stored("*/files/*")] == [kept]
    assert len(site.names()) == 1


def test_files_stay_when_a_list_cannot_be_read(site: Site, settings: Any) -> None:
    gone = site.add_file(b"gone")
    first = site.back_up()
    (site.files / gone[:2] / gone).unlink()
    site.back_up()
    site.back_up()
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP = 2
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP_DAYS = 0
    for path in site.stored("*/*/files.json.zst")[:1]:
        damage(path, flip)
    command("prune")
    assert first.name not in site.names()
    assert [path.name for path in site.stored("*/files/*")] == [gone]


@pytest.mark.parametrize("is_damaged", [True, False])
def test_files_stay_when_a_manifest_cannot_be_read(
    site: Site,
    settings: Any,
    unreadable: dict[str, int],
    caplog: pytest.LogCaptureFixture,
    is_damaged: bool,
) -> None:
    sha256 = site.add_file(b"a picture")
    first, second = site.back_up(), site.back_up()
    (site.files / sha256[:2] / sha256).unlink()
    site.back_up()
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP = 1
    settings.LIFECYCLE_SIMPLE_BACKUP_KEEP_DAYS = 0
    path = next(site.store.glob(f"*/{second.name}/manifest.json"))
    whole = path.read_bytes()
    if is_damaged:
        damage(path, cut)
    else:
        unreadable[f"{second.name}/manifest.json"] = errno.EIO
    command("prune")
    assert first.name not in site.names()
    line = next(line for line in caplog.messages if "event=files_kept" in line)
    assert f'reason="Backup {second.name}: its manifest cannot be read' in line
    # Somebody mends it, and it can be restored with its files.
    path.write_bytes(whole)
    unreadable.clear()
    site.restore(at=second.name, move_aside=True)
    assert (site.files / sha256[:2] / sha256).read_bytes() == b"a picture"


def test_a_good_backup_that_cannot_be_noted_is_called_good(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(status, "_write", refuse)
    code, line = fails("create")
    (name,) = site.names()
    assert code == 1
    assert line == (
        f"Backup {name} is stored and good, but {site.data_dir}/backup-status.json, "
        "which says so, cannot be written: No space left on device. Make room on the "
        "disk, or see to its permissions."
    )
    command("verify")


def test_one_backup_at_a_time(site: Site) -> None:
    lock = locks.acquire(site.data_dir / "backup.lock")
    assert lock is not None
    code, line = fails("create")
    assert (code, line.startswith("Another backup or restore")) == (3, True)
    os.close(lock)
    # What a killed one has left does not stay.
    site.work().mkdir()
    (site.work() / "database").write_bytes(b"x")
    site.back_up()


def test_what_was_called_off_is_cleared_by_the_next_writer(
    site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP = False
    clear, cleared = workplace.clear, list[bool]()

    def observed() -> bool:
        cleared.append(clear())
        return cleared[-1]

    monkeypatch.setattr(workplace, "clear", observed)
    lock = locks.acquire(site.data_dir / "backup.lock")
    assert lock is not None
    site.work().mkdir()
    (site.work() / "database").write_bytes(b"x")
    # One that is at work is left alone, and may be the one that is just ending.
    with running(schedule.run):
        wait_until(lambda: cleared, 10)
        assert not any(cleared)
        assert (site.work() / "database").exists()
        os.close(lock)
        wait_until(lambda: not site.work().exists(), 10)
    lock = locks.acquire(site.data_dir / "backup.lock")
    assert lock is not None
    os.close(lock)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Put a filesystem of *size* at *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", folder],
        check=True,
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk")


def fatten(site: Site, size: int) -> None:
    with contextlib.closing(sqlite3.connect(site.database)) as raw, raw:
        raw.execute("CREATE TABLE fat (b BLOB)")
        raw.executemany(
            "INSERT INTO fat VALUES (?)",
            [(os.urandom(1 << 16),) for _ in range(size >> 16)],
        )


def test_what_a_killed_try_left_goes_with_its_backup(tmp_path: Path) -> None:
    store = DirectoryStorage(tmp_path)

    class Endless(File):  # type: ignore[type-arg] # not to be subscripted at run time
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            yield b"half"
            os.kill(os.getpid(), signal.SIGKILL)

    def save() -> None:
        store.save("site/one/database.zst", Endless(io.BytesIO(b"half")))

    assert run_in_child(save) == -signal.SIGKILL
    (left,) = tmp_path.rglob("*.part")
    store.delete("site/one/database.zst")
    assert not left.parent.exists()


@needs_root
def test_a_full_store_costs_that_backup_and_no_other(site: Site) -> None:
    with small_disk(site.store, "1m"):
        good = site.back_up()
        fatten(site, 2 << 20)
        code, line = fails("create")
        assert code == 1
        assert "cannot be written: [Errno 28] No space left on device" in line
        command("verify", "--at", good.name)
        assert not site.stored("**/*.part")
        assert Backup().age == "0 min"
        noted = status.read(site.data_dir / "backup-status.json")
        assert (noted.name, noted.reason) == (good.name, line)


@needs_root
def test_a_restore_elsewhere_and_a_drill_see_to_the_room_first(
    site: Site, tmp_path: Path, settings: Any
) -> None:
    site.add_file(os.urandom(2 << 20))
    fatten(site, 2 << 20)
    site.back_up()
    disk = tmp_path / "disk"
    with small_disk(disk, "18m"):  # 16 of them are the margin
        code, line = fails("restore", "--into", str(disk))
        assert (code, line.startswith(f"{disk} has 18 MB left, and ")) == (1, True)
        assert [*disk.iterdir()] == []
        settings.LIFECYCLE_DATA_DIR = disk
    # The database is there once: with it and the files 20.5 MB are needed.
    with small_disk(disk, "21m"):
        (disk / "site-id").write_text((site.data_dir / "site-id").read_text())
        command("drill")
    with small_disk(disk, "19m"):
        (disk / "site-id").write_text((site.data_dir / "site-id").read_text())
        code, line = fails("drill")
        assert code == 1
        assert line.startswith(f"{disk / 'backup-work' / 'drill'} has 16 MB left, and ")


@needs_root
def test_a_restore_sees_to_the_room_for_its_files_first(
    site: Site, tmp_path: Path, settings: Any
) -> None:
    site.add_file(os.urandom(1 << 20))
    gone = site.add_file(os.urandom(2 << 20))
    site.back_up()
    disk = tmp_path / "disk"
    with small_disk(disk, "20m"):  # 16 of them are the margin
        shutil.copytree(site.files, disk / "files")
        path = disk / "files" / gone[:2] / gone
        settings.LIFECYCLE_BACKUP_TREES = {"files": disk / "files"}
        shutil.rmtree(path.parent)
        # What is there already needs no room; the other one has none.
        (disk / "else").write_bytes(bytes(2 << 20))
        before = site.words()
        code, line = fails("restore", "--move-aside")
        assert code == 1
        assert line == (
            f"{disk / 'files'} has 17 MB left, and what is restored into it needs 18 MB. "
            "Make room on the disk."
        )
        assert (path.exists(), site.words()) == (False, before)
        (disk / "else").unlink()
        command("restore", "--move-aside")
        assert path.exists()


@pytest.mark.parametrize("exists", [True, False])
def test_a_restore_elsewhere_that_fails_half_way_leaves_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    one, two = site.add_file(b"one"), site.add_file(b"two")
    site.back_up()
    into = tmp_path / "some" / "where"
    into.parent.mkdir()
    (into.parent / "else").write_bytes(b"x")
    code, line = fails("restore", "--into", str(into.parent / "else"))
    assert (code, "else cannot be written: Not a directory" in line) == (1, True)
    if exists:
        into.mkdir()
    there = into if exists else into / "deep"
    get, move = Store.get_file, shutil.move

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(there))

    def get_one(store: Store, id_: str, sha256: str, target: Path) -> None:
        if sha256 == max(one, two):  # they come in order
            assert list(there.rglob(min(one, two)))
            refuse()
        get(store, id_, sha256, target)

    def move_half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        refuse()

    def leaves_nothing() -> None:
        code, line = fails("restore", "--into", str(there))
        assert code == 1
        assert line.startswith(f"{there} cannot be written: No space left on device.")
        left = [into.parent / "else", *([into] if exists else [])]
        assert sorted(tmp_path.glob("some/**/*")) == left

    monkeypatch.setattr(Store, "get_file", get_one)
    leaves_nothing()
    monkeypatch.setattr(Store, "get_file", get)
    monkeypatch.setattr(shutil, "move", move_half)
    leaves_nothing()
    monkeypatch.setattr(shutil, "move", move)
    # What somebody else has put there meanwhile is not touched.
    fetch = restoring.fetch

    def fetch_slowly(*arguments: Any) -> restoring.Listed:
        (there / "files").mkdir(parents=True)
        return fetch(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "fetch", fetch_slowly)
        code, line = fails("restore", "--into", str(there))
    assert (code, f"{there} is not empty" in line) == (3, True)
    (there / "files").rmdir()
    command("restore", "--into", str(there))
    assert site.words(there / site.database.name) == ["first"]
    assert len([path for path in there.rglob("*") if path.is_file()]) == 4


def test_a_drill_leaves_that_of_another_one_alone(site: Site) -> None:
    site.back_up()
    lock = locks.acquire(site.data_dir / "backup.lock")
    assert lock is not None
    for folder in (site.work(), site.data_dir / "backup-drill"):
        folder.mkdir()
    code, _ = fails("drill")
    assert (code, site.work().exists()) == (3, True)
    assert (site.data_dir / "backup-drill").exists()
    os.close(lock)
    site.work().rmdir()


@needs_root
def test_a_full_disk_costs_that_backup_or_restore_and_no_other(
    site: Site, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fatten(site, 2 << 20)
    site.back_up()
    disk = tmp_path / "disk"
    with small_disk(disk, "3m"):
        (disk / "site-id").write_text((site.data_dir / "site-id").read_text())
        settings.LIFECYCLE_DATA_DIR = disk
        # It is told before anything is written: the database needs the rest.
        for action in ("create", "verify"):
            code, line = fails(action)
            assert code == 1
            assert line.startswith(f"{disk / 'backup-work'} has 2 MB left, and ")
        # And if somebody else fills the disk meanwhile:
        monkeypatch.setattr("lifecycle.backup.workplace._MARGIN", -(1 << 30))
        (disk / "else").write_bytes(bytes(2 << 20))
        code, line = fails("create")
        assert (code, "database or disk is full" in line) == (1, True)
        database, settings.LIFECYCLE_DATABASE = site.database, disk / "x.sqlite3"
        code, line = fails("restore")
        assert code == 1
        assert line.startswith(
            f"{disk / 'backup-work'} cannot be written: No space left on device."
        )
        assert sorted(path.name for path in disk.iterdir()) == [
            "backup-status.json",
            "backup.lock",
            "else",
            "site-id",
            "writer.lock",
        ]
    settings.LIFECYCLE_DATABASE = database
    settings.LIFECYCLE_DATA_DIR = site.data_dir
    command("verify")


def test_the_schedule_waits_for_its_time_and_then_doubles(
    site: Site, settings: Any
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_INTERVAL = 1000.0
    assert schedule._seconds_to_next(0) <= 50
    site.back_up()
    assert 940 <= schedule._seconds_to_next(0) <= 1050
    assert 28 <= schedule._seconds_to_next(1) <= 30
    assert 57 <= schedule._seconds_to_next(2) <= 60
    assert 950 <= schedule._seconds_to_next(99) <= 1000
    path = site.data_dir / "backup-status.json"
    path.write_text(json.dumps({"name": "x", "at": time.time() + 1e6}))
    assert schedule._seconds_to_next(0) <= 1050


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -9 $$", "The backup was killed by signal 9: see to the memory."),
        (
            "exit 1",
            "The backup ended with exit code 1: the lines before this one in the log "
            "say why.",
        ),
    ],
)
def test_the_schedule_notes_a_failure_that_the_backup_could_not(
    site: Site,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: str,
    reason: str,
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_INTERVAL = 0.01
    monkeypatch.setattr(schedule, "django_command", lambda *_: ["sh", "-c", script])
    with running(schedule.run):
        wait_until(lambda: caplog.text.count("event=backup_failed") > 1, 20)
    assert f'event=backup_failed reason="{reason}"' in caplog.text
    noted = status.read(site.data_dir / "backup-status.json")
    assert (noted.at, noted.reason) == (0, reason)
    assert 0 < noted.begun_at < noted.failed_at
    # The first start counts, however often one starts again.
    status.note_begun(site.data_dir / "backup-status.json")
    assert status.read(site.data_dir / "backup-status.json") == noted
    made = site.back_up()
    assert status.read(site.data_dir / "backup-status.json") == status.Status(
        made.name, made.created_at
    )


@pytest.mark.parametrize(
    ("after", "code", "lines"),
    [
        # It has said so itself.
        (status.Status("x", 1.0, failed_at=3.0, reason="full"), 1, 0),
        # Another one is at work.
        (status.Status("x", 1.0, failed_at=2.0, reason="old"), 3, 0),
        # Good, and killed while it cleared up.
        (status.Status("y", 2.0), -9, 1),
    ],
)
def test_what_a_backup_has_noted_stays(
    site: Site,
    caplog: pytest.LogCaptureFixture,
    after: status.Status,
    code: int,
    lines: int,
) -> None:
    path = site.data_dir / "backup-status.json"
    path.write_text(json.dumps(dataclasses.asdict(after)))
    before = status.Status("x", 1.0, failed_at=2.0, reason="old")
    schedule._say_what_it_did_not(code, before)
    assert status.read(path) == after
    assert caplog.text.count("event=backup_failed") == lines


def test_the_health_check_tells_the_age_of_the_last_good_one(
    site: Site, settings: Any
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_INTERVAL = 60.0
    path = site.data_dir / "backup-status.json"

    def says(**found: Any) -> tuple[str, str]:
        path.write_text(json.dumps(found))
        check = Backup()
        try:
            check.run()
        except Exception as exc:  # noqa: BLE001 - the library's, untyped
            return repr(check), str(exc)
        return repr(check), ""

    now = time.time()
    assert says() == ("Backup(age='none yet')", "")
    assert says(begun_at=now - 125) == ("Backup(age='none yet')", "")
    assert says(begun_at=now - 185, failed_at=now) == (
        "Backup(age='none yet')",
        "Unavailable: no backup has been good in 3 min",
    )
    assert says(at=now - 125) == ("Backup(age='2 min')", "")
    assert says(at=now - 185) == (
        "Backup(age='3 min')",
        "Unavailable: the last good backup is 3 min old",
    )
    assert says(at=now - 125, failed_at=now, reason="secret words") == (
        "Backup(age='2 min')",
        "Warning: the last attempt failed; the last good backup: 2 min",
    )
    settings.LIFECYCLE_SIMPLE_BACKUP = False
    assert says(at=1.0) == ("Backup(age='off')", "")


def test_the_command_lists_and_drills(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    command("list")
    assert capsys.readouterr().out == f"No backup in {site.store}.\n"
    site.add_file(b"a picture")
    command("--json", "create")
    made = json.loads(capsys.readouterr().out)
    site.write("second")
    command("list", "--json")
    assert json.loads(capsys.readouterr().out) == [{**made, "problem": ""}]
    command("list")
    assert capsys.readouterr().out.endswith("1 files  command\n")
    command("drill", "--json")
    drilled = json.loads(capsys.readouterr().out)
    counts = {
        each["what"]: (each["restored"], each["live"]) for each in drilled["counts"]
    }
    assert counts["words"] == (1, 2)
    assert counts["files/"] == (1, 1)
    assert drilled["name"] == made["name"]
    command("drill")
    assert "words" in capsys.readouterr().out
    assert not site.work().exists()
    (site.data_dir / "other" / "x").mkdir(parents=True)
    code, _ = fails("restore", "--into", str(site.data_dir / "other"))
    assert code == 3
    command("restore", "--into", str(site.data_dir / "elsewhere"))
    assert site.words(site.data_dir / "elsewhere" / site.database.name) == ["first"]
    assert site.words() == ["first", "second"]


def test_a_new_data_directory_begins_with_a_backup(site: Site) -> None:
    assert restoring.restore_at_start(silent) is None
    made = site.back_up()
    site.lose()
    (site.data_dir / "site-id").unlink()
    told: list[tuple[str, int, int]] = []
    restored = restoring.restore_at_start(lambda *one: told.append(one))
    assert restored is not None
    size = made.database.size
    assert (f"fetch {made.name}", size, size) in told
    assert (f"check {made.name}", 0, 0) in told
    assert restored.manifest == made
    assert (site.data_dir / "site-id").read_text().strip() == made.site
    # With nothing but damaged ones the start stops: an empty site would be next.
    site.lose()
    damage(next(site.store.glob("*/*/database.zst")), cut)
    with pytest.raises(BackupError, match="verifies"):
        restoring.restore_at_start(silent)
    assert not site.database.exists()


def test_a_list_that_leads_out_of_its_folder_is_refused(site: Site) -> None:
    made = site.back_up()
    for path in ("../../x", "/x", "a/../../x"):
        listed = site.data_dir / "list"
        listed.write_text(json.dumps({"files": {path: "0" * 64}}))
        packed = site.data_dir / "packed"
        forged = dataclasses.replace(made, files=packing.pack(listed, packed))
        store = Store()
        store.put_list(made.site, made.name, packed)
        store.put_manifest(forged, packed)
        with pytest.raises(BackupError, match="lists a file that cannot be"):
            site.restore(move_aside=True)
    assert site.words() == ["first"]


def test_pruning_without_a_backup_does_nothing(site: Site) -> None:
    command("prune")
    assert pruning.Plan(Store(), "0123456789abcdef").names == []
