"""Which backup is restored, where to, and what stands in its way."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lifecycle import peers
from lifecycle.backup import restoring
from lifecycle.backup.errors import BackupError
from lifecycle.backup.store import Store
from lifecycle.slot import WriterSlot
from tests.lifecycle.backups import Site, command, cut, damage, fails, silent


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
