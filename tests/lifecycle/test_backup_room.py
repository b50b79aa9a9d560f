"""Backups, restores and drills where a disk is full, or soon would be."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.backup import status
from lifecycle.health import Backup
from tests.lifecycle.backups import Site, command, fails


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
