"""Backups in a bucket on a real S3 server, which then misbehaves."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from lifecycle import litestream, locks
from lifecycle.backup import creating, restoring, status
from lifecycle.backup.storages import backup_storage
from lifecycle.backup.store import Store
from tests.s3 import BUCKET, Bucket, FaultyProxy, seaweed

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with seaweed(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


@pytest.fixture
def proxy(
    server: Bucket,
    guarded: Path,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[FaultyProxy]:
    """What stands between the site and its bucket; a good backup is there already."""
    made = FaultyProxy(server.below(f"some/{tmp_path.name.replace('_', '-')}"))
    for name, value in made.bucket.environ.items():
        monkeypatch.setenv(name, value)
    # Faults are tried again, with a wait between; here they are on purpose.
    monkeypatch.setattr("lifecycle.backup.bucket._ATTEMPTS", 2)
    monkeypatch.setattr("lifecycle.backup.bucket._READ_TIMEOUT", 1.5)
    settings.STORAGES = {
        "backups": backup_storage(made.bucket.url, made.bucket.environ)
    }
    folder = tmp_path / "files"
    folder.mkdir()
    settings.LIFECYCLE_BACKUP_TREES = {"files": folder}
    (folder / FILE).write_bytes(b"a picture")
    with contextlib.closing(sqlite3.connect(guarded)) as raw, raw:
        raw.execute("CREATE TABLE words (word BLOB)")
        raw.execute("INSERT INTO words VALUES (randomblob(300000))")
    yield made
    made.close()


FILE = "92b2fa58028958317e408bd84ecfa70f5ee35b121991dbc232c49d166353708b"


def silent(what: str, done: int, total: int) -> None:
    pass


def fails(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        call_command("backup", *arguments)
    assert caught.value.returncode == 1
    line = str(caught.value)
    assert "\n" not in line
    return line


def words(database: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(database)) as raw:
        return raw.execute("SELECT * FROM words").fetchall()


def test_a_backup_goes_into_the_bucket_and_comes_back(
    proxy: FaultyProxy, guarded: Path, tmp_path: Path
) -> None:
    made = creating.create("command", silent)
    assert str(Store()) == proxy.bucket.url
    assert proxy.bucket.list_keys() == [
        f"{made.site}/{made.name}/database.zst",
        f"{made.site}/{made.name}/files.json.zst",
        f"{made.site}/{made.name}/manifest.json",
        f"{made.site}/files/{FILE}",
    ]
    before = words(guarded)
    for path in guarded.parent.glob(f"{guarded.name}*"):
        path.unlink()
    (tmp_path / "files" / FILE).unlink()
    with restoring.alone():
        assert restoring.restore(silent).files == 1
    assert words(guarded) == before
    assert (tmp_path / "files" / FILE).read_bytes() == b"a picture"


def test_there_must_be_room_for_the_object_as_well(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = creating.create("command", silent)
    # As if the disk lacked one byte for the object, beside what is in it.
    margin = (1 << 60) - made.database.size - made.database.stored_size
    monkeypatch.setattr("lifecycle.backup.workplace._MARGIN", margin)
    assert f"the backup needs {1 << 40} MB" in fails("verify")


@pytest.mark.parametrize("fault", ["500", "503", "403", "half", "stuck"])
def test_a_server_that_misbehaves_costs_that_backup_and_no_other(
    proxy: FaultyProxy, guarded: Path, fault: str
) -> None:
    good = creating.create("command", silent)
    before, keys = words(guarded), proxy.bucket.list_keys()
    proxy.fault = fault
    line = fails("create")
    assert line.startswith(f"Backup store {proxy.bucket.url} cannot be ")
    assert proxy.hits > 0
    noted = status.read(guarded.parent / "backup-status.json")
    assert (noted.name, noted.reason) == (good.name, line)
    # What was here stays here, whatever a restore meets.
    assert "Backup store" in fails("restore", "--move-aside")
    assert words(guarded) == before
    proxy.fault = ""
    assert [key for key in proxy.bucket.list_keys() if key in keys] == keys
    call_command("backup", "verify", "--at", good.name)


@pytest.mark.parametrize("fault", ["500", "503", "half", "stuck"])
def test_an_upload_that_fails_once_is_tried_again(
    proxy: FaultyProxy, fault: str
) -> None:
    proxy.path_part, proxy.fault, proxy.at_most = "database.zst", fault, 1
    made = creating.create("command", silent)
    assert proxy.hits == 1
    assert f"{made.site}/{made.name}/database.zst" in proxy.bucket.list_keys()
    call_command("backup", "verify", "--at", made.name)


def test_an_upload_that_ends_half_way_leaves_no_object_and_no_part(
    proxy: FaultyProxy, guarded: Path
) -> None:
    with contextlib.closing(sqlite3.connect(guarded)) as raw, raw:
        # More than one part of an upload, however well it is packed.
        raw.execute("INSERT INTO words VALUES (randomblob(10000000))")
    proxy.path_part, proxy.fault = "partNumber=2", "500"
    assert "cannot be written" in fails("create")
    assert proxy.hits == 2  # tried again
    assert proxy.bucket.list_keys() == []
    uploads = proxy.bucket.client.list_multipart_uploads(Bucket=BUCKET)
    assert uploads.get("Uploads", []) == []
    proxy.fault = ""
    call_command("backup", "create")
    call_command("backup", "verify")


@pytest.mark.parametrize("fault", ["500", "403", "half", "stuck"])
def test_an_object_that_cannot_be_had_costs_that_backup_and_no_other(
    proxy: FaultyProxy, guarded: Path, fault: str
) -> None:
    good = creating.create("command", silent)
    before = words(guarded)
    with contextlib.closing(sqlite3.connect(guarded)) as raw, raw:
        raw.execute("INSERT INTO words VALUES (randomblob(300000))")
    bad = creating.create("command", silent)
    proxy.path_part, proxy.fault = f"{bad.name}/database.zst", fault
    assert fails("restore", "--move-aside", "--at", bad.name).startswith(
        f"Backup {bad.name}: database.zst cannot be read: "
    )
    assert proxy.hits > 0
    assert len(words(guarded)) == 2
    with restoring.alone():
        restored = restoring.restore(silent, move_aside=True)
    assert restored.manifest == good
    (line,) = restored.skipped
    assert line.startswith(f"Backup {bad.name}: database.zst cannot be read: ")
    assert words(guarded) == before
    proxy.fault = ""
    call_command("backup", "verify")


def test_a_disk_that_is_full_of_an_object_costs_no_backup(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    creating.create("command", silent)
    bad = creating.create("command", silent)

    class Full(tempfile.SpooledTemporaryFile[bytes]):
        def write(self, content: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "SpooledTemporaryFile", Full)
        # No older one is taken, which may be small enough.
        line = fails("restore", "--move-aside")
    assert line.startswith(
        f"Backup store {proxy.bucket.url} cannot be read: [Errno 28] No space left"
    )
    with restoring.alone():
        assert restoring.restore(silent, move_aside=True).manifest == bad


def test_a_slow_server_is_waited_for(proxy: FaultyProxy) -> None:
    proxy.path_part = "database.zst"
    proxy.fault = "slow"
    made = creating.create("command", silent)
    assert proxy.hits >= 2  # written, and read back
    assert made.seconds > 1  # a second before the answer to the upload
    proxy.fault = ""
    call_command("backup", "verify")


def test_an_upload_that_arrives_changed_is_no_backup(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = creating.create("command", silent)
    put = Store.put_database

    def put_and_change(store: Store, site: str, name: str, packed: Path) -> None:
        put(store, site, name, packed)
        prefix = proxy.bucket.url.removeprefix(f"s3://{BUCKET}/")
        where = {"Bucket": BUCKET, "Key": f"{prefix}/{site}/{name}/database.zst"}
        body = bytearray(proxy.bucket.client.get_object(**where)["Body"].read())
        body[len(body) // 2] ^= 1
        proxy.bucket.client.put_object(**where, Body=bytes(body))

    monkeypatch.setattr(Store, "put_database", put_and_change)
    assert "another checksum than what was stored" in fails("create")
    finished = [
        key for key in proxy.bucket.list_keys() if key.endswith("manifest.json")
    ]
    assert finished == [f"{good.site}/{good.name}/manifest.json"]


@pytest.mark.parametrize("fault", ["403", "stuck"])
def test_a_last_upload_of_litestream_that_fails_is_left_to_the_next_one(
    proxy: FaultyProxy,
    guarded: Path,
    tmp_path: Path,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    caplog.set_level("INFO")
    config, restored = tmp_path / "litestream.yml", tmp_path / "restored"
    prefix = proxy.bucket.url.removeprefix(f"s3://{BUCKET}/")
    config.write_text(
        f"dbs:\n  - path: {guarded}\n    replica:\n      type: s3\n"
        f"      bucket: {BUCKET}\n      path: {prefix}\n      region: us-east-1\n"
        f"      endpoint: {proxy.bucket.endpoint}\n      force-path-style: true\n"
    )
    settings.LIFECYCLE_LITESTREAM_CONFIG = config
    command = [litestream.program(), "replicate", "-config", str(config)]
    proxy.fault, seconds = fault, 3.0
    while not proxy.hits:  # it has to come so far
        litestream._upload(command, seconds)
        seconds *= 2
    assert "event=litestream_not_uploaded" in caplog.text
    assert "event=litestream_uploaded" not in caplog.text
    # It is gone, with its lock, and the next one does it all.
    assert not locks.is_locked(guarded.parent / "litestream.lock")
    proxy.fault = ""
    litestream._upload(command, 60.0)
    assert "event=litestream_uploaded" in caplog.text
    subprocess.run(
        [command[0], "restore", "-config", config, "-o", restored, guarded],
        env=litestream.environ(),
        check=True,
        capture_output=True,
    )
    assert words(restored) == words(guarded)
