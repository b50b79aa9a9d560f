"""notes.publishing and notes.sources: what is published, and that drafts end there."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from notes.models import Attachment, Note
from notes.publishing import ALWAYS, is_published, published_from
from notes.sources import (
    AttachmentSource,
    NoteSource,
    Sources,
    load_note,
    load_sources,
)

WHEN = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "properties",
    [
        {"publish": False},
        {"draft": True},
        {"publish": True, "draft": True},
        {"publish": False, "draft": False},
        {"publish": "false"},
        {"publish": " No "},
        {"publish": "OFF"},
        {"publish": 0},
        {"draft": "true"},
        {"draft": "Yes"},
        {"draft": "on"},
        {"draft": 1},
        {"Draft": True},
        {"PUBLISH": False},
    ],
)
def test_is_kept_back(properties):
    assert is_published(properties) is False


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"publish": True},
        {"draft": False},
        {"publish": "true"},
        {"draft": "no"},
        {"draft": 0},
        {"publish": None},
        {"draft": None},
        {"publish": ""},
        {"publish": date(2024, 1, 1)},
        {"publish": ["false"]},
        {"title": "false", "published": False},
        {"date": "someday"},
        {"date": None},
        {"date": "{{date}}"},
        {"created": date(2999, 1, 1), "published": date(2999, 1, 1)},
    ],
)
def test_is_published(properties):
    assert is_published(properties) is True
    assert published_from(properties) == ALWAYS


@pytest.mark.parametrize(
    "properties",
    [
        {"date": date(2999, 1, 2)},
        {"date": datetime(2999, 1, 2)},  # noqa: DTZ001 - as YAML reads it
        {"Date": "2999-01-02"},
        {"date": "2024-01-02", "DATE": "2999-01-02T00:00"},
        {"date": "2.1.2999", "publish": True},
        {"date": "2998-12-31 as soon as it is ready"},
    ],
)
def test_is_published_at_its_date(properties):
    assert is_published(properties) is False
    assert published_from(properties) == datetime(2999, 1, 2, tzinfo=UTC)


def test_a_note_is_published_from_the_very_moment_of_its_date(monkeypatch):
    note = Note(path="a.md", source="---\ndate: 2024-01-02\n---\n", modified_at=WHEN)
    for seconds, found in ((-1, False), (0, True), (1, True)):
        now = WHEN + timedelta(seconds=seconds)
        monkeypatch.setattr(timezone, "now", lambda now=now: now)
        assert (load_note(note) is not None) is found
        assert load_sources([note], []).held == ({} if found else {"a.md": WHEN})


def test_load_sources_leaves_out_drafts_and_what_cannot_be_read(caplog):
    notes = [
        Note(path=path, source=source, content_hash="c" * 64, modified_at=WHEN)
        for path, source in {
            "a.md": "---\ntitle: A\n---\ntext",
            "b.md": "---\ndraft: true\n---\nsecret",
            "c.md": "---\nsecret: [\n---\nsecret",
            "d.md": "plain",
            "e.md": "---\ndate: 2999-01-02\n---\nlater",
            "f.md": "---\ndate: 2999-01-02\ndraft: true\n---\nsecret",
        }.items()
    ]
    attachment = Attachment(
        path="x.png", content_hash="d" * 64, size=7, modified_at=WHEN
    )

    with caplog.at_level(logging.WARNING, "notes"):
        found = load_sources(notes, [attachment])

    assert found == Sources(
        (
            NoteSource("a.md", {"title": "A"}, "text", "c" * 64, WHEN),
            NoteSource("d.md", {}, "plain", "c" * 64, WHEN),
        ),
        (AttachmentSource("x.png", "d" * 64, 7, WHEN),),
        {"e.md": datetime(2999, 1, 2, tzinfo=UTC)},
    )
    assert caplog.messages == [
        "event=note_left_out path='c.md' reason='line 3: broken YAML: did not find "
        "expected node content'"
    ]
