"""What is told of a database that cannot be served."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle import database
from tests.lifecycle.children import run_in_child

MOUNTINFO = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
25 21 0:21 / /proc rw,nosuid - proc proc rw
36 21 0:30 / /srv rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2
37 36 8:2 / /srv/local rw,relatime shared:3 - ext4 /dev/sdb1 rw
38 21 0:31 / /mnt/with\\040space rw - fuse.sshfs host:/ rw
39 21 0:32 / /mnt/twice rw - cifs //host/share rw
40 21 8:3 / /mnt/twice rw - xfs /dev/sdc1 rw
41 21 0:33 / /srvother rw master:4 propagate_from:2 - btrfs /dev/sdd rw
42 21 0:34 / /mnt/données rw - nfs server:/export rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data", "ext4"),
        ("/", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/data/deep", "nfs4"),
        ("/srv/local/data", "ext4"),
        ("/srvother/data", "btrfs"),
        ("/mnt/with space/data", "fuse.sshfs"),
        ("/mnt/with", "ext4"),
        ("/mnt/données/data", "nfs"),
        # Of two mounts on one point the later one is seen.
        ("/mnt/twice/data", "xfs"),
    ],
)
def test_a_filesystem_is_that_of_the_deepest_mount(path: str, kind: str) -> None:
    assert database.filesystem_of(Path(path), MOUNTINFO) == kind


def test_the_filesystem_of_this_machine_is_known() -> None:
    assert database.filesystem_of(Path("/proc/self")) == "proc"


@pytest.fixture
def path(tmp_path: Path, settings: Any) -> Path:
    """Where lifecycle looks for the database."""
    chosen = tmp_path / "x.sqlite3"
    settings.LIFECYCLE_DATABASE = chosen
    return chosen


def refusal() -> str:
    with pytest.raises(database.DatabaseUnfitError) as caught:
        database.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_database_is_fit(path: Path) -> None:
    database.check()
    assert not database.exists()
    path.touch()
    assert not database.exists()
    path.write_bytes(b"x")
    assert database.exists()


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "cifs", "9p"])
def test_a_network_filesystem_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(database, "filesystem_of", lambda folder: kind)
    assert refusal() == (
        f"Database {path} is on a network filesystem ({kind}), where SQLite's WAL "
        "cannot work. Set DATA_DIR to a folder on a local disk."
    )


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    assert refusal() == (
        f"Database {path} cannot be used: file is not a database. "
        "Move it away and restore a backup."
    )


def test_a_database_cut_short_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "".join(f"CREATE TABLE t{i} (a TEXT);" for i in range(200))
        )
    connection.close()
    path.write_bytes(path.read_bytes()[:6000])
    assert refusal() == (
        f"Database {path} cannot be used: database disk image is malformed. "
        "Move it away and restore a backup."
    )


def test_a_database_that_is_locked_is_not_called_broken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody should move a database away that only another program has open."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE t (a)")
    holder.execute("BEGIN EXCLUSIVE")
    real = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda name, **options: real(name, uri=True, timeout=0)
    )
    try:
        assert refusal() == (
            f"Database {path} cannot be used: database is locked. "
            "Another program keeps it locked: end that, then start again."
        )
    finally:
        holder.close()


@pytest.fixture
def shared_folder(settings: Any) -> Iterator[Path]:
    """A folder that other users may enter, with a database that they may read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings.LIFECYCLE_DATA_DIR = folder
        settings.LIFECYCLE_DATABASE = folder / "x.sqlite3"
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize(
    "place", ["", "x.sqlite3", "x.sqlite3-wal", "x.sqlite3-shm", "writer.lock"]
)
def test_a_place_that_this_user_may_not_write_to_is_refused(
    shared_folder: Path, place: str
) -> None:
    """A command that root ran leaves such files."""
    shared_folder.chmod(0o777)
    for name in ("x.sqlite3", "x.sqlite3-wal", "x.sqlite3-shm", "writer.lock"):
        (shared_folder / name).touch()
        (shared_folder / name).chmod(0o666)
    (shared_folder / place).chmod(0o755 if not place else 0o644)

    def check_as_nobody() -> None:
        os.setuid(65534)
        assert refusal() == (
            f"Database {shared_folder / 'x.sqlite3'} cannot be written: no write "
            f"permission on {shared_folder / place}. Give it to user 65534, or set "
            "DATA_DIR to another folder."
        )

    assert run_in_child(check_as_nobody) == 0


def test_what_is_to_be_done_follows_sqlites_own_code(path: Path) -> None:
    for code, remedy in (
        (sqlite3.SQLITE_BUSY, "end that"),
        (sqlite3.SQLITE_BUSY_RECOVERY, "end that"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "permissions"),
        (sqlite3.SQLITE_CANTOPEN, "permissions"),
        (sqlite3.SQLITE_FULL, "Make room"),
        (sqlite3.SQLITE_IOERR_READ, "See to the disk"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "restore a backup"),
        (sqlite3.SQLITE_NOTADB, "restore a backup"),
        (sqlite3.SQLITE_ERROR, "not what this version expects"),
    ):
        error = sqlite3.OperationalError("what happened")
        error.sqlite_errorcode = code
        message = str(database.unfit(error))
        assert message.startswith(f"Database {path} cannot be used: what happened. ")
        assert remedy in message


def test_a_copy_to_rehearse_on_tells_its_progress_and_ends_under_writes(
    guarded: Path,
) -> None:
    def write(statement: str) -> None:
        with contextlib.closing(sqlite3.connect(guarded)) as another:
            another.execute(statement)
            another.commit()

    write("CREATE TABLE weight AS SELECT zeroblob(12 << 20) AS bytes")
    told: list[tuple[int, int]] = []

    def report(done: int, total: int, what: str) -> None:
        if what == "MB copied to rehearse migrations on":
            told.append((done, total))
            # What makes a copy without a transaction begin again.
            write(f"CREATE TABLE late_{len(told)} (number INTEGER)")
            assert len(told) < 20

    copy = guarded.parent / "copy"
    with database.rehearsed(copy, [], report):
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        assert ("weight",) in tables
        assert [name for (name,) in tables if name.startswith("late_")] == []
    assert [done for done, _ in told] == [4, 8, 12, 12]
    assert {total for _, total in told} == {12}
