"""The outline, the tree of folders, and the ways from a note to its neighbours."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.readers import Reader


def test_all_places_that_an_author_names_are_seen(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/links")
    if plain_reader.screen.is_phone:
        page.get_by_role("button", name="Menu").click()
    places = page.locator("nav.site .places")
    expect(places.get_by_role("link")).to_have_text(
        ["Chosen by the author", "Labels", "Elsewhere", "Words", "Graph"]
    )
    outside = """list => [...list.querySelectorAll("a")].filter(link =>
      link.getBoundingClientRect().right > list.getBoundingClientRect().right + 1
    ).map(link => link.textContent)"""
    assert places.evaluate(outside) == []


def test_the_outline_follows_the_text(reader: Reader) -> None:
    page = reader.open("/Trial/long")
    contents = page.locator(".contents")
    if reader.screen.is_phone:
        contents.locator("summary").focus()
        page.keyboard.press("Enter")
    for part in (5, 2):
        page.locator(f"#part-{part}").evaluate(
            "heading => heading.scrollIntoView({behavior: 'instant'})"
        )
        expect(contents.locator("[aria-current]")).to_have_text(f"Part {part}")
    link = contents.get_by_role("link", name="Part 6")
    # A browser that still scrolls smoothly to what has the focus goes nowhere else.
    link.evaluate("link => link.focus({preventScroll: true})")
    page.keyboard.press("Enter")
    expect(page.locator("#part-6")).to_be_in_viewport()
    expect(contents.locator("[aria-current]")).to_have_text("Part 6")


def test_the_outline_passes_over_what_is_folded(reader: Reader) -> None:
    page = reader.open("/Trial/versions")
    contents = page.locator(".contents")
    if reader.screen.is_phone:
        contents.locator("summary").click()
    current = contents.locator("[aria-current]")
    page.locator("#after").evaluate(
        "heading => heading.scrollIntoView({behavior: 'instant'})"
    )
    expect(current).to_have_text("After")
    summary = page.locator(".callout summary")
    summary.evaluate("summary => summary.scrollIntoView({behavior: 'instant'})")
    expect(current).to_have_count(0)
    summary.evaluate("summary => summary.click()")
    expect(current).to_have_text("Before")


def test_the_outline_is_there_without_script(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/long")
    summary = page.locator(".contents summary")
    # It has a mark where it opens something.
    is_phone = plain_reader.screen.is_phone
    expect(summary).to_have_css("display", "list-item" if is_phone else "block")
    if is_phone:
        summary.click()
    page.locator(".contents").get_by_role("link", name="Part 6").click()
    expect(page.locator("#part-6")).to_be_in_viewport()


def test_the_tree_is_opened_by_keyboard_and_stays_open(reader: Reader) -> None:
    page = reader.open("/Trial/code")
    menu = page.get_by_role("button", name="Menu")
    if reader.screen.is_phone:
        menu.focus()
        page.keyboard.press("Enter")
    tree = page.locator(".tree")
    # The folder of the note is open, and the note is marked.
    expect(tree.locator("[aria-current=page]")).to_have_text("Code")
    folder = tree.locator(".folder", has=page.locator("> a[href='/Trial/sub/']"))
    button = folder.locator("> button").last
    expect(button).to_have_attribute("aria-expanded", "false")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    tree.get_by_role("link", name="Second").click()
    page.wait_for_url("**/Trial/sub/second")
    if reader.screen.is_phone:
        expect(tree).not_to_be_visible()
        menu.click()
    expect(tree.locator("[aria-current=page]")).to_have_text("Second")
    expect(tree.get_by_role("link", name="First")).to_be_visible()
    if reader.screen.is_phone:
        page.keyboard.press("Escape")
        expect(tree).not_to_be_visible()


def test_folders_are_pages_without_script(plain_reader: Reader) -> None:
    page = plain_reader.open("/")
    if plain_reader.screen.is_phone:
        page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="All notes").click()
    page.locator("main").get_by_role("link", name="Trial").click()
    page.locator("main").get_by_role("link", name="sub").click()
    page.locator("main").get_by_role("link", name="First").click()
    expect(page.locator("h1")).to_have_text("First")


def test_a_note_leads_to_those_around_it(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/sub/first")
    crumbs = page.locator(".crumbs a")
    expect(crumbs).to_have_text(["Trial", "sub"])
    page.locator("nav.around [rel=next]").click()
    expect(page.locator("h1")).to_have_text("Second")
    backlinks = page.locator("section.backlinks")
    expect(backlinks).to_contain_text("Of a folder in a folder; see")
    backlinks.get_by_role("link", name="First").click()
    expect(page.locator("h1")).to_have_text("First")
    page.locator(".crumbs a").first.click()
    page.wait_for_url("**/Trial/")


def test_the_keyboard_comes_to_the_text_first(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/links")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the text")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("path", ["/", "/markdown", "/Trial/", "/-/graph", "/knobs"])
def test_no_page_is_wider_than_the_screen(plain_reader: Reader, path: str) -> None:
    page = plain_reader.open(path)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= plain_reader.screen.width
