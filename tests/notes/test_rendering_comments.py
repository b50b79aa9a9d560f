"""Comments and highlights: what is hidden stays hidden, what is marked is marked."""

from __future__ import annotations

import pytest

from notes.rendering import parse
from tests.notes.rendering_vault import Vault, html_of, source

HIDDEN = [
    "%%secret%%",
    "%%\nsecret\n\n# secret\n\n- secret\n%%",
    "%% secret\n\nsecret %%",
    "%%\nsecret\n\nto the end",
    "%%\n```\nsecret\n```\n%%",
    "> %%secret%%",
    "> %%\n> secret\n> %%",
    "- %%\n  secret\n\n  secret\n  %%",
    "| a |\n| - |\n| %%secret%% |",
    "# a %%secret%%",
    "*a %%secret%%*",
    "[a %%secret%%](b)",
    "[[gone|a %%secret%%]]",
    "![[gone|a %%secret%%]]",
    "![[Note|a %%secret%%]]",
    "![[picture.png|a %%secret%%|300]]",
    "^[%%secret%%]",
    "a\n%%\nsecret\n\nsecret\n%%",
    "a[^1]\n\n[^1]: %%secret%%",
    "a %%secret\nsecret%% b",
    "a %%secret\n\nsecret%% b",
    "a\nb %%secret\n\n# secret\n\n- secret\n\nsecret%% b\nc",
    "# a %%secret\n\nsecret%%\n\nb",
    "a %%secret\n# secret%%",
    "a %%secret\nsecret\n===\n\nsecret%%\n\nb",
    "a %%secret\n# secret\n\nsecret%% b %%secret%%",
    "- a %%secret\n- secret%% b",
    "- %%secret\n- secret%%\n- b",
    "> a %%secret\n\nsecret%% b",
    "> %%secret\n> secret\n\nsecret%% b",
    "> - a %%secret\n>\n> secret%% b",
    "a %%b%% c %%secret\n\nsecret%% d",
    "a %%secret\n\n%%secret%%\n\n```\nsecret\n```\nsecret%% b",
    "a[^1]\n\n[^1]: b %%secret\n\nsecret%%",
    "> [!note] T %%secret\n> secret\n>\n> secret%% b",
    "> [!note]- T %%secret\n\nsecret%% b",
    "| a | b %%secret |\n|---|---|\n| secret | d |\n\nsecret%% z",
    "<div>\n%%secret%%\n</div>\n\nx",
    "<details><summary>a %%secret%%</summary>\nb\n</details>",
    "<div>a %%secret\n\nsecret%%</div>",
    "- - a %%secret\n- secret%% b",
    "<details>\n<summary>s</summary>\n%% a\n\nsecret\n\nb %%\n</details>",
    "<div>\n%%\n\nsecret\n\n%%\n</div>",
    "<br>\n%%\nsecret\n\nsecret\n%%",
    "<div>\n%% secret\n</div>",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_comment_is_nowhere(text):
    note = Vault({"Note.md": text}).render("Note.md")
    assert "secret" not in f"{note.html} {note.headings} {note.excerpt} {note.tags}"
    assert "%%" not in note.html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a %%b%% c", "<p>a  c</p>\n"),
        ("%%b%%", ""),
        ("%%b%%\nc", "<p>c</p>\n"),
        ("a\n%%b%%", "<p>a</p>\n"),
        ("a\n%%\nb\n%%\nc", "<p>a</p>\n<p>c</p>\n"),
        ("%%\nb\n%% c", "<p>c</p>\n"),
        ("%%\nb\n%% - c", "<ul>\n<li>c</li>\n</ul>\n"),
        ("a %%b%% ^id", '<p id="^id">a</p>\n'),
        ("`%%b%%` \\%%b%%", "<p><code>%%b%%</code> %%b%%</p>\n"),
        ("```\n%% b\n```", "<pre><code>%% b\n</code></pre>\n"),
        ("100% 5%%", "<p>100% 5%%</p>\n"),
        ("- a\n  %%\n  b\n- c", "<ul>\n<li>a</li>\n<li>c</li>\n</ul>\n"),
        ("a %%b\n\nc%% d\ne", "<p>a</p>\n<p>d<br>\ne</p>\n"),
        ("- a %%b\n- c%% d\n- e", "<ul>\n<li>a<br>\nd</li>\n<li>e</li>\n</ul>\n"),
        (
            "> a %%b\n\nc%% - d",
            "<blockquote>\n<p>a</p>\n</blockquote>\n<ul>\n<li>d</li>\n</ul>\n",
        ),
        # Nothing ends what the first one would begin.
        ("5%% a\n\n%%b%%\n\nc", "<p>5%% a</p>\n<p>c</p>\n"),
        ("`%%` a\n\nb %% c", "<p><code>%%</code> a</p>\n<p>b %% c</p>\n"),
        ("<!-- %% -->\n\na %% b", "\n<p>a %% b</p>\n"),
        ("~~~\n%%\n~~~\n\na %% b", "<pre><code>%%\n</code></pre>\n<p>a %% b</p>\n"),
        ("    %%\n\na %% b", "<pre><code>%%\n</code></pre>\n<p>a %% b</p>\n"),
        (
            "> `%%`\n\na %% b",
            "<blockquote>\n<p><code>%%</code></p>\n</blockquote>\n<p>a %% b</p>\n",
        ),
        ("\\%%a\n\nb %% c", "<p>%%a</p>\n<p>b %% c</p>\n"),
    ],
)
def test_what_is_around_a_comment_stays(text, html):
    assert html_of(text) == html


