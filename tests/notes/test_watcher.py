"""notes.watcher: the database follows the vault, whatever happens to the vault."""

from __future__ import annotations

import logging
import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import watchfiles
from django.db import OperationalError, connection

from notes import watcher
from notes.exceptions import SyncError
from notes.models import Note
from notes.sync import SyncReport, sync_vault
from notes.vault import open_vault
from tests.notes.trees import write_tree

pytestmark = pytest.mark.django_db(transaction=True)

TIMEOUT = 20.0  # seconds, for what takes well under two


class Watched:
    """A watch in a thread; every sync, and how it ended, comes out in order."""

    def __init__(self) -> None:
        self.syncs: queue.Queue[SyncReport | Exception] = queue.Queue()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=watcher.watch, args=(self.stop,))

    def wait_for(
        self, condition: Callable[[SyncReport | Exception], bool]
    ) -> SyncReport | Exception:
        """Return the next outcome of a sync that meets *condition*."""
        while True:
            outcome = self.syncs.get(timeout=TIMEOUT)
            if condition(outcome):
                return outcome

    def wait_for_paths(self, *paths: str) -> None:
        """Wait for the sync after which these are the notes."""
        self.wait_for(
            lambda _: list(Note.objects.values_list("path", flat=True)) == [*paths]
        )

    def end(self) -> None:
        self.stop.set()
        if self.thread.ident:
            self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()


@pytest.fixture
def vault(tmp_path: Path, settings: Any) -> Path:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    settings.NOTES_VAULT_DIR = tmp_path / "vault"
    settings.NOTES_EXCLUDE = ["Templates/"]
    return write_tree(tmp_path / "vault", {"a.md": "a"})


