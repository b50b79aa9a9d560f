"""Whatever an author writes: rendering does not raise, and the page runs nothing."""

from __future__ import annotations

import html
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notes.rendering import parse
from notes.rendering.parts import is_balanced
from notes.rendering.slots import MARK
from tests.notes.rendering_vault import Vault, html_of, source

FRAGMENTS = [
    *"\n\n\n\\|`*_~#^[](){}<>!&;:\"'=-+ \t\0%$@/.1ax字",
    *("[[", "]]", "![[", "[^a]", "[^a]: x", "](", "|-|-|", "```", "> ", "- ", "    "),
    *(
        "# a",
        "## b",
        " ^id",
        "#tag",
        "http://h/",
        "www.h.c",
        "a@b.c",
        "&amp;",
        "- [ ] ",
    ),
    *("[[b]]", "![[b]]", "![[Note]]", "![[i.png|9]]", "![[b#h]]", "[[#a]]", "![[#a]]"),
    *("![[b#^id]]", "[x](b.md)", "![x](i.png)", "![x](//h/i.png)", "[x](#a)", "[x]: b"),
    *("<div>", "</div>", "<p>", "<a href='b'>", "</a>", "<b>", "</b>", "<!--", "-->"),
    *("<table>", "<tr>", "<td>", "</td>", "</table>", "<details>", "<summary>"),
    *("<script>", "</script>", "<style>", "<svg>", "<math>", "<template>", "<title>"),
    *("<img src=x onerror=y>", "<img src='//h/x'>", "<iframe src=//h>", "<input>"),
    *(
        "<a id=a>",
        "<h2 id='a'>",
        "<video src=v.mp4>",
        "<source src=//h/v>",
        "<textarea>",
    ),
    *("<div title='", '<a title="', "<p class=", "javascript:", "data:text/html,x"),
    *("%%", "==", "$", "$$", "$x$", "\\text{", "\\href{", "\\frac", "^[", "[!a]"),
    *("> [!a]- b\n", "> [!b]+\n", "```mermaid\n", "[[b|", "<annotation>"),
    *('<div title="m0"></div>', "&#xfdd0;", "\ud7ff", "\ufdd0", "\u202e"),
]
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join),
)
OTHERS = {"b.md": "# b\n\nb\n\n# h\n\n![[Note]] c ^id\n\n- [[Note]]", "i.md": "i"}
ATTACHMENTS = ["i.png", "v.mp4", "p.pdf"]

_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)((?: [^<>]*)?)>")
_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"<>]*)"')


def assert_runs_nothing(page: str) -> None:
    """Fail when the HTML has a script, an event, or asks another site for anything."""
    assert _TAG.sub("", page).count("<") == 0
    assert MARK not in page
    for _, name, attributes in _TAG.findall(page):
        assert name not in {"script", "style", "iframe", "object", "embed", "form"}
        assert name not in {"svg", "link", "meta", "base", "textarea"}
        values = dict(_ATTRIBUTE.findall(attributes))
        assert _ATTRIBUTE.sub("", attributes) == ""
        for attribute, value in values.items():
            assert not attribute.startswith("on")
            assert attribute not in {"style", "srcset", "poster", "background"}
            url = html.unescape(value)
            if attribute == "src":
                assert re.match(r"/(?!/)|data:image/", url)
            elif attribute == "href":
                assert re.match(r"/|#|(?:https?|ftp|mailto):", url)


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_rendering_never_raises_and_the_page_runs_nothing(text):
    vault = Vault({"Note.md": text, **OTHERS}, ATTACHMENTS)
    for path in vault.notes:
        note = vault.render(path)
        assert_runs_nothing(note.html)
        assert is_balanced(note.html)
        assert MARK not in repr(vault.notes[path])


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_parsing_is_a_function_of_its_note(text):
    first, second = parse(source(text)), parse(source(text))
    assert first == second
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301


@given(
    st.dictionaries(
        st.sampled_from(["title", "tags", "tag", "x"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(st.characters())
            | st.dates(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
@settings(deadline=None)
def test_no_frontmatter_raises(properties):
    note = parse(source("x", properties=properties))
    assert note.title.strip()
    "".join((note.title, *note.tags)).encode()


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)><script>alert(1)</script></svg>",
        "<math><mi xlink:href='javascript:alert(1)'>",
        "[x](javascript:alert(1))",
        "[x](JaVa&#10;Script:alert(1))",
        "<a href=' javascript:alert(1)'>x</a>",
        "<a href='java\tscript:alert(1)'>x</a>",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        "![x](javascript:alert(1))",
        "![x](data:text/html;base64,AAAA)",
        "![x](data:image/svg+xml;base64,AAAA)",
        "<iframe src=//h></iframe><object data=//h></object><embed src=//h>",
        "<form action=//h><button>x</button><input name=q></form>",
        "<style>@import '//h'</style><p style='background:url(//h)'>x</p>",
        "<link rel=stylesheet href=//h><meta http-equiv=refresh content=0><base href=//h>",
        "<video poster=//h/p src=//h/v></video><img srcset=//h>",
        "<div title='\n\n[[b]] ![[i.png]] ![[b]]\n\n'>",
        '<a href="\n\n[[b|\\"onclick=alert(1)]]\n\n">',
        "[[b|<script>alert(1)</script>]]",
        '![[i.png|" onerror="alert(1)]]',
        '![[i.png#" onerror="alert(1)]]',
        '![" onerror="alert(1)](i.png)',
        '[x](b.md "\\" onclick=\\"alert(1)")',
        '```"><script>alert(1)</script>\nx\n```',
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
        "<textarea><img title='</textarea><img src=x onerror=alert(1)>'>",
        "<!--><img src=x onerror=alert(1)>-->",
    ],
)
def test_attack_runs_nothing(text):
    page = html_of(text, OTHERS, ATTACHMENTS)
    assert_runs_nothing(page)


def test_html_of_authors_is_kept_where_it_is_harmless():
    text = (
        '<details open=""><summary>S</summary>\n<kbd>K</kbd>'
        '<span class="c" lang="de" title="t">x</span></details>'
    )
    assert html_of(text) == text


def test_html_that_is_too_untidy_to_put_right_is_shown_as_text():
    assert "<i>" in html_of("<i>" * 499)
    page = html_of("a " + "<i>" * 501 + "\n\n<div>")
    assert page == ("<p>a " + "&lt;i&gt;" * 501 + "</p>\n<p>&lt;div&gt;</p>\n")


def test_html_that_is_tidy_is_kept_however_long():
    rows = "<table>" + "<tr><td>a</td></tr>" * 2000 + "</table>"
    assert html_of(rows).count("<td>") == 2000


def test_links_in_links_are_taken_apart():
    page = html_of("[a [[b]] ![[b]] c](http://h/) <a href=b>x [y](b.md)</a>", OTHERS)
    depth = 0
    for close in re.findall(r"<(/?)a[ >]", page):
        depth += -1 if close else 1
        assert depth in (0, 1)
    assert depth == 0
    assert page.count("<a ") == 7
