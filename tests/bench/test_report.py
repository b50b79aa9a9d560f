"""Records become sums, and sums a table that claims no more than was counted."""

from __future__ import annotations

import pytest

from bench.deploys import Played, to_markdown
from bench.performance import PAGES
from bench.report import Record, percentile, read_records, summarize, write_records
from bench.result import Result, to_result
from bench.rows.row import Claim

RECORDS = [
    Record(1.0, 0.010, "ok", "page", "kept"),
    Record(1.5, 0.030, "ok", "stylesheet", "fresh"),
    Record(2.0, 9.000, "refused", "page", "fresh"),
    Record(2.5, 0.020, "status 503", "page", "kept"),
    Record(3.0, 0.001, "idle_race", "page", "rested"),
]


def test_sums_judge_all_but_the_idle_races():
    report = summarize(RECORDS, lag=0.0123)
    assert (report.reads, report.reads_kept) == (4, 2)
    assert report.errors == {"refused": 1, "status 503": 1}
    assert report.idle_race == 1
    assert (report.p50_ms, report.p99_ms, report.longest_ms) == (10.0, 30.0, 30.0)
    assert report.lag_ms == 12.3
    assert report.lost == [
        "refused after 9.000 s: fresh page due at 1.000 s",
        "status 503 after 0.020 s: kept page due at 1.500 s",
    ]
    assert report.by_kind == {
        "fresh page": 1,
        "fresh stylesheet": 1,
        "kept page": 2,
        "rested page": 1,
    }


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.76, 4.0), (1.0, 4.0)]
)
def test_percentiles_are_values_that_were_measured(share, value):
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == value
    assert percentile([], share) is None


def test_records_come_back_as_they_were_written(tmp_path):
    write_records(RECORDS, tmp_path / "records.csv")
    assert read_records(tmp_path / "records.csv") == RECORDS


def test_a_claim_is_met_by_what_was_counted():
    lossy, whole = summarize(RECORDS, 0), summarize(RECORDS[:2], 0)
    nothing = summarize([], 0)
    assert not Claim.KEEPS_ALL.is_met(lossy)
    assert Claim.KEEPS_ALL.is_met(whole)
    assert not Claim.KEEPS_ALL.is_met(nothing), "no read was kept, for none was sent"
    assert Claim.LOSES.is_met(lossy)
    assert not Claim.LOSES.is_met(whole)
    assert Claim.PRINTED.is_met(lossy)
    assert Claim.PRINTED.is_met(whole)


def test_a_share_is_never_rounded_up_to_all():
    results = [
        Result(
            "a", 1, 80, reads=1_000_000, reads_kept=999_999, writes=0, writes_kept=0
        ),
        Result("b", 1, 80, reads=10, reads_kept=10, writes=0, writes_kept=0),
        Result("c", 1, 80, skipped="not built yet"),
    ]
    played = [Played(result, PAGES, {}) for result in results]
    table = to_markdown(played, ["- Machine: x"])
    assert "| a | 1 | 80 pages/s | 1000000 | 99.999 % | 0 | - |" in table
    assert "| b | 1 | 80 pages/s | 10 | 100 % | 0 | - |" in table
    assert table.startswith("---\ntitle: Deploys under load\n---\n")
    assert table.endswith("\n\n- c: skipped, not built yet\n")


def test_a_row_of_the_table_is_the_sums_of_its_run():
    result = to_result("traefik", 3, 80.0, summarize(RECORDS, 0))
    assert (result.row, result.deploys, result.rate) == ("traefik", 3, 80.0)
    assert (result.reads, result.reads_kept, result.idle_race) == (4, 2, 1)
    assert result.skipped is None
