"""notes.publishing and notes.sources: what is published, and that drafts end there."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime

import pytest

from notes.models import Attachment, Note
from notes.publishing import is_published
from notes.sources import AttachmentSource, NoteSource, load_sources

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
    ],
)
def test_is_published(properties):
    assert is_published(properties) is True


def test_load_sources_leaves_out_drafts_and_what_cannot_be_read(caplog):
    notes = [
        Note(path=path, source=source, content_hash="c" * 64, modified_at=WHEN)
        for path, source in {
            "a.md": "---\ntitle: A\n---\ntext",
            "b.md": "---\ndraft: true\n---\nsecret",
            "c.md": "---\nsecret: [\n---\nsecret",
            "d.md": "plain",
        }.items()
    ]
    attachment = Attachment(
        path="x.png", content_hash="d" * 64, size=7, modified_at=WHEN
    )

    with caplog.at_level(logging.WARNING, "notes"):
        found = load_sources(notes, [attachment])

    assert found == (
        (
            NoteSource("a.md", {"title": "A"}, "text", "c" * 64, WHEN),
            NoteSource("d.md", {}, "plain", "c" * 64, WHEN),
        ),
        (AttachmentSource("x.png", "d" * 64, 7, WHEN),),
    )
    assert caplog.messages == [
        "event=note_left_out path='c.md' reason='line 3: broken YAML: did not find "
        "expected node content'"
    ]
