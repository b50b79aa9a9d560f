"""Colours, width, paper, and what a click on code or on a picture does."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.readers import Reader

LIGHT, DARK = "rgb(254, 254, 252)", "rgb(21, 24, 28)"


def _is_light(page: Page, light: bool) -> None:
    expect(page.locator("body")).to_have_css(
        "background-color", LIGHT if light else DARK
    )


def _width(locator: Locator) -> float:
    box = locator.bounding_box()
    assert box is not None
    return box["width"]


def test_colours_follow_the_system_until_they_are_chosen(reader: Reader) -> None:
    page = reader.open("/Trial/code")
    was_light = reader.screen.scheme == "light"
    _is_light(page, was_light)
    button = page.get_by_role("button", name="Dark colours")
    expect(button).to_have_attribute("aria-pressed", str(not was_light).lower())

    for light in (not was_light, was_light):
        page.emulate_media(color_scheme="light" if light else "dark")
        _is_light(page, light)

    button.focus()
    page.keyboard.press("Enter")
    _is_light(page, not was_light)
    expect(button).to_have_attribute("aria-pressed", str(was_light).lower())
    # The next page has the colours before any script has run.
    page.route("**/*.js*", lambda route: route.abort())
    page.goto(f"{reader.site}/Trial/links")
    _is_light(page, not was_light)
    page.unroute("**/*.js*")
    reader.forgive("ERR_FAILED")
    page.reload()
    button.click()
    _is_light(page, was_light)


def test_colours_follow_the_system_without_script(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/code")
    _is_light(page, plain_reader.screen.scheme == "light")
    expect(page.get_by_role("button", name="Dark colours")).not_to_be_visible()


def test_the_text_is_as_wide_as_one_wants_where_there_is_room(reader: Reader) -> None:
    page = reader.open("/Trial/long")
    button = page.get_by_role("button", name="Wider text")
    if reader.screen.is_phone:
        expect(button).not_to_be_visible()
        return
    prose = page.locator(".prose")
    narrow = _width(prose)
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    wide = _width(prose)
    assert wide > narrow + 100
    page.reload()
    assert _width(prose) == wide
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert _width(prose) == narrow


def test_the_text_alone_is_printed(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/links")
    page.emulate_media(media="print")
    for left_out in (".side", "footer.site", ".beside", ".crumbs", "nav.around"):
        expect(page.locator(left_out)).not_to_be_visible()
    expect(page.locator(".prose")).to_be_visible()
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    address = page.get_by_role("link", name="elsewhere").evaluate(
        "link => getComputedStyle(link, '::after').content"
    )
    assert "https://example.org/" in address
    assert page.pdf().startswith(b"%PDF")


def test_code_is_copied_by_pointer_and_keyboard(reader: Reader) -> None:
    reader.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reader.page.clock.install()
    page = reader.open("/Trial/code")
    button = page.locator("button.copy")
    for press in (button.click, lambda: button.press("Enter")):
        page.evaluate("navigator.clipboard.writeText('')")
        press()
        expect(button).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == "print('copied')"
        page.clock.fast_forward("00:03")
        expect(button).to_have_text("Copy")


def test_a_picture_is_enlarged_by_pointer_and_keyboard(reader: Reader) -> None:
    page = reader.open("/Trial/picture")
    picture = page.locator(".prose img")
    enlarged = page.get_by_role("dialog", name="Image")
    picture.click()
    expect(enlarged.locator("img")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(enlarged).to_have_count(0)
    expect(picture).to_be_focused()
    page.keyboard.press("Enter")
    expect(enlarged).to_be_visible()
    enlarged.get_by_role("button", name="Close").click()
    expect(enlarged).to_have_count(0)
