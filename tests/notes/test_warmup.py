"""Warmup: the whole Site, before the fork, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from notes import making
from notes import site as sites
from notes.models import Change, Note
from notes.warmup import warm_site
from tests.notes.sites import NOON

pytestmark = pytest.mark.django_db(transaction=True)


class Context:
    processes = 2
    is_nice = False
    check = False

    def __init__(self) -> None:
        self.reports: list[tuple[int, int, str]] = []

    def report(self, done: int, total: int, what: str, /) -> None:
        self.reports.append((done, total, what))

    def prepare_child(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_cache(settings: Any, tmp_path: Path) -> None:
    settings.NOTES_CACHE_DIR = tmp_path / "cache"


@pytest.fixture(autouse=True)
def _no_site() -> Iterator[None]:
    before = sites.current()
    sites.publish(None)
    yield
    sites.publish(before)


@pytest.fixture(autouse=True)
def _notes() -> None:
    Note.objects.bulk_create(
        Note(path=f"n{n}.md", source="#x", content_hash=str(n), modified_at=NOON)
        for n in range(120)
    )
    Note.objects.create(
        path="d.md",
        source="---\ndraft: true\n---\n",
        content_hash="d",
        modified_at=NOON,
    )
    Change.objects.create(sequence=7, path="d.md")


@pytest.mark.parametrize("is_nice", [False, True])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_warm_process_serves_everything(processes: int, is_nice: bool) -> None:
    threads = set(threading.enumerate())
    context = Context()
    context.processes, context.is_nice = processes, is_nice
    figures = warm_site(context)
    site = sites.current()
    assert site is not None
    assert figures == {
        "notes": 120,
        "made": 120,
        "pages": 124,  # and the start page, two of tags, robots.txt
        "pages_made": 124,
        "attachments": 0,
        "bytes": sum(len(page.body) for page in site.pages.values()),
        "sequence": 7,
    }
    assert site.documents.keys() == {"/feed.xml", "/sitemap.xml"}
    assert context.reports[-1] == (120, 120, "pages")
    assert connection.connection is None
    assert set(threading.enumerate()) == threads
    assert multiprocessing.active_children() == []


def test_a_check_names_the_notes_that_cannot_be_rendered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = Context()
    context.check = True
    assert warm_site(context) == []

    Note.objects.create(
        path="f.md", source="$\\foo$", content_hash="f", modified_at=NOON
    )
    assert warm_site(context) == [
        "f.md: formula '\\\\foo' is shown as code: \\foo is not known"
    ]
    Note.objects.filter(path="f.md").delete()

    def render(parsed, vault):
        raise ValueError("no such luck")

    monkeypatch.setattr(making, "render", render)
    problems = warm_site(context)
    paths = sorted(f"n{n}.md" for n in range(120))
    assert problems == [f"{path}: ValueError: no such luck" for path in paths]


def test_a_check_names_the_dates_that_cannot_be_read() -> None:
    for name, date in (
        ("date-a", "2999-12-24 18:30 CET"),
        ("date-b", "12/10/2999"),
        ("date-c", "24.12.2999 8:30"),
        ("date-d", "someday\ndraft: true"),
        ("date-e", ""),
    ):
        Note.objects.create(
            path=f"{name}.md",
            source=f"---\ndate: {date}\n---\n",
            content_hash=name,
            modified_at=NOON,
        )
    context = Context()
    context.check = True
    assert warm_site(context) == [
        "date-a.md: date: '2999-12-24 18:30 CET' has no time, as 18:30 or 18:30+01:00, "
        "after its day: the note waits two days longer",
        "date-b.md: date: '12/10/2999' is no date, as 2026-12-24: it keeps nothing back",
    ]
