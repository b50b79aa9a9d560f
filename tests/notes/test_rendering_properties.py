"""Properties are shown when a reader asks, with their links, and some are not."""

from __future__ import annotations

import re

from notes.rendering.properties import MAX_PROPERTIES
from tests.notes.sites import make_site, served


def details(properties: str, **files: str | bytes) -> str:
    """Return what a page has of *properties*, the lines of a frontmatter."""
    text = f"---\n{properties}\n---\n# N\n"
    others = {name.replace("__", "."): content for name, content in files.items()}
    with served(make_site({"n.md": text, **others})) as client:
        html = client.get("/n").text
    match = re.search(r'<details class="properties">.*?</details>', html, re.DOTALL)
    return "" if match is None else match[0]


def test_values_are_shown_by_their_kind():
    html = details(
        "rating: 4.0\nread: 2026-01-02\ndone: true\nurl: https://e.com/?a&b\n"
        "list: [a, 2, '[[m|words]]']\nmap: {a: b}\ntext: a <b> & [[m#One]] [[gone]]\n"
        "empty:\nnone: []\n'<x>': y",
        m__md="# One",
    )
    rows = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)
    assert rows == [
        ("rating", "4"),
        ("read", '<time datetime="2026-01-02">2026-01-02</time>'),
        ("done", "yes"),
        (
            "url",
            '<a href="https://e.com/?a&amp;b">https://e.com/?a&amp;b</a>',
        ),
        ("list", 'a, 2, <a href="/m">words</a>'),
        ("map", "a: b"),
        (
            "text",
            'a &lt;b&gt; &amp; <a href="/m#one">m &gt; One</a> '
            '<span class="unresolved">gone</span>',
        ),
        ("&lt;x&gt;", "y"),
    ]


def test_comments_are_for_the_author_alone():
    long = "word " * 390
    html = details(
        "one: a %%secret%%b\nlist: ['%%secret%%', c]\nsure: 100%% d\n"
        f"long: '{long}%% secret {long}%% e'\n"
        "url: 'https://e.com/%%secret%%'"
    )
    rows = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)
    assert rows == [
        ("one", "a b"),
        ("list", ", c"),
        ("sure", "100%% d"),
        ("long", f"{long} e"),
        ("url", '<a href="https://e.com/">https://e.com/</a>'),
    ]


def test_what_is_shown_elsewhere_or_is_for_the_site_is_not_shown():
    assert (
        details(
            "title: T\nTags: [a]\ncssclasses: wide\nslug: n\npublish: true\n"
            "lang: de\ndate: 2026-01-02\nupdated: 2026-01-03"
        ).replace("\n", "")
        == ""
    )


def test_a_link_in_a_property_is_a_link():
    files: dict[str, str | bytes] = {
        "n.md": "---\nrelated: '[[m]]'\ncover: '[[p.png]]'\nnot: '[[draft]]'\n---\n",
        "m.md": "",
        "p.png": b"p",
        "draft.md": "---\ndraft: true\ntitle: Secret\n---\n",
    }
    site = make_site(files)
    assert site.backlinks == {"m.md": ("n.md",)}
    assert set(site.files) == {"/p.png"}
    assert b"Secret" not in site.pages["/n"].body


def test_hostile_properties_are_text_and_not_too_much_of_it():
    html = details(
        "a: '<script>alert(1)</script>'\nb: 'javascript:alert(1)'\n"
        "c: '[[<i>|<b>]]'\nd: \"\\0 x\"\ne: .inf\n"
        f"long: {'x' * 9000}\nmany: [{', '.join(['y'] * 999)}]\n"
        + "\n".join(f"p{number}: 1" for number in range(300))
    )
    assert "<script" not in html
    assert "<i>" not in html
    assert 'href="javascript' not in html
    assert html.count("<dt>") == MAX_PROPERTIES
    assert len(html) < 10_000


def test_a_tag_has_a_page_with_those_above_and_below_it():
    site = make_site(
        {"a.md": "#one/two/three", "b.md": "#One/Four", "c.md": "---\ntags: one\n---"}
    )
    one, two = (
        site.pages[f"/tags/{name}"].body.decode() for name in ("one", "one/two")
    )
    assert '<li><a href="/tags/one/four">One/Four</a> <span class="count">1' in one
    assert '<li><a href="/tags/one/two">one/two</a> <span class="count">1' in one
    assert "three" not in one
    assert [name for name in "abc" if f'href="/{name}"' in one] == ["a", "b", "c"]
    crumbs = re.findall(
        r"<li>(<a.*?</a>)</li>", two.partition('class="crumbs"')[2].partition("<h1>")[0]
    )
    assert crumbs == ['<a href="/tags/">Tags</a>', '<a href="/tags/one">One</a>']
    assert 'href="/tags/one/two/three"' in two
