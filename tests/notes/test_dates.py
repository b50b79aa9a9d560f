"""Dates: the author's word, and where there is none, the file's."""

from __future__ import annotations

import datetime

import pytest

from notes.dates import Dates, changed_at, published_at, read_dates
from tests.notes.sites import NOON, note

DAY = datetime.date(2026, 1, 2)
MIDNIGHT = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("date: 2026-01-02", Dates(created=DAY)),
        ("created: 2026-01-02 23:59:59", Dates(created=DAY)),
        ("date created: '2026-01-02T08:00'", Dates(created=DAY)),
        ("published: 2026-01-02", Dates(created=DAY)),
        ("updated: 2026-01-02", Dates(updated=DAY)),
        ("date modified: 2026-01-02", Dates(updated=DAY)),
        ("date: someday", Dates()),
        ("date: 2026", Dates()),
        ("date: [2026-01-02]", Dates()),
        ("date:", Dates()),
        ("other: 2026-01-02", Dates()),
    ],
)
def test_dates_are_read_in_the_words_of_many(line: str, expected: Dates) -> None:
    made = note("a.md", f"---\n{line}\n---\n")
    assert made is not None
    assert read_dates(made) == expected
    assert published_at(made) == (MIDNIGHT if expected.created else NOON)
    assert changed_at(made) == (MIDNIGHT if expected.updated else NOON)


def test_the_first_date_that_is_one_is_taken() -> None:
    made = note("a.md", "---\ncreated: 2026-01-02\ndate: tomorrow\n---\n")
    assert made is not None
    assert read_dates(made) == Dates(created=DAY)


def test_without_properties_a_note_says_nothing() -> None:
    made = note("a.md", "text")
    assert made is not None
    assert read_dates(made) == Dates()
