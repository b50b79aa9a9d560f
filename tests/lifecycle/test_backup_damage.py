"""Backups that are damaged or cannot be read: passed over, named, nothing lost."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lifecycle.backup import packing, restoring
from lifecycle.backup.directory import DirectoryStorage
from lifecycle.backup.errors import BackupError
from lifecycle.backup.store import Store
from tests.lifecycle.backups import Site, command, cut, damage, fails, flip, silent


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
