"""What authors write, as a browser shows it."""

from __future__ import annotations

from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.browser.readers import Reader


def test_a_callout_is_folded_and_opened_by_keyboard_and_pointer(reader: Reader) -> None:
    page = reader.open("/Trial/callouts")
    summary = page.locator("summary.callout-title").first
    inside = page.get_by_text("Only those see it")
    expect(inside).not_to_be_visible()
    expect(page.get_by_text("Those see it who do not close it.")).to_be_visible()
    expect(page.get_by_text("Deep inside.")).not_to_be_visible()

    summary.focus()
    page.keyboard.press("Enter")
    expect(inside).to_be_visible()
    page.keyboard.press("Space")
    expect(inside).not_to_be_visible()
    summary.click()
    expect(inside).to_be_visible()


def test_a_callout_opens_without_script(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/callouts")
    page.locator("summary.callout-title").first.click()
    expect(page.get_by_text("Only those see it")).to_be_visible()


def test_a_diagram_is_drawn_in_the_colours_of_the_page(reader: Reader) -> None:
    page = reader.open("/Trial/diagram")
    picture = page.locator(".diagram-picture svg")
    expect(picture).to_have_count(1)
    expect(picture).to_contain_text("From here")
    text = page.locator(".diagram-text")
    expect(text).not_to_be_visible()
    page.get_by_text("Text of the diagram").focus()
    page.keyboard.press("Enter")
    expect(text).to_be_visible()
    # What is no diagram stays the text that it is.
    expect(page.locator("pre.diagram-failed")).to_contain_text("this is no diagram")

    def ink() -> str:
        label = page.locator(".diagram-picture .nodeLabel").first
        return str(label.evaluate("element => getComputedStyle(element).color"))

    before = ink()
    page.get_by_role("button", name="Dark colours").click()
    page.wait_for_function(
        "before => getComputedStyle(document.querySelector("
        "'.diagram-picture .nodeLabel')).color !== before",
        arg=before,
    )


def test_a_diagram_is_its_text_without_script(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/diagram")
    expect(page.locator("pre.mermaid").first).to_contain_text("A[From here]")
    expect(page.locator("pre.mermaid").first).to_be_visible()


def test_a_formula_is_laid_out_and_its_source_can_be_copied(
    plain_reader: Reader,
) -> None:
    page = plain_reader.open("/Trial/formulas")
    fraction, radical = page.locator("mfrac"), page.locator("msqrt")
    top, bottom = (fraction.locator("> *").nth(number) for number in (0, 1))
    assert _box(top)["y"] + _box(top)["height"] <= _box(bottom)["y"] + 1
    assert _box(radical)["width"] > 0
    assert _box(page.locator("math[display=block]"))["height"] > 30
    annotation = page.locator("annotation").first
    expect(annotation).not_to_be_visible()
    assert annotation.text_content() == "e^{i\\pi} + 1 = 0"


def test_what_a_note_shows_of_others_is_there(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/media")
    prose = page.locator(".prose")
    expect(prose.locator(".embed")).to_contain_text("The second part of the second.")
    expect(prose.locator("mark")).to_have_text("mark")
    expect(prose).not_to_contain_text("secret")
    prose.locator("a.tag").click()
    expect(page.locator("h1")).to_contain_text("tag/below")
    expect(page.locator("main")).to_contain_text("Media")


def test_a_sound_is_played(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/media")
    sound = page.locator("audio")
    sound.evaluate("audio => audio.load()")
    expect(sound).to_have_js_property("duration", 2)


def test_a_film_is_played(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/film")
    film = page.locator("video")
    film.evaluate("video => video.load()")
    expect(film).to_have_js_property("videoWidth", 32)
    assert film.evaluate("video => video.controls")
    _assert_fits(page)


def test_what_else_a_note_shows_of_others_is_there(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/more")
    embeds = page.locator(".prose .embed")
    expect(embeds.first).to_contain_text("One block of it.")
    expect(embeds.first).not_to_contain_text("The second part")
    expect(embeds.locator("svg").first).to_be_visible()
    expect(embeds.locator(".base tbody tr")).to_have_count(2)
    _assert_fits(page)
    page.locator(".footnote-ref a").click()
    expect(page.locator(".footnotes")).to_contain_text("Inside of the sentence.")
    expect(page.locator(".footnotes")).to_be_in_viewport()
    page.get_by_role("link", name="The base", exact=True).click()
    expect(page.locator("h1")).to_have_text("notes")
    expect(page.locator(".base tbody tr")).to_have_count(2)


def test_properties_are_opened_by_keyboard_and_lead_on(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/more")
    properties = page.locator(".properties")
    expect(properties.locator("dl")).not_to_be_visible()
    properties.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(properties.locator("dt")).to_have_text(["rating", "related"])
    properties.get_by_role("link", name="Trial/links").click()
    expect(page.locator("h1")).to_have_text("Links")


def test_a_style_of_the_author_is_for_the_notes_of_its_class(
    plain_reader: Reader,
) -> None:
    for path, width in (("/Trial/more", "7px"), ("/Trial/links", "0px")):
        prose = plain_reader.open(path).locator(".prose")
        expect(prose).to_have_css("border-top-width", width)


def test_each_page_has_the_logo_and_the_links_of_the_author(
    plain_reader: Reader,
) -> None:
    page = plain_reader.open("/Trial/links")
    logo = page.locator(".site-title img")
    expect(logo).to_be_visible()
    assert logo.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    if plain_reader.screen.is_phone:
        page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Chosen by the author").click()
    expect(page.locator("h1")).to_have_text("Code")


def test_a_document_is_framed_and_linked_to(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/paper")
    page.locator(".pdf iframe").scroll_into_view_if_needed()
    expect(page.locator(".pdf iframe")).to_be_in_viewport()
    document = page.locator(".pdf a")
    assert page.request.get(document.evaluate("link => link.href")).ok
    expect(document).to_be_visible()


def test_a_footnote_is_gone_to_and_come_back_from_by_keyboard(reader: Reader) -> None:
    page = reader.open("/Trial/media")
    page.locator(".footnote-ref a").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#fn\\:1")).to_be_in_viewport()
    assert page.url.endswith("#fn:1")
    page.locator(".footnote-backref").focus()
    page.keyboard.press("Enter")
    assert page.url.endswith("#fnref:1")


def test_a_canvas_is_drawn_with_its_links_and_a_list(plain_reader: Reader) -> None:
    page = plain_reader.open("/example.canvas")
    drawing = page.locator("svg")
    expect(drawing.first).to_be_visible()
    assert _box(drawing.first)["width"] > 100
    links = page.locator("main a[href^='/']")
    assert links.count() > 0
    links.first.focus()
    links.first.press("Enter")
    expect(page.locator("h1")).to_be_visible()


def test_a_base_is_a_table_that_fits_its_page(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/base")
    rows = page.locator(".base tbody tr")
    expect(rows).to_contain_text(["first", "second"])
    _assert_fits(page)
    rows.first.get_by_role("link").first.click()
    expect(page.locator("h1")).to_have_text("First")


def test_text_runs_as_its_language_does(plain_reader: Reader) -> None:
    page = plain_reader.open("/Trial/arabic")
    assert page.locator("html").get_attribute("dir") == "rtl"
    expect(page.locator(".prose p")).to_have_css("direction", "rtl")
    _assert_fits(page)
    page = plain_reader.open("/Trial/chinese")
    assert page.locator("html").get_attribute("lang") == "zh"
    _assert_fits(page)


def _box(locator: Locator) -> FloatRect:
    box = locator.bounding_box()
    assert box is not None
    return box


def _assert_fits(page: Page) -> None:
    assert page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
