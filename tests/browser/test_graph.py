"""The graph of all notes, and that of those around one."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.readers import Reader, Screen

# Returns a point of the canvas, in CSS pixels, that has the colour of a note.
_FIND_NOTE = """canvas => {
  const probe = document.createElement("span");
  probe.style.color = "var(--muted)";
  document.body.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  for (let place = 0; place < pixels.length; place += 4) {
    if (pixels[place] === red && pixels[place + 1] === green
        && pixels[place + 2] === blue && pixels[place + 3] === 255) {
      const ratio = canvas.width / canvas.clientWidth;
      const pixel = place / 4;
      return { x: (pixel % width) / ratio, y: Math.floor(pixel / width) / ratio };
    }
  }
  return null;
}"""


def _open_a_note(page: Page, graph: str) -> None:
    canvas = page.locator(f"{graph} canvas[data-settled]")
    expect(canvas).to_be_visible()
    canvas.scroll_into_view_if_needed()
    place = canvas.evaluate(_FIND_NOTE)
    assert place is not None
    before = page.url
    canvas.click(position=place)
    page.wait_for_url(lambda url: url != before)
    expect(page.locator("h1")).to_be_visible()


def test_the_graph_of_all_notes_is_drawn_and_leads_to_them(reader: Reader) -> None:
    page = reader.open("/-/graph")
    expect(page.get_by_role("img", name="Graph of all notes")).to_be_visible()
    _open_a_note(page, ".graph")


def test_the_graph_around_a_note_is_drawn_where_there_is_room(reader: Reader) -> None:
    page = reader.open("/Trial/links")
    if reader.screen.is_phone:
        page.locator(".near a").click()
        page.wait_for_url("**/-/graph?of=/Trial/links")
        _open_a_note(page, ".graph")
    else:
        _open_a_note(page, ".near")


def test_notes_in_a_small_graph_have_their_names(reader: Reader) -> None:
    page = reader.open("/-/graph?of=/Trial/links")
    canvas = page.locator(".graph canvas[data-settled]")
    # This note, the two that it links to, and one that links to it.
    expect(canvas).to_have_attribute("data-names", "4")


def test_the_graph_is_a_list_without_script(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/links")
    page.locator(".near a").click()
    page.wait_for_url("**/-/graph?of=/Trial/links")
    page.locator("main").get_by_role("link", name="Callouts").first.click()
    expect(page.locator("h1")).to_have_text("Callouts")
    page = plain_reader.open("/-/graph")
    expect(page.locator("canvas")).to_have_count(0)
    assert page.locator("main li a").count() > 10


@pytest.mark.parametrize("path", ["/-/graph", "/Trial/long"])
def test_nothing_moves_for_who_wants_less_motion(
    site: str, browser: Browser, screen: Screen, path: str
) -> None:
    reader = Reader(site, browser, screen, reduces_motion=True)
    page = reader.open(path)
    expect(page.locator("html")).to_have_css("scroll-behavior", "auto")
    page.keyboard.press("/")
    expect(page.get_by_role("dialog")).to_have_css("animation-name", "none")
    assert reader.leave() == []
