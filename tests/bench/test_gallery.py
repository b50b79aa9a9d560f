"""What was measured is kept, and shown: JSON, a picture, one table of all."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest

from bench import chart, gallery
from bench.chart import KEPT, LOST, OUTCOMES, PHASES, RACED, WRITTEN, Life, Span
from bench.gallery import Exhibit
from bench.performance import REQUESTS
from bench.report import IDLE_RACE, OK, WRITE, Record, summarize
from bench.result import to_result

RECORDS = [
    Record(100.1, 0.01, OK, "page", "kept"),
    Record(100.2, 0.01, OK, WRITE, "writer"),
    Record(100.3, 0.01, "status 502", "page", "fresh"),
    Record(100.4, 0.01, IDLE_RACE, "page", "rested"),
    Record(101.9, 0.01, OK, "stylesheet", "kept"),
]
LIVES = [
    Life("aaaa", [Span("warming", -2.0, -1.0), Span("ready", -1.0, 1.0)]),
    Life("bbbb", [Span("warming", 0.5, 1.0), Span("ready", 1.0, 2.0)]),
]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def exhibit() -> Exhibit:
    """Return a row that lost a read."""
    step, bars = chart.count(RECORDS, 100.0, 102.0)
    return Exhibit(
        to_result("haproxy", 1, 2.0, summarize(RECORDS, 0.0)),
        *("must lose nothing", ["- Machine: a small one"], {"grace": "2s"}),
        *(step, bars, LIVES),
    )


def test_requests_are_counted_by_the_time_they_were_due():
    step, bars = chart.count(RECORDS, 100.0, 102.0)
    assert step == 0.25
    assert bars[0].counts == {KEPT: 1, WRITTEN: 1, RACED: 0, LOST: 0}
    assert bars[1].counts == {KEPT: 0, WRITTEN: 0, RACED: 1, LOST: 1}
    assert bars[7].counts[KEPT] == 1
    assert sum(sum(bar.counts.values()) for bar in bars) == len(RECORDS)


@pytest.mark.parametrize(("seconds", "step"), [(40, 0.25), (46, 0.5), (1000, 10)])
def test_a_long_row_has_wider_bars(seconds, step):
    found, bars = chart.count([], 0.0, float(seconds))
    assert found == step
    assert len(bars) <= 200


def test_the_picture_shows_every_outcome_and_both_instances(exhibit):
    picture = chart.draw("A <row>", exhibit.step, exhibit.bars, exhibit.lives)
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    assert root.findtext(f"{SVG}title") == "A <row>"
    boxes = root.findall(f"{SVG}rect")
    colours = [box.get("fill") for box in boxes]
    for outcome, colour in OUTCOMES.items():
        # One in the legend, and one a stack that has it.
        stacks = sum(bar.counts[outcome] > 0 for bar in exhibit.bars)
        assert colours.count(colour) == 1 + stacks
    told = [box.findtext(f"{SVG}title") for box in boxes]
    assert [one for one in told if one] == [
        "aaaa: ready, 2.0 s",
        "bbbb: warming, 0.5 s",
        "bbbb: ready, 1.0 s",
    ]
    lanes = {box.get("y") for box in boxes if box.findtext(f"{SVG}title")}
    assert len(lanes) == 2
    words = [text.text for text in root.findall(f"{SVG}text")]
    assert {*OUTCOMES, *PHASES, "requests a second", "0 s"} <= {*words}


def test_one_lost_request_among_very_many_is_seen():
    records = [Record(0.1, 0.01, OK, "page", "kept")] * 10_000
    records += [Record(0.1, 0.01, "cut", "page", "kept")]
    step, bars = chart.count(records, 0.0, 1.0)
    root = ElementTree.fromstring(chart.draw("", step, bars, []))  # noqa: S314
    lost = [
        box for box in root.findall(f"{SVG}rect") if box.get("fill") == OUTCOMES[LOST]
    ]
    assert [float(box.get("height", 0)) for box in lost[1:]] == [3.0]


def test_what_is_kept_is_read_again(tmp_path, exhibit):
    gallery.keep(tmp_path, exhibit)
    assert gallery.read(tmp_path, ["haproxy"]) == [exhibit]
    assert (tmp_path / "haproxy-2-grace-2s.svg").read_text().startswith("<svg")


def test_a_load_counted_in_requests_has_files_and_a_title_of_its_own(exhibit):
    other = dataclasses.replace(exhibit, unit=REQUESTS)
    assert other.name == "haproxy-2-requests-grace-2s"
    assert other.title == "haproxy: 1 deploys at 2 requests/s, grace 2s"


def test_the_page_shows_rows_in_their_order_with_how_each_was_run(tmp_path, exhibit):
    folder = tmp_path / "deploys"
    first = dataclasses.replace(
        exhibit, result=dataclasses.replace(exhibit.result, row="caddy"), settings={}
    )
    for one in (exhibit, first):
        gallery.keep(folder, one)
    exhibits = gallery.read(folder, ["caddy", "haproxy"])
    page = gallery.to_page(folder, exhibits, {"nomad": "it is not here"})
    rows = [line for line in page.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0] for row in rows] == ["| caddy", "| haproxy (grace 2s)"]
    assert "1 status 502" in rows[0]
    assert "![caddy: 1 deploys at 2 pages/s](deploys/caddy-2.svg)" in page
    assert "### haproxy: 1 deploys at 2 pages/s, grace 2s" in page
    assert page.count("This row must lose nothing.") == 2
    assert page.count("- Machine: a small one") == 2
    assert "- nomad: it is not here\n" in page
    assert page.startswith("---\ntitle: Deploys under load\n")
