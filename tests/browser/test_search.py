"""Search, while one types and without a script."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from tests.browser.readers import Reader


@pytest.mark.parametrize("shortcut", ["/", "Control+k"])
def test_search_is_done_by_keyboard_alone(reader: Reader, shortcut: str) -> None:
    page = reader.open("/Trial/code")
    page.keyboard.press(shortcut)
    # What is typed while the palette is on its way is not lost.
    page.keyboard.type("trial")
    field = page.get_by_role("combobox")
    expect(field).to_have_value("trial")
    options = page.get_by_role("option")
    expect(options.nth(2)).to_be_visible()
    expect(options.first).to_have_attribute("aria-selected", "true")

    # Not of an answer to half of it
    page.wait_for_load_state("networkidle")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    chosen = options.nth(1).get_attribute("id")
    expect(field).to_have_attribute("aria-activedescendant", chosen or "")
    address = options.nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(reader.site + (address or ""))


def test_an_answer_that_comes_late_leaves_what_was_chosen(reader: Reader) -> None:
    page = reader.open("/Trial/code")
    asked = "**/-/search?q=trial"
    waiting: list[Route] = []
    page.route(asked, lambda route: waiting.append(route))
    page.locator(".find").click()
    field = page.get_by_role("combobox")
    field.press_sequentially("tria")
    options = page.get_by_role("option")
    expect(options.nth(2)).to_be_visible()
    with page.expect_request(asked):
        page.keyboard.type("l")
    page.keyboard.press("ArrowDown")
    selected = page.locator("[role=option][aria-selected=true]")
    address = selected.get_attribute("href")
    assert address == options.nth(1).get_attribute("href")
    options.first.evaluate("option => option.dataset.old = ''")

    waiting[0].continue_()
    expect(page.locator("[data-old]")).to_have_count(0)
    expect(selected).to_have_attribute("href", address or "")


def test_search_follows_what_is_typed_and_escape_ends_it(reader: Reader) -> None:
    page = reader.open("/")
    page.locator(".find").click()
    page.keyboard.type("callouts")
    options = page.get_by_role("option")
    expect(options.first).to_contain_text("Callouts")
    page.keyboard.press("Control+a")
    page.keyboard.type("花园")
    expect(options).to_contain_text(["花园导览"])
    page.keyboard.press("Control+a")
    page.keyboard.type("xyzzyplugh")
    expect(page.get_by_role("status")).to_have_text("Nothing was found.")
    expect(options).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).not_to_be_visible()
    expect(page.locator(".find")).to_be_focused()


def test_a_hit_is_opened_by_pointer_or_finger(reader: Reader) -> None:
    page = reader.open("/")
    page.locator(".find").click()
    page.keyboard.type("callouts")
    # The first one may still be that of an answer to half of it.
    page.locator("[role=option][href$='/Trial/callouts']").first.click()
    page.wait_for_url("**/Trial/callouts")


def test_all_hits_are_on_a_page(reader: Reader) -> None:
    page = reader.open("/")
    page.keyboard.press("/")
    page.keyboard.type("callouts")
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/search?q=callouts")
    expect(page.locator(".hits a").first).to_contain_text("Callouts")


def test_search_works_without_script(plain_reader: Reader) -> None:
    page = plain_reader.open("/")
    page.locator(".find").click()
    page.get_by_role("searchbox").fill("callouts")
    page.keyboard.press("Enter")
    page.locator(".hits a").first.click()
    page.wait_for_url("**/Trial/callouts")


def test_without_the_palette_the_page_of_the_search_is_gone_to(reader: Reader) -> None:
    page = reader.open("/Trial/code")
    page.route("**/search.js*", lambda route: route.abort())
    page.keyboard.press("/")
    page.wait_for_url("**/search*")
    expect(page.get_by_role("searchbox")).to_be_visible()
    reader.forgive("ERR_FAILED")
