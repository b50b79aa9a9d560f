"""A look at what a link leads to: by pointer, keyboard and finger."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.readers import SCREENS, Reader

PHONES = [screen for screen in SCREENS if screen.is_phone]
DESKTOPS = [screen for screen in SCREENS if not screen.is_phone]


@pytest.fixture
def links(reader: Reader):
    page = reader.open("/Trial/links")
    return page, page.get_by_role("link", name="the callouts")


@pytest.mark.parametrize("screen", DESKTOPS, ids=str)
def test_a_pointer_that_rests_on_a_link_shows_the_note(links) -> None:
    page, link = links
    preview = page.locator(".preview")
    link.hover()
    expect(preview).to_contain_text("Those see it who do not close it.")
    preview.hover()
    page.get_by_role("link", name="part three").hover()
    expect(preview.locator(".preview-title")).to_have_text("Long")
    expect(preview).to_contain_text("Part 3")
    expect(preview).not_to_contain_text("Part 4")
    page.mouse.move(1, 1)
    expect(preview).not_to_be_visible()


def test_the_focus_shows_the_note_and_escape_ends_it(links) -> None:
    page, link = links
    preview = page.locator(".preview")
    # A look at it is for who goes by keyboard.
    page.keyboard.press("Tab")
    link.focus()
    expect(preview).to_be_visible()
    expect(preview).to_contain_text("Callouts")
    page.keyboard.press("Escape")
    expect(preview).not_to_be_visible()
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/Trial/callouts")


@pytest.mark.parametrize("screen", PHONES, ids=str)
def test_a_finger_that_stays_shows_the_note_and_a_tap_opens_it(links) -> None:
    page, link = links
    box = link.bounding_box()
    assert box is not None
    finger = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        devtools.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)}
        )

    touch("touchStart", finger)
    sheet = page.locator(".preview.sheet")
    expect(sheet).to_contain_text("Those see it who do not close it.")
    touch("touchEnd")
    expect(sheet).to_be_visible()
    assert page.url.endswith("/Trial/links")
    sheet.get_by_role("link", name="Open the note").tap()
    page.wait_for_url("**/Trial/callouts")
    page.go_back()
    link.tap()
    page.wait_for_url("**/Trial/callouts")


def test_a_link_is_a_link_without_script(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/links")
    page.get_by_role("link", name="part three").click()
    page.wait_for_url("**/Trial/long#part-3")
    expect(page.locator("#part-3")).to_be_in_viewport()


@pytest.mark.parametrize("screen", DESKTOPS, ids=str)
def test_a_note_that_is_named_like_a_file_is_shown_and_a_file_is_not(
    reader: Reader,
) -> None:
    page = reader.open("/Trial/versions")
    preview = page.locator(".preview")
    page.keyboard.press("Tab")
    with page.expect_request("**/Trial/data.xyz"):
        page.locator(".prose a").nth(1).focus()
    page.locator(".prose a").first.focus()
    expect(preview).to_contain_text("named like a file")
    page.keyboard.press("Escape")
    expect(preview).not_to_be_visible()
