"""Which backups and files pruning removes from a store, and which stay."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lifecycle.backup import manifest, pruning, status
from lifecycle.backup.directory import DirectoryStorage
from lifecycle.backup.store import Store
from lifecycle.health import Backup
from tests.lifecycle.backups import Site, command, cut, damage, fails, flip


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


def test_pruning_without_a_backup_does_nothing(site: Site) -> None:
    command("prune")
    assert pruning.Plan(Store(), "0123456789abcdef").names == []
