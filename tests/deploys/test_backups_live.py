"""
Backups of real instances, on a real S3 server, with the real Litestream.

Writes go on, everything is killed, and what was written is restored.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.instance import REPOSITORY, Instance, bare_environ
from bench.stage import Stage
from bench.waiting import listening_socket
from lifecycle.knobs import Address
from tests.deploys.scene import Scene, address_of, free_address, get, wait_gone
from tests.processes import wait_until
from tests.s3 import Bucket, seaweed

pytestmark = pytest.mark.process

S3_CONFIG = REPOSITORY / "deploy" / "litestream" / "s3.yml"
DIRECTORY_CONFIG = REPOSITORY / "deploy" / "litestream" / "directory.yml"
# How much of what was acknowledged may be missing with Litestream, in seconds.
LITESTREAM_LOSS = 2.0 if os.environ.get("SOAK") else 10.0
DEPLOYS = 20 if os.environ.get("SOAK") else 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket on an S3 server."""
    with seaweed(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


@pytest.fixture
def bucket(server: Bucket, tmp_path: Path) -> Bucket:
    """A part of the bucket of the test's own."""
    return server.below(re.sub(r"[^a-z0-9]", "", tmp_path.name))


def manage(
    stage: Stage, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env=bare_environ() | stage.knobs,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


@contextlib.contextmanager
def scene_of(folder: Path, **knobs: str) -> Iterator[Scene]:
    """A stage with *knobs*, the instances on it, and its manual as the vault."""
    folder.mkdir(exist_ok=True)
    with Scene(
        Stage(folder, grace=0.3, timeout=3.0, environ=tuple(knobs.items()))
    ) as scene:
        yield scene


class Load:
    """
    Numbered writes, about a hundred a second, by four clients.

    Attributes:
        acknowledged: number, and when the answer came, of each that was acknowledged.
        refused: what else was answered.
    """

    def __init__(self, address: Address, token: str, rate: float = 100.0) -> None:
        self.acknowledged: dict[int, float] = {}
        self.refused: list[str] = []
        self._address = address
        self._token = token
        self._rate = rate
        self._over = threading.Event()
        self._next = iter(range(1_000_000))
        self._turn = threading.Lock()
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._turn:
                number = next(self._next)
            due = self._began + number / self._rate
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
            # A connection each: what is sent on one that rests may cross its end.
            connection = http.client.HTTPConnection(
                self._address.host, self._address.port, timeout=30
            )
            try:
                connection.request(
                    "PUT",
                    f"/api/notes/load/{number}",
                    f"# Write {number}\n\nSee [[{number - 1}]].\n".encode(),
                    {"Authorization": f"Bearer {self._token}"},
                )
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as exc:
                self.refused.append(type(exc).__name__)
                self._over.wait(0.05)
                continue
            finally:
                connection.close()
            if response.status in {200, 201}:
                self.acknowledged[number] = time.time()
            else:
                self.refused.append(str(response.status))

    def wait_more(self, count: int) -> None:
        """Wait until *count* more writes have been acknowledged."""
        wanted = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= wanted, 60, f"{count} more writes")


def numbers(database: Path) -> set[int]:
    """Return the numbers of the writes that are in *database*, which is sound."""
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = raw.execute("SELECT path FROM notes_note WHERE path LIKE 'load/%'")
        return {int(path.removeprefix("load/").removesuffix(".md")) for (path,) in rows}


def rows(database: Path) -> list[str]:
    """Return all that a site is built from, in order."""
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as raw:
        return [
            line
            for line in raw.iterdump()
            if '"lifecycle_' not in line and "_litestream_" not in line
        ]


def pages(address: Address) -> dict[str, bytes]:
    """Return every page of the site by its path."""
    _, sitemap = get(address, "/sitemap.xml")
    paths = re.findall(r"<loc>https?://[^/<]+([^<]*)</loc>", sitemap.decode())
    found = {}
    for path in sorted(paths):
        response, body = get(address, path or "/")
        assert response.status == 200
        found[path] = body
    return found


def litestreams(data_dir: Path) -> list[int]:
    """Return the pids of the Litestreams that replicate the database in *data_dir*."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            environ = (path / "environ").read_bytes().split(b"\0")
            if words[0].endswith(b"/litestream") and (
                f"DATA_DIR={data_dir}".encode() in environ
            ):
                found.append(int(path.name))
    return found


def kill_all(instance: Instance) -> None:
    """Kill -9 every process of the instance, at once."""
    pids = instance.group_pids()
    instance.send_to_group(signal.SIGKILL)
    wait_gone(pids, 20)


def last_good(scene: Scene) -> str:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((scene.data_dir / "backup-status.json").read_text())
        return str(found["name"])
    return ""


def wait_for_backup(scene: Scene) -> None:
    """Wait until a backup is good that has begun after this moment."""
    # The first may have been under way: the second begins when it has ended.
    for what in ("a backup", "another backup"):
        before = last_good(scene)
        wait_until(functools.partial(_is_newer, scene, before), 90, what)


def _is_newer(scene: Scene, before: str) -> bool:
    return last_good(scene) > before


def test_a_backup_under_writes_is_restored_as_the_site_was(
    tmp_path: Path, bucket: Bucket
) -> None:
    knobs = {
        "SIMPLE_BACKUP": "true",
        "SIMPLE_BACKUP_INTERVAL": "2s",
        "BACKUP_STORAGE": bucket.url,
        **bucket.environ,
    }
    public = free_address()
    with scene_of(tmp_path / "one", **knobs) as scene:
        instance = scene.start(public=public)
        manage(scene.stage, "sync_vault", "docs")
        token = scene.stage.make_token()
        with Load(public, token) as load:
            load.wait_more(50)
            wait_for_backup(scene)
            load.wait_more(50)
            kill_all(instance)
        acknowledged = load.acknowledged
        # The backup that restores is known by its moment, exactly.
        restored_to = tmp_path / "two" / "data"
        with scene_of(tmp_path / "two", **knobs) as other:
            address = free_address()
            again = other.start(public=address, SIMPLE_BACKUP_INTERVAL="1h")
            line = next(
                line
                for line in again.output.splitlines()
                if "event=backup_restored" in line
            )
            name = line.split("name=")[1].split()[0]
            made = json.loads(manage(other.stage, "backup", "list", "--json").stdout)
            manifest = next(each for each in made if each["name"] == name)
            there = numbers(restored_to / "trip2g.sqlite3")
            assert there
            assert there <= set(acknowledged) | {max(acknowledged) + 1}
            early = {
                number
                for number, at in acknowledged.items()
                if at < manifest["created_at"]
            }
            late = {
                number
                for number, at in acknowledged.items()
                if at > manifest["created_at"] + 1.0
            }
            # All that was acknowledged before that moment, and nothing that came after.
            assert early <= there
            assert not late & there
            shown = pages(address)
            attachments = sorted(
                path.name for path in (restored_to / "attachments").glob("*/*")
            )
            again.stop()
        assert attachments == sorted(
            path.name for path in (scene.data_dir / "attachments").glob("*/*")
        )
        assert len(attachments) >= 1
        # The site built from it is the one built from the source at that moment.
        forget(scene.data_dir / "trip2g.sqlite3", numbers_but=there)
        scene.start(public=public, SIMPLE_BACKUP="false")
        assert pages(public) == shown
        assert len(shown) > len(there)


def forget(database: Path, numbers_but: set[int]) -> None:
    """Take out of *database* all writes but these."""
    gone = numbers(database) - numbers_but
    with contextlib.closing(sqlite3.connect(database)) as raw, raw:
        raw.executemany(
            "DELETE FROM notes_note WHERE path = ?",
            [(f"load/{number}.md",) for number in gone],
        )


def test_litestream_loses_two_seconds_at_most(tmp_path: Path, bucket: Bucket) -> None:
    knobs = {
        "LITESTREAM_CONFIG": str(S3_CONFIG),
        "LITESTREAM_BUCKET": bucket.url.split("/")[2],
        "LITESTREAM_PREFIX": bucket.url.split("/", 3)[3],
        "LITESTREAM_ENDPOINT": bucket.endpoint,
        # It fails where this is set, unless it is handed on under another name.
        "AWS_CA_BUNDLE": os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/none.pem"),
        **bucket.environ,
    }
    public = free_address()
    with scene_of(tmp_path / "one", **knobs) as scene:
        instance = scene.start(public=public)
        manage(scene.stage, "sync_vault", "docs")
        token = scene.stage.make_token()
        with Load(public, token) as load:
            load.wait_more(300)
            (replicator,) = litestreams(scene.data_dir)
            killed_at = time.time()
            kill_all(instance)
        # The kernel ended it with the instance.
        wait_gone([replicator], 20)
    with scene_of(tmp_path / "two", **knobs) as other:
        # Litestream does not know these; they never change.
        shutil.copytree(scene.data_dir / "attachments", other.data_dir / "attachments")
        address = free_address()
        again = other.start(public=address)
        there = numbers(other.data_dir / "trip2g.sqlite3")
        assert "event=litestream_restored" in again.output
        shown = pages(address)
    # The site built from it is the one built from the source at that moment.
    forget(scene.data_dir / "trip2g.sqlite3", numbers_but=there)
    with scene_of(tmp_path / "one") as source:
        source.start(public=public)
        assert pages(public) == shown
        assert len(shown) > len(there)
    missing = {
        number: killed_at - at
        for number, at in load.acknowledged.items()
        if number not in there
    }
    assert max(missing.values(), default=0.0) <= LITESTREAM_LOSS
    # One state of the database: nothing is missing that is older than what is there.
    assert there
    assert not missing or min(missing) > max(there) - 8


def deploy(scene: Scene, listener: socket.socket, before: Instance) -> Instance:
    """Start the next instance, then end the one before."""
    instance = scene.start(listener=listener)
    before.stop()
    return instance


def test_deploys_with_backups_on_lose_nothing(tmp_path: Path) -> None:
    knobs = {
        "SIMPLE_BACKUP": "true",
        "SIMPLE_BACKUP_INTERVAL": "1s",
        "SIMPLE_BACKUP_ON_SHUTDOWN": "true",
        "BACKUP_STORAGE": str(tmp_path / "backups"),
    }
    with scene_of(tmp_path, **knobs) as scene, listening_socket() as listener:
        instance = scene.start(listener=listener)
        token = scene.stage.make_token()
        with Load(address_of(listener), token, rate=50) as load:
            for _ in range(DEPLOYS):
                wait_for_backup(scene)
                instance = deploy(scene, listener, instance)
            load.wait_more(20)
        assert load.refused == []
        # It holds the slot to its end: this one makes a last backup.
        before = last_good(scene)
        instance.stop()
        listed = json.loads(manage(scene.stage, "backup", "list", "--json").stdout)
        made = [each for each in listed if not each["problem"]]
        # The schedule, whose interval is a second here, may make one more after it.
        (last,) = [each for each in made[:2] if each["reason"] == "shutdown"]
        assert last["name"] > before
        # A handoff ends a backup that is under way, and its leftovers are no backup.
        called_off = [each["problem"] for each in listed if each["problem"]]
        assert len(called_off) <= DEPLOYS + 1
        assert all("it was never finished" in problem for problem in called_off)
        # Those that gave the slot away made none.
        assert [each["reason"] for each in made].count("shutdown") == 1
        spans = sorted(
            (each["created_at"], each["created_at"] + each["seconds"]) for each in made
        )
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
        assert numbers(scene.stage.database) == set(load.acknowledged)
        into = tmp_path / "into"
        manage(scene.stage, "backup", "restore", "--into", str(into))
        assert rows(into / "trip2g.sqlite3") == rows(scene.stage.database)


class Watch:
    """Looks for Litestreams on a data directory all the time; notes the most at once."""

    def __init__(self, data_dir: Path) -> None:
        self.most = 0
        self.seen: set[int] = set()
        self._data_dir = data_dir
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            found = litestreams(self._data_dir)
            self.most = max(self.most, len(found))
            self.seen.update(found)


def test_litestream_moves_with_the_slot(tmp_path: Path) -> None:
    knobs = {
        "LITESTREAM_CONFIG": str(DIRECTORY_CONFIG),
        "LITESTREAM_DIR": str(tmp_path / "replica"),
    }
    with scene_of(tmp_path, **knobs) as scene, listening_socket() as listener:
        instance = scene.start(listener=listener)
        token = scene.stage.make_token()
        with (
            Watch(scene.data_dir) as watch,
            Load(address_of(listener), token, rate=50) as load,
        ):
            for _ in range(DEPLOYS):
                load.wait_more(20)
                wait_until(lambda: litestreams(scene.data_dir), 30, "a replicator")
                instance = deploy(scene, listener, instance)
            wait_until(lambda: litestreams(scene.data_dir), 30, "a replicator")
            # One that is killed is followed by the next, and by one only.
            (killed,) = litestreams(scene.data_dir)
            os.kill(killed, signal.SIGKILL)
            wait_until(
                lambda: litestreams(scene.data_dir) not in ([], [killed]),
                30,
                "the next replicator",
            )
            # And so is one whose instance is killed, by that of the next instance.
            kill_all(instance)
            instance = scene.start(listener=listener)
            load.wait_more(20)
        assert watch.most == 1
        assert len(watch.seen) >= DEPLOYS + 2
        wait_until(lambda: litestreams(scene.data_dir), 30, "a replicator")
        instance.stop()
        assert litestreams(scene.data_dir) == []
        lost = set(load.acknowledged) - numbers(scene.stage.database)
        assert lost == set()
        # After all of that the replica is what the site was.
        shutil.move(scene.data_dir, tmp_path / "before")
        scene.start(public=free_address())
        there = numbers(scene.stage.database)
        assert there
        assert there == numbers(tmp_path / "before" / "trip2g.sqlite3")
