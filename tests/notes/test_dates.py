"""Dates: the author's word, and where there is none, the file's."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from notes.dates import (
    Dates,
    as_moment,
    changed_at,
    not_before,
    published_at,
    read_dates,
)
from tests.notes.sites import NOON, note

DAY = datetime.date(2026, 1, 2)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("date: 2026-01-02", Dates(created=DAY)),
        ("created: 2026-01-02 00:00:00", Dates(created=DAY)),
        ("date created: '2026-01-02T08:00+08:00'", Dates(created=DAY)),
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
    midnight = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert published_at(made) == (midnight if expected.created else NOON)
    assert changed_at(made) == (midnight if expected.updated else NOON)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-07-01", "2026-06-30 22:00"),  # in summer
        ("2026-01-02", "2026-01-01 23:00"),
        ("2026-01-02 08:30", "2026-01-02 07:30"),
        ("2026-01-02 08:30:15", "2026-01-02 07:30:15"),
        ("'2026-01-02T08:30'", "2026-01-02 07:30"),
        ("2026-01-02T08:30:00Z", "2026-01-02 08:30"),
        ("2026-01-02 08:30:00 -05:00", "2026-01-02 13:30"),
        ("'2026-01-02T08:30-05:00'", "2026-01-02 13:30"),
        ("2026-01-02 in the morning", "2026-01-01 23:00"),
        # The hour that there is twice is the first; what there is not is after it.
        ("2026-10-25 02:30", "2026-10-25 00:30"),
        ("2026-03-29 02:30", "2026-03-29 01:30"),
        ("2026-01-02 8:30", "2026-01-02 07:30"),
        ("2026-01-02T8:30+05:00", "2026-01-02 03:30"),
        ("2026-01-02 24:00", "2026-01-02 23:00"),
        ("2026/01/02", "2026-01-01 23:00"),
        ("2026/1/2 18:30", "2026-01-02 17:30"),
        ("02.01.2026", "2026-01-01 23:00"),
        ("2. 1. 2026, 18:30", "2026-01-02 17:30"),
        ("2026-01-02 18:30 +01:00", "2026-01-02 17:30"),
        ("20260102T1830", "2026-01-02 17:30"),
        ("2026-01-02T18", "2026-01-02 17:00"),
        ("01/02/2026", None),
        ("0001-01-01", "0001-01-01 00:00"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31 23:59:59"),
        ("tomorrow", None),
        ("2026-02-30", None),
        ("2026", None),
        ("[2026-01-02]", None),
        ("", None),
    ],
)
def test_a_date_without_an_offset_is_one_in_the_time_zone_of_the_site(
    value: str, expected: str | None, settings: Any
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    made = note("a.md", f"---\ncreated: {value}\n---\n")
    assert made is not None
    moment = as_moment(made.properties["created"])
    assert moment == (
        expected
        and datetime.datetime.fromisoformat(expected).replace(tzinfo=datetime.UTC)
    )


def test_the_first_date_that_is_one_is_taken() -> None:
    made = note("a.md", "---\ncreated: 2026-01-02\ndate: tomorrow\n---\n")
    assert made is not None
    assert read_dates(made) == Dates(created=DAY)


def test_without_properties_a_note_says_nothing() -> None:
    made = note("a.md", "text")
    assert made is not None
    assert read_dates(made) == Dates()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-12-24", "2026-12-24 00:00"),
        ("24.12.2026", "2026-12-24 00:00"),
        ("2026/12/24 8:30", "2026-12-24 08:30"),
        ("2026-12-24 18:30 CET", "2026-12-26 00:00"),
        ("2026-12-24 25:00", "2026-12-26 00:00"),
        ("24.12.2026 in the evening", "2026-12-26 00:00"),
        ("9999-12-31 in the evening", "9999-12-31 00:00"),
        ("someday", None),
    ],
)
def test_a_day_with_what_is_no_time_keeps_a_note_back_till_it_is_over_everywhere(
    value: str, expected: str | None
) -> None:
    assert not_before(value) == (
        expected
        and datetime.datetime.fromisoformat(expected).replace(tzinfo=datetime.UTC)
    )
