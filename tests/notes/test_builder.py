"""The builder: one makes the Site, the others are told; and what if it does not."""

from __future__ import annotations

import contextlib
import datetime
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from notes import builder as building
from notes import following, looking, sharing
from notes import site as sites
from notes.builder import Builder, prepare
from notes.following import Follower
from notes.loading import load_changes
from notes.looking import catch_up
from notes.models import Change, Note
from notes.sharing import Door, Subscription, SubscriptionLostError
from notes.site import Site
from tests.notes.sites import NOON

pytestmark = pytest.mark.django_db(transaction=True)


def _elsewhere(do: Callable[[], object]) -> None:
    """Write through another connection: one is blind to what it wrote itself."""

    def run() -> None:
        try:
            do()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def _write(**texts: str) -> int:
    """Write notes, whose names lack '.md', as another process does."""
    found: list[int] = []

    def write() -> None:
        changes = load_changes(0)
        last = changes.sequence if changes is not None else 0
        found.append(last + 1)
        for name, text in texts.items():
            Note.objects.update_or_create(
                path=f"{name}.md",
                defaults={
                    "source": text,
                    "content_hash": text[:99],
                    "modified_at": NOON,
                },
            )
            Change.objects.create(sequence=last + 1, path=f"{name}.md")

    _elsewhere(write)
    return found[0]


@pytest.fixture
def base() -> Iterator[Site]:
    """The Site that the master has: it is in every process."""
    _write(a="first", b="[[a]]", c="never changed")
    before = sites.current()
    site = catch_up(None)
    sites.publish(site)
    yield site
    sites.publish(before)


@pytest.fixture
def door(base: Site) -> Iterator[Door]:
    door = Door.make(base)
    sharing.open_door(door)
    yield door
    sharing.open_door(None)


@contextlib.contextmanager
def _running(door: Door, interval: float = 0.01) -> Iterator[Builder]:
    """Run a builder inside; at the end it is as if it had been killed."""
    stop = threading.Event()
    one = Builder(door, interval)

    def run() -> None:
        try:
            while not stop.is_set():
                one.step()
        finally:
            one.close()
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield one
    finally:
        stop.set()
        with contextlib.closing(door.subscribe()) as caller:
            caller.ask(2**40)  # it may be waiting
            thread.join()


@pytest.fixture
def builder(door: Door) -> Iterator[Builder]:
    """A builder that works when it is told to: by `step`."""
    one = Builder(door, interval=0.0)
    yield one
    one.close()


@pytest.fixture
def subscribe(door: Door) -> Iterator[Callable[[], Subscription]]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(door.subscribe()))


@pytest.fixture
def follower() -> Iterator[Follower]:
    made = Follower(interval=0.01)
    yield made
    made.stop()


def _text(path: str) -> str:
    site = sites.current()
    assert site is not None
    page = site.pages.get(path)
    return "" if page is None else page.body.decode()


def _wait_until(predicate: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.005)


def _advance(builder: Builder, *all_of_them: Subscription) -> None:
    """Have *builder* look, and each of *all_of_them* hear of it."""
    builder.step()
    for one in all_of_them:
        one.receive(5)


def _receive(builder: Builder, one: Subscription) -> None:
    """Have *one* receive a frame that is too large to be sent in one go."""
    before = one.site
    reader = threading.Thread(target=lambda: one.receive(20))
    reader.start()
    while reader.is_alive():
        builder.step()
    assert one.site is not before


def test_all_are_told_of_what_one_builds(
    base: Site, builder: Builder, subscribe: Callable[[], Subscription]
) -> None:
    one, other = subscribe(), subscribe()
    builder.step()  # it hears of them
    _advance(builder, one, other)
    assert one.site is other.site is base
    for text in ("second", "third"):
        # In a folder: at the top it would be what comes after c.
        _write(a=text, **{"x/new": text})
        _advance(builder, one, other)
        for told in (one, other):
            assert told.site.is_equal_to(catch_up(None))
            assert text.encode() in told.site.pages["/a"].body
            assert told.site.pages["/c"] is base.pages["/c"]
    late = subscribe()
    builder.step()
    _advance(builder, late)
    assert late.site.is_equal_to(one.site)
    assert late.site.sequence == one.site.sequence == 3


