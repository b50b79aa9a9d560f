"""Pages: the whole of what a browser gets."""

from __future__ import annotations

import datetime
import re

import pytest

from notes import statics
from notes.cards import card_url
from notes.dates import Dates
from notes.metadata import About, make_metadata
from notes.site import Site
from tests.notes.sites import make_site

STATIC = {
    name: statics.url(f"notes/{name}")
    for name in (
        *("site.css", "site.js", "more.css", "search.js", "preview.js", "graph.js"),
        *("vendor/d3-force.js", "icon.svg"),
    )
}
HEAD = f"""\
<link rel="stylesheet" href="{STATIC["site.css"]}">
<link rel="stylesheet" href="/-/look.css">
<script defer src="{STATIC["site.js"]}" data-more="{STATIC["more.css"]}" \
data-search="{STATIC["search.js"]}" data-preview="{STATIC["preview.js"]}" \
data-graph="{STATIC["graph.js"]}" data-forces="{STATIC["vendor/d3-force.js"]}"></script>
<link rel="icon" type="image/svg+xml" href="{STATIC["icon.svg"]}">
<link rel="alternate" type="application/atom+xml" title="Tea &amp; Co" href="/feed.xml">
</head>
<body>
<a class="skip" href="#site:main">Skip to the text</a>
<div class="side">
<header class="site">
<button type="button" class="icon menu" popovertarget="site:nav" aria-label="Menu"></button>
<a class="site-title" href="/">Tea &amp; Co</a>
<a class="find" href="/search"><span>Search</span></a>
<button type="button" class="icon width" data-look="width" aria-label="Wider text" \
aria-pressed="false"></button>
<button type="button" class="icon theme" data-look="theme" aria-label="Dark colours" \
aria-pressed="false"></button>
</header>
<nav class="site" id="site:nav" popover aria-label="Site">
<ul class="places">
<li><a href="/tags/">Tags</a></li>
<li><a href="/-/graph">Graph</a></li>
</ul>
<ul class="tree"><li class="plain"><a href="/">All notes</a></li></ul>
</nav>
</div>
<main id="site:main" tabindex="-1">
"""
FOOT = """\
</main>
<footer class="site"><a href="/feed.xml">Feed</a></footer>
</body>
</html>
"""


@pytest.fixture(scope="module")
def site() -> Site:
    return make_site(
        {
            "index.md": "# Tea & Co\n\nSee [[Green tea]] <3.",
            "teas/Oolong.md": "---\ncreated: 2026-01-02\n---\nHalf.",
            "teas/Green tea.md": (
                "---\n"
                "date: 2026-01-02\n"
                "updated: 2026-02-03\n"
                "tags: [Drink, <b>]\n"
                "lang: de\n"
                "---\n"
                "# Brewing <em>it</em>\n\nHot & <b>wet</b>.\n\n## One\n\n### Two\n"
            ),
            "teas/black/a.md": "[[Green tea]]",
        }
    )


def _page(site: Site, path: str) -> str:
    return site.pages[path].body.decode()


def test_the_page_of_a_note(site: Site) -> None:
    assert _page(site, "/teas/Green-tea") == (
        """\
<!doctype html>
<html lang="de" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Brewing it · Tea &amp; Co</title>
<meta name="color-scheme" content="light dark">
<meta name="description" content="Hot &amp; wet.">
<link rel="canonical" href="http://localhost:8080/teas/Green-tea">
<link rel="alternate" type="text/markdown" href="/teas/Green-tea.md">
"""
        + make_metadata(
            site.frame,
            About(
                "Brewing it",
                "http://localhost:8080/teas/Green-tea",
                "Hot & wet.",
                "de",
                [("teas", "http://localhost:8080/teas/")],
                Dates(datetime.date(2026, 1, 2), datetime.date(2026, 2, 3)),
                card_url(site.frame, "Brewing it", "/teas/Green-tea"),
            ),
        )
        + HEAD
        + """\
<article>
<header>
<nav class="crumbs" aria-label="Folders"><ol><li><a href="/teas/">teas</a></li></ol></nav>
<h1 id="brewing-it" dir="auto">Brewing it</h1>
<p class="facts"><span>Created <time datetime="2026-01-02">2026-01-02</time></span> \
<span>Updated <time datetime="2026-02-03">2026-02-03</time></span> \
<a class="tag" href="/tags/drink">#Drink</a> \
<a class="tag" href="/tags/%3Cb%3E">#&lt;b&gt;</a></p>
</header>
<aside class="beside" aria-label="About this note">
<p class="near"><a href="/-/graph?of=/teas/Green-tea" \
data-links="/-/links/teas/Green-tea">Graph</a></p>
</aside>
<div class="prose" dir="auto">
<p>Hot &amp; <b>wet</b>.</p>
<h2 id="one">One</h2>
<h3 id="two">Two</h3>
</div>
</article>
<section class="backlinks">
<h2>Links to this note</h2>
<ul>
<li><a href="/teas/black/a">a</a></li>
<li><a href="/">Tea &amp; Co</a><p>See <b>Green tea</b> &lt;3.</p></li>
</ul>
</section>
<nav class="around" aria-label="In this folder">
<a rel="next" href="/teas/Oolong"><span>Next</span> Oolong</a>
</nav>
"""
        + FOOT
    )


