"""Pages as axe sees them, in both colour schemes."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.readers import Reader

_AXE = Axe()


def _findings(page: Page) -> list[tuple[str, str, list[str]]]:
    """Return rule, help, and the elements, of what axe calls serious or critical."""
    violations = _AXE.run(page).response["violations"]
    return [
        (one["id"], one["help"], [node["html"][:200] for node in one["nodes"]])
        for one in violations
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/markdown", "/reading", "/Trial/", "/-/graph", "/search?q=callouts"),
        *("/Trial/callouts", "/Trial/media", "/Trial/picture", "/Trial/arabic"),
        *("/tags/", "/tags/tag/below", "/example.canvas", "/Trial/more", "/Trial/film"),
    ],
)
def test_a_page_has_no_serious_finding(reader: Reader, path: str) -> None:
    page = reader.open(path)
    assert _findings(page) == []


def test_a_diagram_has_no_serious_finding(reader: Reader) -> None:
    page = reader.open("/Trial/diagram")
    expect(page.locator(".diagram-picture svg")).to_be_visible()
    assert _findings(page) == []


def test_what_opens_over_a_page_has_no_serious_finding(reader: Reader) -> None:
    page = reader.open("/Trial/links")
    page.keyboard.press("Tab")
    page.get_by_role("link", name="the callouts").focus()
    expect(page.locator(".preview")).to_be_visible()
    assert _findings(page) == []
    page.keyboard.press("/")
    page.keyboard.type("callouts")
    expect(page.get_by_role("option").first).to_be_visible()
    assert _findings(page) == []
    page.keyboard.press("Escape")
    if reader.screen.is_phone:
        page.get_by_role("button", name="Menu").click()
        expect(page.locator(".tree .folder").first).to_be_visible()
        assert _findings(page) == []
