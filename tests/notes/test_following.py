"""Following: what one process writes, others serve; whatever goes wrong meanwhile."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection, connections
from django.utils import timezone

from notes import following, looking
from notes import site as sites
from notes.following import Follower, ensure_site
from notes.loading import load_changes, load_everything
from notes.looking import catch_up
from notes.models import Attachment, Change, Note
from notes.sync import sync_vault
from tests.notes.sites import NOON
from tests.notes.trees import write_tree

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_site(tmp_path: Path, settings) -> Iterator[None]:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    before = sites.current()
    sites.publish(None)
    yield
    sites.publish(before)


@pytest.fixture
def follower() -> Iterator[Follower]:
    made = Follower(interval=0.01)
    yield made
    made.stop()


def _elsewhere(write: Callable[[], object]) -> None:
    """Write through another connection: one is blind to what it wrote itself."""

    def run() -> None:
        try:
            write()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def _sync(vault: Path, **files: str | bytes | None) -> None:
    """Write *files*, whose names lack '.md', and sync; None removes one."""
    for name, content in files.items():
        if content is None:
            (vault / f"{name}.md").unlink()
        else:
            write_tree(vault, {f"{name}.md": content})
    _elsewhere(lambda: sync_vault(vault, exclude=(), delete=True))


def _page(path: str) -> str:
    site = sites.current()
    assert site is not None
    page = site.pages.get(path)
    return "" if page is None else page.body.decode()


def _wait_until(predicate: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.005)


def test_a_follower_serves_what_is_written(tmp_path: Path, follower: Follower) -> None:
    _sync(tmp_path, a="first", b="[[a]]")
    follower.refresh()
    assert "first" in _page("/a")
    first = sites.current()
    follower.refresh()
    assert sites.current() is first

    follower.start()
    _sync(tmp_path, a="second", c="new")
    _wait_until(lambda: "second" in _page("/a"))
    assert "new" in _page("/c")
    _sync(tmp_path, c=None)
    _wait_until(lambda: not _page("/c"))
    _sync(tmp_path, a="---\ndraft: true\n---\n")
    _wait_until(lambda: not _page("/a"))
    assert 'class="unresolved"' in _page("/b")
    site = sites.current()
    assert site is not None
    assert site.is_equal_to(catch_up(None))


def test_a_note_is_published_at_its_date(
    tmp_path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [NOON]
    monkeypatch.setattr(timezone, "now", lambda: now[0])
    _sync(tmp_path, a="---\ndate: 2026-03-02\n---\nthen", b="[[a]]")
    follower.refresh()
    assert 'class="unresolved"' in _page("/b")
    follower.start()
    now[0] += datetime.timedelta(hours=12)
    _wait_until(lambda: "then" in _page("/a"))
    assert 'href="/a"' in _page("/b")


def test_what_one_connection_saw_is_not_taken_for_what_another_sees(
    tmp_path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two connections may give the same number for different states.
    monkeypatch.setattr(looking, "_data_version", lambda: 1)
    _sync(tmp_path, a="first")
    follower.refresh()
    _sync(tmp_path, a="second")
    follower.start()
    _wait_until(lambda: "second" in _page("/a"))


def test_a_write_that_is_not_of_the_vault_changes_nothing(
    tmp_path: Path, follower: Follower
) -> None:
    _sync(tmp_path, a="text")
    follower.refresh()
    before = sites.current()
    with sqlite3.connect(connection.settings_dict["NAME"]) as other:
        other.execute("CREATE TABLE something (x)")
    follower.refresh()
    assert sites.current() is before


def test_a_follower_that_fails_serves_on_says_so_once_and_recovers(
    tmp_path: Path,
    follower: Follower,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _sync(tmp_path, a="first")
    follower.refresh()
    caplog.set_level("INFO", logger="notes.looking")
    with monkeypatch.context() as patched:

        def fail(site, crew):
            raise RuntimeError("a newer schema")

        patched.setattr(looking, "catch_up", fail)
        _sync(tmp_path, a="second")
        caplog.clear()
        for _ in range(3):
            follower.refresh()
    assert "first" in _page("/a")
    assert caplog.messages == ["event=following_failed"]
    follower.refresh()
    assert "second" in _page("/a")
    assert caplog.messages[-1] == "event=following_again"


def test_a_database_whose_first_migrations_have_not_run_is_waited_for(
    tmp_path: Path, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    """An instance that begins without one has workers before it has tables."""
    sites.publish(catch_up(None))
    caplog.set_level("INFO", logger="notes.looking")
    database = Path(connection.settings_dict["NAME"])
    connections.close_all()
    with contextlib.closing(sqlite3.connect(database)) as other:
        other.execute("ALTER TABLE notes_change RENAME TO notes_change_later")
        try:
            for _ in range(3):
                follower.refresh()
        finally:
            other.execute("ALTER TABLE notes_change_later RENAME TO notes_change")
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("INFO", "event=following_waits reason='no such table: notes_change'")
    ]
    assert [one.exc_info for one in caplog.records] == [None]
    _sync(tmp_path, a="first")
    follower.refresh()
    assert "first" in _page("/a")
    assert caplog.messages[-1] == "event=following_again"


def test_a_log_that_does_not_reach_back_has_everything_read_again(
    tmp_path: Path, follower: Follower
) -> None:
    _sync(tmp_path, a="first", b="second")
    follower.refresh()
    _sync(tmp_path, a="third")
    _sync(tmp_path, b=None)
    _elsewhere(Change.objects.filter(sequence__lt=3).delete)
    assert load_changes(1) is None
    follower.refresh()
    assert "third" in _page("/a")
    assert not _page("/b")


def test_a_sequence_that_went_back_has_everything_read_again(
    tmp_path: Path, follower: Follower
) -> None:
    _sync(tmp_path, a="first")
    _sync(tmp_path, a="second")
    follower.refresh()
    _elsewhere(lambda: Note.objects.update(source="restored"))
    _elsewhere(Change.objects.filter(sequence=2).delete)
    follower.refresh()
    assert "restored" in _page("/a")
    site = sites.current()
    assert site is not None
    assert site.sequence == 1


def test_another_database_in_the_same_place_is_read_from_the_start(
    tmp_path: Path, follower: Follower
) -> None:
    _sync(tmp_path / "vault", a="first")
    follower.refresh()
    Note.objects.update(source="restored")
    connections.close_all()
    database = Path(connection.settings_dict["NAME"])
    restored = tmp_path / "restored.sqlite3"
    shutil.copy(database, restored)
    restored.replace(database)
    follower.refresh()
    assert "restored" in _page("/a")


def test_thousands_of_changes_are_read_at_once() -> None:
    Note.objects.bulk_create(
        Note(path=f"n{n}.md", source="before", content_hash=str(n), modified_at=NOON)
        for n in range(1200)
    )
    Change.objects.create(sequence=1, path="n0.md")
    site = catch_up(None)
    Note.objects.update(source="after")
    Note.objects.filter(path="n1.md").delete()
    Attachment.objects.create(path="p.png", content_hash="x", size=1, modified_at=NOON)
    paths = [*(f"n{n}.md" for n in range(1200)), "p.png"]
    Change.objects.bulk_create(Change(sequence=2, path=path) for path in paths)
    changes = load_changes(1)
    assert changes is not None
    assert (changes.sequence, len(changes.paths)) == (2, 1201)
    assert (len(changes.notes), len(changes.attachments)) == (1199, 1)
    after = catch_up(site)
    assert after.is_equal_to(catch_up(None))
    assert b"after" in after.pages["/n1199"].body


def test_reading_waits_for_no_writer_and_keeps_none_waiting() -> None:
    Change.objects.create(sequence=1, path="a.md")
    other = sqlite3.connect(
        connection.settings_dict["NAME"], isolation_level=None, timeout=0
    )
    try:
        other.execute("BEGIN IMMEDIATE")
        assert load_everything().sequence == 1
        other.execute("COMMIT")
        from notes.loading import _reading

        with _reading():
            assert Change.objects.count() == 1
            other.execute("BEGIN IMMEDIATE")
            other.execute("INSERT INTO notes_change (sequence, path) VALUES (2, 'b')")
            other.execute("COMMIT")
            assert Change.objects.count() == 1
        assert Change.objects.count() == 2
    finally:
        other.close()


def test_a_process_that_nobody_warmed_makes_the_site_and_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "INTERVAL", 0.01)
    _sync(tmp_path, a="first")
    site = ensure_site()
    try:
        assert sites.current() is site
        assert ensure_site() is site
        _sync(tmp_path, a="second")
        _wait_until(lambda: "second" in _page("/a"))
    finally:
        assert following._follower is not None
        following._follower.stop()
        following._follower = None


_FORK = """
import os, sys
import django
django.setup()
from django.db import connections
from notes import following, site
following.start()
connections.close_all()
child = os.fork()
if child == 0:
    first = following._follower is None
    following.start()
    print("child", first, site.current().sequence, following._follower._thread.is_alive(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", following._follower._thread.is_alive())
"""


def test_a_forked_process_follows_by_itself(tmp_path: Path) -> None:
    environ = os.environ | {
        "DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "trip2g_site.settings",
    }
    root = Path(__file__).parents[2]
    for command in (("manage.py", "migrate", "-v0"), ("-c", _FORK)):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=root,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "child True 0 True\nparent True\n"
