"""What the first view of a page costs, and that nothing in it moves."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.readers import Reader

_SHIFTS = """() => new Promise(resolve => {
  const found = [];
  const observer = new PerformanceObserver(list => found.push(...list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  // Entries that are there come with the next frame.
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
    found.push(...observer.takeRecords());
    // Parts that are the browser's own, as of a player, are no nodes here.
    const ours = found.filter(entry => entry.sources.some(one => one.node));
    resolve(ours.map(entry => [
      entry.value,
      ...entry.sources.map(one => one.node?.outerHTML?.slice(0, 80) ?? ""),
    ]));
  })));
})"""


def _shifts(page: Page) -> list[object]:
    page.wait_for_load_state("networkidle")
    page.evaluate("new Promise(done => requestIdleCallback(done, { timeout: 1000 }))")
    return list(page.evaluate(_SHIFTS))


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/markdown", "/knobs", "/Trial/picture", "/Trial/media", "/-/graph"),
        *("/Trial/links", "/search?q=callouts", "/Trial/"),
    ],
)
def test_nothing_moves_when_the_rest_comes(reader: Reader, path: str) -> None:
    assert _shifts(reader.open(path)) == []


def test_the_test_of_moves_sees_one(reader: Reader) -> None:
    page = reader.open("/Trial/long")
    assert _shifts(page) == []
    page.evaluate("document.querySelector('h1').style.paddingTop = '200px'")
    assert _shifts(page) != []


def test_the_first_view_needs_one_round_trip(reader: Reader) -> None:
    page = reader.open("/")
    page.wait_for_load_state("networkidle")
    costs = page.evaluate(
        """() => [
          ...performance.getEntriesByType("navigation"),
          ...performance.getEntriesByType("resource"),
        ].map(one => [new URL(one.name).pathname, one.renderBlockingStatus ?? "",
                      one.encodedBodySize, one.entryType])"""
    )
    waited_for = {
        path: size
        for path, status, size, kind in costs
        if kind == "navigation" or status == "blocking"
    }
    assert set(waited_for) == {
        *("/", "/static/notes/site.css", "/static/notes/code.css", "/-/look.css"),
        "/-/custom.css",  # the author's own
    }
    assert sum(waited_for.values()) <= 14 * 1024