def test_the_page_of_a_folder(site: Site) -> None:
    assert _page(site, "/teas/") == (
        """\
<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>teas · Tea &amp; Co</title>
<meta name="color-scheme" content="light dark">
<link rel="canonical" href="http://localhost:8080/teas/">
<link rel="alternate" type="application/atom+xml" title="teas" href="/teas/feed.xml">
"""
        + make_metadata(site.frame, About("teas", "http://localhost:8080/teas/"))
        + HEAD
        + """\
<h1>teas</h1>
<ul class="folders">
<li><a href="/teas/black/">black</a> <span class="count">1</span></li>
</ul>
<ul class="notes">
<li><a href="/teas/Green-tea">Brewing it</a></li>
<li><a href="/teas/Oolong">Oolong</a></li>
</ul>
"""
        + FOOT
    )


def test_the_start_page_lists_what_is_in_the_vault(site: Site) -> None:
    page = _page(site, "/")
    assert "<title>Tea &amp; Co</title>" in page
    assert page.endswith(
        """\
<section class="listing">
<h2>In this folder</h2>
<ul class="folders">
<li><a href="/teas/">teas</a> <span class="count">3</span></li>
</ul>
</section>
"""
        + FOOT
    )


def test_the_pages_of_tags(site: Site) -> None:
    assert (
        """\
<nav class="crumbs" aria-label="Folders"><ol><li><a href="/tags/">Tags</a></li></ol></nav>
<h1>#Drink</h1>
<ul class="notes">
<li><a href="/teas/Green-tea">Brewing it</a></li>
</ul>
"""
        + FOOT
        in _page(site, "/tags/drink")
    )
    assert (
        """\
<h1>Tags</h1>
<ul class="tags">
<li><a href="/tags/%3Cb%3E">&lt;b&gt;</a> <span class="count">1</span></li>
<li><a href="/tags/drink">Drink</a> <span class="count">1</span></li>
</ul>
"""
        + FOOT
        in _page(site, "/tags/")
    )


def test_a_page_that_is_not_there_says_so_and_is_not_indexed(site: Site) -> None:
    page = site.missing.body.decode()
    assert site.missing.status == "404 Not Found"
    assert '<meta name="robots" content="noindex">' in page
    assert (
        """\
<h1>Not found</h1>
<p>There is no page at this address.</p>
<p><a href="/">To the start page</a></p>
"""
        + FOOT
        in page
    )


def test_many_headings_have_a_table_of_contents() -> None:
    site = make_site({"a.md": "## One & only\n\n### Two\n\n# Three\n\n###### Four\n"})
    assert """\
<details class="contents"><summary>Contents</summary>
<nav aria-label="Contents"><ol>
<li class="depth-1"><a href="#one-only">One &amp; only</a></li>
<li class="depth-2"><a href="#two">Two</a></li>
<li class="depth-0"><a href="#three">Three</a></li>
<li class="depth-5"><a href="#four">Four</a></li>
</ol></nav></details>
""" in _page(site, "/a")


def test_only_a_page_with_coloured_code_loads_the_colours() -> None:
    code = "```python\nx = 1\n```"
    site = make_site(
        {"a.md": code, "b.md": "```\nx = 1\n```", "c.md": f"{code}\n\n^id"}
    )
    link = f'<link rel="stylesheet" href="{statics.url("notes/code.css")}">'
    assert link in _page(site, "/a")
    assert link not in _page(site, "/b")
    assert link in _page(site, "/c")


