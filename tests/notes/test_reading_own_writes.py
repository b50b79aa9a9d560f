"""Who wrote reads what was written: a reader's process catches up before it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction

from notes import following, looking
from notes import site as sites
from notes.authoring import put_note
from notes.following import Follower
from notes.models import Change
from notes.serving import Pages
from tests.notes.sites import Client
from tests.processes import wait_until
from trip2g_site.wsgi import application

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_site(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    before = sites.current()
    sites.publish(None)
    yield
    sites.publish(before)


@pytest.fixture
def follower(monkeypatch: pytest.MonkeyPatch) -> Iterator[Follower]:
    """Follow, and look only when asked to."""
    made = Follower(interval=3600)
    made.refresh()
    made.start()
    monkeypatch.setattr(following, "_follower", made)
    yield made
    made.stop()


class Instance:
    """What a worker knows of its instance."""

    sequence = 0


@pytest.fixture
def instance(settings: Any) -> Instance:
    made = Instance()
    settings.NOTES_EXPECTED_SEQUENCE = lambda: made.sequence
    return made


@pytest.fixture
def client(instance: Instance, follower: Follower) -> Client:
    return Client(Pages(application))


def _elsewhere(do: Callable[[], object]) -> None:
    def run() -> None:
        try:
            do()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def _write(path: str, text: str) -> int:
    """Write as another process does; return the sequence."""
    found: list[int] = []

    def put() -> None:
        with transaction.atomic():
            found.append(put_note(path, text.encode()).sequence)

    _elsewhere(put)
    return found[0]


@pytest.mark.parametrize("url", ["/hedgehog", "/feed.xml", "/sitemap.xml", "/Hedgehog"])
def test_what_was_acknowledged_is_read_at_once(
    client: Client, instance: Instance, url: str
) -> None:
    def tells() -> bool:
        reply = client.get(url)
        return "hedgehog" in reply.text + reply.headers.get("Location", "")

    sequence = _write("hedgehog.md", "first")
    # Nobody has been told of it: readers need not wait for it.
    assert not tells()
    instance.sequence = sequence
    assert tells()


def test_readers_wait_together_for_one_site(
    client: Client,
    instance: Instance,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catch_up = looking.catch_up
    asked = threading.Semaphore(0)
    made: list[int] = []

    def slow(site: Any, crew: Any) -> Any:
        for _ in range(8):
            assert asked.acquire(timeout=20)
        after = catch_up(site, crew)
        made.append(after.sequence)
        return after

    def expected() -> int:
        asked.release()
        return instance.sequence

    instance.sequence = _write("a.md", "first")
    monkeypatch.setattr(following, "PATIENCE", 3600)
    monkeypatch.setattr(looking, "catch_up", slow)
    settings.NOTES_EXPECTED_SEQUENCE = expected
    pages = Client(Pages(application))
    bodies: list[bytes] = []
    readers = [
        threading.Thread(target=lambda: bodies.append(pages.get("/a").body))
        for _ in range(8)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert [b"first" in body for body in bodies] == [True] * 8
    assert made == [1]


def test_of_many_readers_some_wait_and_the_others_get_what_is_there(
    instance: Instance, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.NOTES_PATIENT_READERS = 2
    catch_up = looking.catch_up
    may_look = threading.Event()

    def held(site: Any, crew: Any) -> Any:
        assert may_look.wait(20)
        return catch_up(site, crew)

    follower = Follower(interval=3600)
    follower.refresh()
    follower.start()
    monkeypatch.setattr(following, "_follower", follower)
    monkeypatch.setattr(following, "PATIENCE", 3600)
    monkeypatch.setattr(looking, "catch_up", held)
    instance.sequence = _write("a.md", "first")
    pages = Client(Pages(application))
    statuses: list[int] = []
    readers = [
        threading.Thread(target=lambda: statuses.append(pages.get("/a").status))
        for _ in range(5)
    ]
    try:
        for reader in readers:
            reader.start()
        wait_until(lambda: len(statuses) == 3, 20, "those who need not wait")
    finally:
        may_look.set()
        for reader in readers:
            reader.join()
        follower.stop()
    assert statuses == [404, 404, 404, 200, 200]


def test_a_site_that_takes_long_is_waited_for_once(
    client: Client, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 0.05)
    go = threading.Event()
    catch_up = looking.catch_up

    def slow(site: Any, crew: Any) -> Any:
        go.wait(20)
        return catch_up(site, crew)

    instance.sequence = _write("a.md", "first")
    monkeypatch.setattr(looking, "catch_up", slow)
    assert client.get("/a").status == 404
    # From now on nobody waits for it, however long one might.
    monkeypatch.setattr(following, "PATIENCE", 3600)
    instance.sequence = _write("a.md", "second")
    assert client.get("/a").status == 404
    go.set()
    deadline = time.monotonic() + 20
    while b"second" not in client.get("/a").body:
        assert time.monotonic() < deadline, "waited in vain"
    # And a later one is waited for again.
    instance.sequence = _write("a.md", "third")
    assert b"third" in client.get("/a").body


def test_what_is_not_there_is_looked_for_once(
    client: Client, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older database was restored, or a newer one cannot be read."""
    monkeypatch.setattr(following, "PATIENCE", 3600)
    looks: list[None] = []
    refresh = Follower.refresh

    def count(follower: Follower) -> None:
        looks.append(None)
        refresh(follower)

    monkeypatch.setattr(Follower, "refresh", count)
    instance.sequence = 100
    for _ in range(5):
        assert client.get("/a").status == 404
    assert len(looks) == 1


def test_a_look_that_fails_keeps_no_reader_waiting(
    client: Client, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 3600)
    instance.sequence = _write("a.md", "first")
    with monkeypatch.context() as patched:

        def fail(site: Any, crew: Any) -> None:
            raise RuntimeError("a newer schema")

        patched.setattr(looking, "catch_up", fail)
        assert client.get("/a").status == 404
    instance.sequence = _write("a.md", "second")
    assert b"second" in client.get("/a").body


def test_a_process_that_does_not_follow_answers_all_the_same(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_follower", None)
    sites.publish(looking.catch_up(None))
    instance.sequence = _write("a.md", "first")
    assert Client(Pages(application)).get("/a").status == 404
    assert Change.objects.count() == 1
