"""CommonMark is whole when the dialect is off, and GitHub's additions are there."""

from __future__ import annotations

import json
import re

import pytest

from notes.rendering import commonmark_parser, gfm_parser
from tests.notes.rendering_vault import SHARED

NOT_AS_GFM = {
    616: "a bare address in '<' and '>' is a link: the addition is on in every example",
    619: "as 616",
    620: "as 616",
    645: "CommonMark 0.31 allows '--' in a comment, the 0.29 of GFM did not",
    646: "as 645",
}
# The collection has these examples without their input: what GitHub's additions
# make of these texts is what it says of them.
INPUTS = {
    198: "| foo | bar |\n| --- | --- |\n| baz | bim |\n",
    199: "| abc | defghi |\n:-: | -----------:\nbar | baz\n",
    200: "| f\\|oo |\n| --- |\n| b `\\|` az |\n| b **\\|** im |\n",
    201: "| abc | def |\n| --- | --- |\n| bar | baz |\n> bar\n",
    202: "| abc | def |\n| --- | --- |\n| bar | baz |\n| bar |\n\nbar\n",
    203: "| abc | def |\n| --- |\n| bar |\n",
    204: "| abc | def |\n| --- | --- |\n| bar |\n| bar | baz | boo |\n",
    205: "| abc | def |\n| --- | --- |\n",
    279: "- [ ] foo\n- [x] bar\n",
    280: "- [x] foo\n  - [ ] bar\n  - [x] baz\n- [ ] bim\n",
    491: "~~Hi~~ Hello, world!\n",
    492: "This ~~has a\n\nnew paragraph~~.\n",
    621: "www.commonmark.org\n",
    622: "Visit www.commonmark.org/help for more information.\n",
    623: "Visit www.commonmark.org.\n\nVisit www.commonmark.org/a.b.\n",
    624: "\n\n".join(
        before + "www.google.com/search?q=Markup+(business)" + after
        for before, after in (("", ""), ("", "))"), ("(", ")"), ("(", ""))
    ),
    625: "www.google.com/search?q=(business))+ok\n",
    626: (
        "www.google.com/search?q=commonmark&hl=en\n\n"
        "www.google.com/search?q=commonmark&hl;\n"
    ),
    627: "www.commonmark.org/he<lp\n",
    628: (
        "http://commonmark.org\n\n"
        "(Visit https://encrypted.google.com/search?q=Markup+(business))\n\n"
        "Anonymous FTP is available at ftp://foo.bar.baz.\n"
    ),
    629: "foo@bar.baz\n",
    630: "hello@mail+xyz.example isn't valid, but hello+xyz@mail.example is.\n",
    631: "a.b-c_d@a.b\n\na.b-c_d@a.b.\n\na.b-c_d@a.b-\n\na.b-c_d@a.b_\n",
}
SANITISED = {
    653: "what HTML is allowed is the sanitiser's to say, in the notes' parser"
}


_TICKED = 'disabled="" type="checkbox" checked=""'


def _examples(name):
    return json.loads((SHARED / "conformance" / name).read_text())


def _normal(html):
    """As CommonMark's own test runner has it: space between blocks means nothing."""
    html = re.sub(r"(</?(?:blockquote|ul|ol|li|p|t[a-z]+)[^>]*>)\s+", r"\1", html)
    html = re.sub(r"\s+(</?(?:blockquote|ul|ol|li|p|t[a-z]+)[^>]*>)", r"\1", html)
    html = re.sub(r' style="text-align:([a-z]+)"', r' align="\1"', html)
    html = re.sub(r' class="[^"]*task[^"]*"', "", html)
    html = html.replace('checked="" disabled="" type="checkbox"', _TICKED)
    html = re.sub(r"<(/?)s>", r"<\1del>", html)
    return html.replace(" />", ">")


def test_commonmark_is_whole_with_the_dialect_off():
    examples = _examples("commonmark-0.31.2.json")
    parser = commonmark_parser()
    failed = [
        example["example"]
        for example in examples
        if _normal(parser.render(example["markdown"])) != _normal(example["html"])
    ]
    assert (len(examples), failed) == (652, [])


def test_gfm_is_whole_but_for_a_list_with_reasons():
    examples = _examples("gfm-0.29.json")
    parser = gfm_parser()
    failed = [
        number
        for example in examples
        if (number := example["example"]) not in SANITISED
        and _normal(parser.render(example["markdown"] or INPUTS[number]))
        != _normal(example["html"])
    ]
    assert (len(examples), failed) == (673, sorted(NOT_AS_GFM))


@pytest.mark.parametrize(
    ("text", "href"),
    [
        ("读https://example.com/a。好", "https://example.com/a"),
        ("http://localhost:8080/x?y=1&z=2#w", "http://localhost:8080/x?y=1&z=2#w"),
        ("**https://example.com**", "https://example.com"),
        ("http://a.b/x_y_z", "http://a.b/x_y_z"),
    ],
)
def test_address_in_the_text_is_a_link(text, href):
    html = gfm_parser().render(text)
    assert f'<a href="{href.replace("&", "&amp;")}">' in html


@pytest.mark.parametrize(
    "text",
    [
        "README.md",
        "example.com",
        "http\\://example.com",
        "ahttp://example.com",
        "`http://example.com`",
        "http://",
        "www.",
        "a@b",
        "javascript://example.com",
    ],
)
def test_what_is_no_address_is_no_link(text):
    assert "<a" not in gfm_parser().render(text)


def test_address_in_a_link_is_not_a_link_of_its_own():
    html = gfm_parser().render("[see http://b.c](http://a.b) <a>http://d.e</a>")
    assert html == (
        '<p><a href="http://a.b">see http://b.c</a> <a>http://d.e</a></p>\n'
    )