def test_the_names_of_properties_are_read_in_upper_and_lower_case() -> None:
    site = make_site(
        {
            "a.md": "---\nTitle: Tea\nTAGS: [drink]\nAliases: [brew]\nLang: de\n"
            "Created: 2026-01-02\nUpdated: 2026-01-03\nCssClasses: wide\n"
            "Description: About tea\n---\n",
            "b.md": "---\nPermalink: far/away\n---\n",
            "c.md": "---\nSlug: near\n---\n",
            "d.md": "---\nTitle: Other\ntitle: One\n---\n",
        }
    )
    page = _page(site, "/a")
    assert "<title>Tea · localhost</title>" in page
    assert '<html lang="de"' in page
    assert '<article class="wide">' in page
    assert '<meta name="description" content="About tea">' in page
    assert '<a class="tag" href="/tags/drink">#drink</a>' in page
    assert re.findall(r'<time datetime="(.*?)">', page) == ["2026-01-02", "2026-01-03"]
    assert site.redirect("/brew") == "/a"
    assert {"/far/away", "/near"} <= site.pages.keys()
    assert "<title>One · localhost</title>" in _page(site, "/d")


def test_an_empty_vault_has_a_start_page() -> None:
    site = make_site({})
    assert site.pages.keys() == {"/", "/robots.txt"}
    page = _page(site, "/")
    assert "<title>localhost</title>" in page
    assert "<h1>localhost</h1>\n<p>Nothing is here yet.</p>" in page
    assert "Tags" not in page


def test_what_a_title_holds_is_text_and_nothing_else() -> None:
    title = "\x02main\x03 </title><script>alert('\"')</script> \ud800"
    site = make_site(
        {"index.md": "---\ntags: x\n---\n# " + title.replace("\ud800", "")}
    )
    page = _page(site, "/")
    assert "<script>" not in page
    assert page.count("<main") == 1


def test_a_tag_and_a_folder_of_one_address_show_the_folder() -> None:
    site = make_site(
        {"tags/tea.md": "about tea", "a.md": "---\ntags: [tea, other]\n---\n"}
    )
    assert "about tea" in _page(site, "/tags/tea")
    assert "<h1>tags</h1>" in _page(site, "/tags/")
    assert "<h1>#other</h1>" in _page(site, "/tags/other")


def test_a_parent_tag_lists_what_its_children_do() -> None:
    site = make_site({"a.md": "---\ntags: [x/y, X]\n---\n", "b.md": "#x/y"})
    assert site.tags["x"].paths == ("a.md", "b.md")
    assert site.tags["x/y"].paths == ("a.md", "b.md")
    assert site.tags["x"].name == "X"


def test_the_article_has_the_classes_that_the_note_asks_for() -> None:
    site = make_site({"a.md": "---\ncssclasses: [wide, x-y]\n---\nx"})
    assert '<article class="wide x-y">\n' in _page(site, "/a")


def test_dates_are_told_as_they_are_read(site: Site) -> None:
    page = _page(site, "/teas/Oolong")
    assert '<time datetime="2026-01-02">2 January 2026</time>' in page
    assert 'rel="prev" href="/teas/Green-tea"' in page


def test_numbers_in_titles_are_in_order() -> None:
    site = make_site({f"{number}.md": "" for number in (1, 2, 10)})
    page = _page(site, "/2")
    assert '<a rel="prev" href="/1"><span>Previous</span> 1</a>' in page
    assert '<a rel="next" href="/10"><span>Next</span> 10</a>' in page
    assert 'class="around"' not in _page(make_site({"a.md": ""}), "/a")


def test_the_note_of_a_folder_has_no_neighbours() -> None:
    site = make_site({"x/index.md": "", "x/a.md": "", "b.md": ""})
    assert site.neighbours == {
        "x/index.md": (None, None),
        "x/a.md": (None, None),
        "b.md": (None, None),
    }


def test_a_language_that_is_written_from_the_right_is_so() -> None:
    site = make_site({"a.md": "---\nlang: ar-EG\n---\nx"})
    assert '<html lang="ar-EG" dir="rtl">' in _page(site, "/a")


def test_many_backlinks_have_their_words_left_out() -> None:
    site = make_site({f"{n}.md": "see [[a]] here" for n in range(120)} | {"a.md": ""})
    page = _page(site, "/a")
    assert page.count("<li><a href") == 120 + 1  # and that of the menu
    assert page.count("<p>see <b>a</b> here</p>") == 100