def test_a_note_is_published_at_its_date_without_a_write(
    base: Site,
    builder: Builder,
    subscribe: Callable[[], Subscription],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [NOON]
    monkeypatch.setattr(timezone, "now", lambda: now[0])
    one = subscribe()
    builder.step()
    _advance(builder, one)
    _write(later="---\ndate: 2026-03-01 12:30\n---\nthen", a="[[later]]")
    _advance(builder, one)
    assert "/later" not in one.site.pages
    assert b'class="unresolved"' in one.site.pages["/a"].body
    held = one.site
    now[0] += datetime.timedelta(minutes=29, seconds=59)
    builder.step()
    assert catch_up(held) is held
    now[0] += datetime.timedelta(seconds=1)
    _advance(builder, one)
    assert b"then" in one.site.pages["/later"].body
    assert b'href="/later"' in one.site.pages["/a"].body
    assert one.site.sequence == held.sequence
    # And so it is for who looks for itself, or begins only now.
    assert one.site.is_equal_to(catch_up(held))
    assert one.site.is_equal_to(catch_up(None))


def test_who_reads_slowly_keeps_nobody_waiting_and_misses_nothing(
    builder: Builder,
    subscribe: Callable[[], Subscription],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(building, "SIGN_OF_LIFE_INTERVAL", 3600)
    slow, quick = subscribe(), subscribe()
    builder.step()
    _advance(builder, slow, quick)
    for number in range(3):
        # More than a socket takes.
        _write(a=" ".join(str(number + n) for n in range(60_000)))
        _receive(builder, quick)
    frames = 0
    while slow.site.sequence < quick.site.sequence:
        _receive(builder, slow)
        frames += 1
    assert frames == 2  # what was on its way, and all the rest
    assert slow.site.is_equal_to(quick.site)


def test_a_build_keeps_nobody_who_comes_waiting(
    builder: Builder,
    subscribe: Callable[[], Subscription],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _write(a="second")
    builder.step()
    came: list[Subscription] = []

    def slow(site: Any, crew: Any) -> Any:
        came.append(subscribe())
        for _ in range(2):
            crew.report(1, 2, "notes")
        came[0].receive(5)
        return catch_up(site, crew)

    monkeypatch.setattr(looking, "catch_up", slow)
    _write(a="third")
    builder.step()
    assert b"second" in came[0].site.pages["/a"].body
    came[0].receive(5)
    assert b"third" in came[0].site.pages["/a"].body


def test_a_builder_that_cannot_look_goes_on_and_offers_nothing_old(
    builder: Builder,
    subscribe: Callable[[], Subscription],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(building, "SIGN_OF_LIFE_INTERVAL", 0.0)
    one = subscribe()

    def fail(site: Any, crew: Any) -> None:
        raise RuntimeError("a newer schema")

    with monkeypatch.context() as patched:
        patched.setattr(looking, "catch_up", fail)
        builder.step()
        builder.step()
        # What the master has may be months old: who comes looks for itself.
        with pytest.raises(SubscriptionLostError):
            one.receive(0.01)
    other = subscribe()
    builder.step()
    _advance(builder, other)
    with monkeypatch.context() as patched:
        patched.setattr(looking, "catch_up", fail)
        _write(a="second")
        # Signs of life: nobody else could do better.
        _advance(builder, other)
        _advance(builder, other)
        assert other.site.sequence == 1
    builder.step()
    while other.site.sequence == 1:
        other.receive(5)
    assert b"second" in other.site.pages["/a"].body


def test_a_reader_that_waits_has_the_builder_look_at_once(
    door: Door, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 30)
    with _running(door, interval=3600):
        follower.start()
        follower.wait_for_first_look(20)
        for text in ("second", "third"):
            sequence = _write(a=text)
            follower.reach(sequence)
            assert text in _text("/a")
        # Also for what is not there.
        follower.reach(sequence + 1)


@pytest.mark.parametrize(
    ("worked", "took", "share", "rest"),
    [
        (0.01, 0.01, 0.5, 0.01),
        (0.01, 0.01, 0.25, 0.03),
        (0.01, 0.5, 0.25, 0.0),  # others had the processor meanwhile
        (2.0, 2.0, 0.5, building.MAX_REST),
    ],
)
def test_the_builder_rests_for_as_long_as_it_has_worked(
    worked: float, took: float, share: float, rest: float
) -> None:
    assert building.rest_after(worked, took, share) == pytest.approx(rest)


def test_what_comes_while_the_builder_rests_is_built_together(
    builder: Builder,
    subscribe: Callable[[], Subscription],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = subscribe()
    builder.step()
    _advance(builder, one)
    rests: list[float] = []
    serve = builder._serve

    def write_meanwhile(seconds: float, rest: float = 0.0) -> None:
        if rest and not rests:
            for text in ("third", "fourth", "fifth"):
                one.ask(_write(a=text))
            rests.append(time.monotonic())
        serve(seconds, rest)

    monkeypatch.setattr(builder, "_serve", write_meanwhile)
    monkeypatch.setattr(building, "rest_after", lambda *_: 0.05)
    _write(a="second")
    builder.step()
    ended = time.monotonic()
    one.receive(5)
    assert b"second" in one.site.pages["/a"].body
    builder.step()
    one.receive(5)
    assert b"fifth" in one.site.pages["/a"].body
    # It rested, though a reader waited.
    assert ended - rests[0] >= 0.05


def test_a_worker_without_its_builder_works_alone_until_there_is_another(
    door: Door,
    follower: Follower,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refreshed: list[None] = []
    refresh = Follower.refresh

    def count(self: Follower) -> None:
        refreshed.append(None)
        refresh(self)

    monkeypatch.setattr(Follower, "refresh", count)
    with _running(door):
        follower.start()
        _write(a="second")
        _wait_until(lambda: "second" in _text("/a"))
        assert refreshed == []
    # It is not to wait for long now. While there is a builder, its word may take longer.
    monkeypatch.setattr(following, "FIRST_FRAME_TIMEOUT", 0.05)
    _write(a="third")
    _wait_until(lambda: "third" in _text("/a"))
    assert refreshed != []
    _wait_until(lambda: len(refreshed) > 3)
    lost = [text for text in caplog.messages if text.startswith("event=builder_lost")]
    assert lost == ["event=builder_lost reason='the builder has ended'"]
    with _running(door):
        _wait_until(lambda: not follower.is_alone)
        refreshed.clear()
        _write(a="fourth")
        _wait_until(lambda: "fourth" in _text("/a"))
        assert refreshed == []
        site = sites.current()
        assert site is not None
        assert site.is_equal_to(catch_up(None))


def test_a_worker_starts_from_what_is_current(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "START_TIMEOUT", 20)
    _write(a="second")
    with _running(door, interval=3600):
        following.start()
        try:
            assert "second" in _text("/a")
        finally:
            assert following._follower is not None
            following._follower.stop()
            following._follower = None


def test_nobody_behind_the_door_is_an_error_and_not_a_wait(
    subscribe: Callable[[], Subscription],
) -> None:
    with pytest.raises(SubscriptionLostError):  # noqa: PT012 - some of these succeed
        while True:
            subscribe()


@pytest.mark.parametrize(
    "sent", [b"", b"half a head", struct.pack("<QQ", 7, 0) + b"no pick"]
)
def test_what_cannot_be_read_ends_the_subscription(
    base: Site, sent: bytes, recwarn: pytest.WarningsRecorder
) -> None:
    ours, theirs = socket.socketpair()
    with contextlib.closing(Subscription(ours, base)) as one, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(SubscriptionLostError):
            one.receive(5)
        assert one.site is base


def test_the_builder_is_prepared_where_there_is_a_site(base: Site) -> None:
    try:
        assert not sharing.is_open()
        assert callable(prepare())
        assert sharing.is_open()
    finally:
        sharing.open_door(None)
    sites.publish(None)
    with pytest.raises(RuntimeError):
        prepare()
