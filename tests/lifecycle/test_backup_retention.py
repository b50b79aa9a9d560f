"""Which backups are kept."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.backup.errors import DamagedError
from lifecycle.backup.manifest import (
    is_name,
    name_after,
    name_of,
    parse,
    parse_at,
    time_of,
)
from lifecycle.backup.retention import kept

NOW = time_of("20261126T120000.000Z")
DAY = 86400.0


def ago(*days: float) -> list[str]:
    return [name_of(NOW - each * DAY) for each in days]


def kept_of(names: Iterable[str], now: float, *, last: int, days: int) -> set[str]:
    return kept({name: time_of(name) for name in names}, now, last=last, days=days)


def test_the_last_ones_are_kept_and_the_last_of_each_day() -> None:
    names = ago(0.1, 0.2, 0.3, 0.4, 1.1, 1.2, 2.1, 2.2, 3.1)
    assert kept_of(names, NOW, last=2, days=0) == set(ago(0.1, 0.2))
    assert kept_of(names, NOW, last=2, days=1) == set(ago(0.1, 0.2))
    assert kept_of(names, NOW, last=2, days=3) == set(ago(0.1, 0.2, 1.1, 2.1))
    assert kept_of(names, NOW, last=6, days=2) == set(ago(0.1, 0.2, 0.3, 0.4, 1.1, 1.2))
    assert kept_of([], NOW, last=2, days=3) == set()


@given(
    st.sets(st.integers(0, 400_000)),
    st.integers(0, 9),
    st.integers(0, 9),
    st.floats(0, 9),
)
def test_what_is_kept_stays_kept_and_the_newest_always_is(
    minutes: set[int], last: int, days: int, later: float
) -> None:
    names = {name_of(NOW - each * 60) for each in minutes}
    now = kept_of(names, NOW, last=last, days=days)
    assert now <= names
    assert kept_of(now, NOW, last=last, days=days) == now
    if names:
        assert max(names) in kept_of(now, NOW + later * DAY, last=last, days=days)


def test_a_day_is_that_of_the_making_and_not_of_the_name() -> None:
    ahead = name_of(NOW + 300 * DAY)
    made = {}
    for days in (2.2, 2.1, 1.2, 1.1, 0.2, 0.1):
        ahead = name_after(ahead, NOW - days * DAY)
        made[ahead] = NOW - days * DAY
    assert [*made] == sorted(made)
    wanted = kept(made, NOW, last=1, days=3)
    assert [round((NOW - made[name]) / DAY, 1) for name in sorted(wanted)] == [
        2.1,
        1.1,
        0.1,
    ]


@given(st.integers(0, 10**7), st.integers(-(10**7), 10**7))
def test_names_are_in_the_order_of_making(milliseconds: int, later: int) -> None:
    first = name_of(NOW + milliseconds / 1000)
    moment = NOW + (milliseconds + later) / 1000
    name = name_after(first, moment)
    assert name > first
    if name != name_of(moment):
        assert round(time_of(name) - time_of(first), 4) == 0.001
    assert name_after("", moment) == name_of(moment)


def test_a_name_is_a_moment_and_means_that_very_backup() -> None:
    name = name_of(1764133635.1239)
    assert name == "20251126T050715.123Z"
    assert is_name(name)
    assert not is_name("20251126T050715Z")
    assert not is_name("20250631T050715.123Z")
    assert parse_at(name) == name
    for text in ("2025-11-26T05:07:15.123", "2025-11-26T06:07:15.123+01:00"):
        moment = parse_at(text)
        assert isinstance(moment, float)
        assert name_of(moment) == name
    with pytest.raises(ValueError, match="Invalid isoformat"):
        parse_at("yesterday")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format": 1}', b"\xff", b'"x"'])
def test_what_is_no_manifest_is_called_damaged(text: bytes) -> None:
    with pytest.raises(
        DamagedError, match=r"^Backup x: its manifest cannot be read\.$"
    ):
        parse(text, "s", "x")


def test_a_manifest_of_a_later_format_names_the_way_out() -> None:
    with pytest.raises(DamagedError, match="has format 2; this version reads 1"):
        parse(b'{"format": 2}', "s", "x")
