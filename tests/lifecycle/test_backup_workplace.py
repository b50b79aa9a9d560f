"""One backup, restore or drill at a time, and what a killed one leaves."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files import File

from lifecycle import locks
from lifecycle.backup import schedule, workplace
from lifecycle.backup.directory import DirectoryStorage
from tests.lifecycle.backups import Site, fails
from tests.lifecycle.children import run_in_child
from tests.processes import running, wait_until


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