def test_links_in_comments_count_and_files_do_not():
    text = "%%[[b]] ![[c]] [x](d.md) [[e.png]] [[gone]] `[[f]]` [^1] [[Note]]%%"
    names = ["b.md", "c.md", "d.md", "f.md"]
    vault = Vault({"Note.md": text} | dict.fromkeys(names, ""), ["e.png"])
    note = vault.render("Note.md")
    assert note.html == ""
    assert note.links == ("b.md", "c.md", "d.md")
    assert (note.attachments, note.unresolved, note.embeds) == ((), (), ())
    assert {"b", "c", "d", "gone"} <= note.lookups


def test_links_in_comments_over_paragraphs_count():
    vault = Vault(
        {"Note.md": "a %%[[b]]\n\n![[e.png]] [[c]]%%", "b.md": "", "c.md": ""},
        ["e.png"],
    )
    note = vault.render("Note.md")
    assert note.links == ("b.md", "c.md")
    assert note.attachments == ()


def test_links_in_comments_of_an_embedded_note_are_that_notes_own():
    vault = Vault({"Note.md": "![[b]]", "b.md": "x %%[[c]]%%", "c.md": ""})
    assert vault.render("Note.md").links == ("b.md",)
    assert vault.render("b.md").links == ("c.md",)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("==a==", "<mark>a</mark>"),
        ("a==b==c", "a<mark>b</mark>c"),
        ("==*a* `==`==", "<mark><em>a</em> <code>==</code></mark>"),
        ("*==a==*", "<em><mark>a</mark></em>"),
        ("==a\nb==", "<mark>a<br>\nb</mark>"),
        ("== a ==", "== a =="),
        ("a == b == c", "a == b == c"),
        ("==a", "==a"),
        ("====a====", "====a===="),
        ("===a===", "===a==="),
        ("\\==a==", "==a=="),
        ("~~==a~~==", "<s>==a</s>=="),
    ],
)
def test_highlight(text, html):
    assert html_of(text) == f"<p>{html}</p>\n"


def test_highlight_is_its_text_elsewhere():
    note = parse(source("# ==A== b\n\n==c=="))
    assert (note.title, note.title_anchor, note.excerpt) == ("A b", "a-b", "c")


def test_a_comment_over_paragraphs_is_in_no_text_of_a_link():
    vault = Vault(
        {"Note.md": "[[b|x *y* %%secret%%]] %%secret\n\nsecret%%", "b.md": ""}
    )
    assert "secret" not in vault.render("Note.md").html