@pytest.fixture
def watched(vault: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    watched = Watched()

    def sync_and_tell(*args: Any, **kwargs: Any) -> SyncReport:
        try:
            report = sync_vault(*args, **kwargs)
        except Exception as exc:
            watched.syncs.put(exc)
            raise
        watched.syncs.put(report)
        return report

    monkeypatch.setattr(watcher, "sync_vault", sync_and_tell)
    monkeypatch.setattr(watcher, "TICK", 100)
    try:
        yield watched
    finally:
        watched.end()


def test_without_a_vault_it_returns_at_once(settings):
    settings.NOTES_VAULT_DIR = None

    watcher.watch(threading.Event())


def test_the_vault_is_synced_first_and_after_each_change(vault, watched):
    watched.thread.start()
    watched.wait_for_paths("a.md")
    write_tree(vault, {"b.md": "b"})
    watched.wait_for_paths("a.md", "b.md")
    (vault / "a.md").unlink()
    watched.wait_for_paths("b.md")
    write_tree(vault, {"new/deep/c.md": "c"})
    watched.wait_for_paths("b.md", "new/deep/c.md")
    write_tree(vault, {"new/deep/d.md": "d"})
    watched.wait_for_paths("b.md", "new/deep/c.md", "new/deep/d.md")
    (vault / "new").rename(vault / "old")
    watched.wait_for_paths("b.md", "old/deep/c.md", "old/deep/d.md")


def test_a_vault_in_the_data_directory_is_watched_too(vault, watched, settings):
    # As on a machine with one volume, '/data', and the vault in '/data/vault'.
    settings.NOTES_ATTACHMENTS_DIR = vault.parent
    watched.thread.start()
    watched.wait_for_paths("a.md")
    # The sync that begins a watch may have the first of them, and only that.
    write_tree(vault, {"b.md": "b"})
    watched.wait_for_paths("a.md", "b.md")
    write_tree(vault, {"c.md": "c"})
    watched.wait_for_paths("a.md", "b.md", "c.md")


def test_it_ends_soon_after_stop(watched):
    watched.thread.start()
    watched.wait_for_paths("a.md")

    watched.end()


def test_a_sync_under_way_is_given_up_at_stop(vault, watched):
    watched.stop.set()

    watcher.watch(watched.stop)
    assert Note.objects.count() == 0


def test_what_obsidian_writes_for_itself_is_no_reason_to_sync(vault):
    root, own = vault.resolve(), [vault.resolve() / "data"]

    assert watcher._is_ours(root / "a.md", root, own)
    assert watcher._is_ours(root / "folder/x.png", root, own)
    assert not watcher._is_ours(root / ".obsidian/workspace.json", root, own)
    assert not watcher._is_ours(root / "folder/.a.md.swp", root, own)
    assert not watcher._is_ours(root / "_drafts/a.md", root, own)
    assert watcher._is_ours(root / "_site.md", root, own)
    assert not watcher._is_ours(root / "folder/_site.md", root, own)
    assert not watcher._is_ours(root / "data/site.sqlite3-wal", root, own)
    assert not watcher._is_ours(root.parent / "else.md", root, own)


def test_a_change_between_the_first_sync_and_the_watch_is_seen(
    vault, watched, monkeypatch
):
    def change_then_watch(*args, **kwargs):
        write_tree(vault, {"b.md": "b"})
        return watchfiles.watch(*args, **kwargs)

    monkeypatch.setattr(watcher, "watch_files", change_then_watch)
    watched.thread.start()

    watched.wait_for_paths("a.md", "b.md")


def test_a_vault_may_come_go_and_be_replaced(vault, watched, tmp_path):
    shutil.rmtree(vault)
    watched.thread.start()
    watched.wait_for(lambda outcome: isinstance(outcome, SyncError))
    write_tree(vault, {"a.md": "a"})
    watched.wait_for_paths("a.md")
    vault.rename(tmp_path / "moved")
    write_tree(vault, {"b.md": "b"})
    watched.wait_for_paths("b.md")
    write_tree(vault, {"c.md": "c"})
    watched.wait_for_paths("b.md", "c.md")


def test_a_vault_that_is_missing_is_one_line(vault, watched, monkeypatch, caplog):
    shutil.rmtree(vault)
    looks: queue.Queue[Path] = queue.Queue()

    def look(directory):
        looks.put(directory)
        return open_vault(directory)

    monkeypatch.setattr(watcher, "open_vault", look)
    with caplog.at_level(logging.WARNING, "notes.watcher"):
        watched.thread.start()
        for _ in range(3):
            looks.get(timeout=TIMEOUT)

    missing = f"The vault {str(vault)!r} does not exist."
    assert caplog.messages == [f"event=sync_failed vault={vault} reason={missing!r}"]


def test_a_symlink_to_another_release_is_followed(vault, watched, tmp_path, settings):
    write_tree(tmp_path / "release2", {"b.md": "b"})
    current = tmp_path / "current"
    current.symlink_to(vault)
    settings.NOTES_VAULT_DIR = current
    watched.thread.start()
    watched.wait_for_paths("a.md")
    (tmp_path / "next").symlink_to(tmp_path / "release2")
    (tmp_path / "next").replace(current)

    watched.wait_for_paths("b.md")


def test_the_guard_is_a_line_that_says_what_to_run(vault, watched, caplog):
    write_tree(vault, {f"{number:02}.md": "" for number in range(12)})
    with caplog.at_level(logging.WARNING, "notes.watcher"):
        watched.thread.start()
        watched.wait_for(lambda _: Note.objects.count() == 13)
        names = [vault / f"{number:02}.md" for number in range(12)]
        trash = vault / ".trash"
        trash.mkdir()
        for name in names:
            name.rename(trash / name.name)
        watched.wait_for(lambda outcome: isinstance(outcome, SyncError))
        for name in names:
            (trash / name.name).rename(name)
        watched.wait_for(lambda outcome: isinstance(outcome, SyncReport))

    assert Note.objects.count() == 13
    assert len(caplog.messages) >= 1
    assert all("Run sync_vault with --delete" in line for line in caplog.messages)


def test_a_note_that_is_skipped_is_one_line_not_one_a_sync(vault, watched, caplog):
    write_tree(vault, {"bad.md": b"\xff"})
    with caplog.at_level(logging.WARNING, "notes.watcher"):
        watched.thread.start()
        watched.wait_for_paths("a.md")
        write_tree(vault, {"b.md": "b"})
        watched.wait_for_paths("a.md", "b.md")

    assert caplog.messages == [
        "event=note_skipped path='bad.md' reason='not UTF-8 (byte 0xff at offset 0)'"
    ]


@pytest.mark.parametrize("fault", [OperationalError("database is locked"), KeyError()])
def test_a_sync_that_fails_for_another_reason_is_tried_again(
    watched, monkeypatch, caplog, fault
):
    sync_and_tell = vars(watcher)["sync_vault"]
    faults = [fault, fault]

    def fail_twice(*args, **kwargs):
        if faults:
            raise faults.pop()
        return sync_and_tell(*args, **kwargs)

    monkeypatch.setattr(watcher, "sync_vault", fail_twice)
    monkeypatch.setattr(watcher, "RETRY_INTERVAL", 0.1)
    watched.thread.start()

    watched.wait_for_paths("a.md")
    assert faults == []
    assert all("event=sync_failed" in line for line in caplog.messages)
    assert caplog.messages


def test_without_watches_of_the_system_it_polls(watched, vault, monkeypatch):
    def refuse_watches(*args, **kwargs):
        if not kwargs["force_polling"]:
            raise OSError(28, "No space left on device")
        return watchfiles.watch(*args, **kwargs)

    monkeypatch.setattr(watcher, "watch_files", refuse_watches)
    watched.thread.start()
    watched.wait_for_paths("a.md")
    write_tree(vault, {"b.md": "b"})

    watched.wait_for_paths("a.md", "b.md")


def test_it_leaves_no_connection_open(vault, watched, monkeypatch):
    states = []

    class Watch(watcher._Watch):
        def run(self) -> None:
            super().run()
            states.append(connection.connection)

    monkeypatch.setattr(watcher, "_Watch", Watch)
    watched.thread.start()
    watched.wait_for_paths("a.md")
    watched.end()

    assert states == [None]
