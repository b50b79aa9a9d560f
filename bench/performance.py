"""A row played from its start to its end: load, deploys, reconciliation."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

from bench.chart import Life, Span
from bench.load import Plan
from bench.load_process import LoadError, LoadProcess
from bench.report import Record, Report
from bench.rows.row import Row
from bench.stage import find_pages
from bench.survey import requests_per_page
from bench.writes import SHARE, reconcile
from lifecycle import timeline

PAGES, REQUESTS = "pages/s", "requests/s"
"""What a rate counts: pages, or all that is sent: pages, what they need, writes."""


@dataclasses.dataclass(frozen=True)
class Performance:
    """
    What there was to see.

    Attributes:
        records: every request; times on the monotonic clock.
        began_at, ended_at: the load's, on the same clock.
        lives: the instances and their phases, in seconds since the load began.
    """

    report: Report
    records: list[Record]
    began_at: float
    ended_at: float
    lives: list[Life]


def perform(
    row: Row,
    *,
    deploys: int,
    rate: float,
    unit: str = PAGES,
    pause: float = 1.0,
    writes: bool = True,
    patience: float = 15.0,
) -> Performance:
    """
    Deploy *deploys* times under a load of *rate*, counted in *unit*.

    There are *pause* seconds of plain load before, between and after, with *writes*
    where the stage takes them. What has no answer after *patience* seconds is lost.

    Raises:
        InstanceError, LoadError: the row could not be played to its end.
    """
    with row:
        row.start()
        row.prepare(deploys)
        pages = asyncio.run(find_pages(row.target, ca=row.ca))
        token = row.make_token() if writes and row.stage.takes_writes else ""
        if unit == REQUESTS:
            per_page = asyncio.run(requests_per_page(row.target, pages, ca=row.ca))
            rate /= per_page + (SHARE if token else 0)
        plan = Plan(
            *(row.target, pages, rate),
            grace=row.stage.grace,
            timeout=patience,
            token=token,
            only_new=True,
            ca=row.ca,
        )
        with LoadProcess(plan) as load:
            began_at = time.monotonic()
            time.sleep(pause)
            for _ in range(deploys):
                row.deploy()
                time.sleep(pause)
            ended_at = time.monotonic()
            report = load.stop()
    refuse_late(report, patience)
    lives = _lives(row, began_at, ended_at)
    if token:
        report = _reconciled(row, report)
    return Performance(report, load.records, began_at, ended_at, lives)


def refuse_late(report: Report, patience: float) -> None:
    """
    Raise when requests were lost that had not even been sent.

    Raises:
        LoadError: the generator was late by *patience* seconds or more.
    """
    if report.lag_ms >= patience * 1000:
        raise LoadError(
            f"The load was sent up to {report.lag_ms / 1000:.0f} s late: this machine "
            "is too busy for it. Play fewer requests a second, or nothing beside."
        )


def _reconciled(row: Row, report: Report) -> Report:
    found = reconcile(row.stage.database, report.acknowledged)
    return dataclasses.replace(
        report,
        writes_lost=len(found.lost),
        writes_duplicated=len(found.duplicated),
        lost=[
            *report.lost,
            *(f"acknowledged write {number} is not there" for number in found.lost),
            *(f"write {number} was applied twice" for number in found.duplicated),
        ],
    )


def _lives(row: Row, began_at: float, ended_at: float) -> list[Life]:
    # The timeline tells the time of day, since it is one of several processes.
    offset = time.time() - time.monotonic() + began_at
    seconds = ended_at - began_at
    lives = []
    for deploy in timeline.deploys(timeline.read(row.stage.database.parent)):
        spans = []
        for phase in deploy["phases"]:
            start = phase["at"] - offset
            end = start + phase["seconds"] if "seconds" in phase else seconds
            spans.append(Span(phase["phase"], round(start, 3), round(end, 3)))
        lives.append(Life(deploy["instance"], spans))
    return lives


def play(row: Row, *, deploys: int, rate: float, **options: Any) -> Report:
    """Return the sums of `perform`, which says what is what."""
    return perform(row, deploys=deploys, rate=rate, **options).report
