"""Callouts: what makes one, its type, its title, and how it folds."""

from __future__ import annotations

import pytest

from notes.rendering import parse
from tests.notes.rendering_vault import Vault, html_of, source


def callout(title, body="", name="note"):
    return (
        f'<div class="callout callout-{name}">\n'
        f'<div class="callout-title">{title}</div>\n{body}</div>\n'
    )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("> [!note]", callout("Note")),
        ("> [!note] A title\n> text", callout("A title", "<p>text</p>\n")),
        ("> [!NOTE]\n> text", callout("Note", "<p>text</p>\n")),
        (">[!note]\n>text", callout("Note", "<p>text</p>\n")),
        ("> [!tip]\n> - a", callout("Tip", "<ul>\n<li>a</li>\n</ul>\n", "tip")),
        ("> [!tip]\n> ---\n> a", callout("Tip", "<hr>\n<p>a</p>\n", "tip")),
        (
            "> [!tip]\n>     code",
            callout("Tip", "<pre><code>code\n</code></pre>\n", "tip"),
        ),
        ("> [!my type] x", callout("x", name="my-type")),
        ("> [!my type]", callout("My type", name="my-type")),
        ("> [!tip|wide] x", callout("x", name="tip")),
        ("> [!tip] x %%\n> y\n> %% z", callout("x", "<p>z</p>\n", "tip")),
        ("> [!hint] x", callout("x", name="tip callout-hint")),
        ('> [!a"><b>] x', callout("x", name="a-b")),
        ("> [!//] x", callout("x")),
        (
            "> [!note] `a` **b** <i>c</i>",
            callout("<code>a</code> <strong>b</strong> <i>c</i>"),
        ),
        (
            "> [!note] x ^id\n>\n> a\n\n^id2",
            callout("x ^id", "<p>a</p>\n").replace('-note"', '-note" id="^id2"'),
        ),
        ("> [!a]\nb\nc", callout("A", "<p>b<br>\nc</p>\n", "a")),
        (
            "> [!a]\n> > [!b] B\n> > c",
            callout("A", callout("B", "<p>c</p>\n", "b"), "a"),
        ),
        (
            "> [!a]\n> > b",
            callout("A", "<blockquote>\n<p>b</p>\n</blockquote>\n", "a"),
        ),
        (
            "- > [!a]\n  > b",
            f"<ul>\n<li>\n{callout('A', '<p>b</p>' + chr(10), 'a')}</li>\n</ul>\n",
        ),
        (
            "> [!tip]- T\n> text",
            '<details class="callout callout-tip">\n'
            '<summary class="callout-title">T</summary>\n<p>text</p>\n</details>\n',
        ),
        (
            "> [!tip]+\n> text",
            '<details open="" class="callout callout-tip">\n'
            '<summary class="callout-title">Tip</summary>\n<p>text</p>\n</details>\n',
        ),
    ],
)
def test_callout(text, html):
    assert html_of(text) == html


@pytest.mark.parametrize(
    "text",
    [
        "> text\n> [!note]",
        "> [!note]x",
        "> [!note]*",
        "> [!]",
        "> \\[!note]",
        "> [!note\n> ]",
        "> - [!note]",
        "[!note]",
        ">     [!note]",
    ],
)
def test_what_is_no_callout(text):
    assert "callout" not in html_of(text)


def test_title_links_to_notes_and_embeds_nothing():
    html = html_of("> [!note]- [[b]] ![[b]]\n> ![[b]]", {"b.md": "text"})
    assert html.count("text") == 1
    assert '<summary class="callout-title"><a href="/b">b</a> <a href' in html


def test_callout_is_embedded_by_its_id():
    vault = Vault({"Note.md": "![[b#^x]]", "b.md": "> [!tip]- T\n> a\n\n^x\n\nb"})
    assert vault.render("Note.md").html.endswith("<p>a</p>\n</details></div>\n")


def test_excerpt_is_of_the_text_and_not_of_titles():
    assert parse(source("> [!note] Title\n> text")).excerpt == "text"


def test_callouts_deeper_than_the_limit_end():
    html = html_of("> " * 60 + "[!note]\n\nafter")
    assert html.endswith("<p>after</p>\n")
