"""What the dialect means: each rule, and what it leaves alone."""

from __future__ import annotations

import pickle
import re

import pytest

from notes.rendering import Heading, parse, pygments_css, render_error, slug
from tests.notes.rendering_vault import Vault, html_of, source

NOTES = {
    "Other note.md": "# Other\n\n## Sec A\n\na\n\n### B\n\nb ^block\n\n## C\n\nc",
    "a/Deep.md": "deep",
    "плюс.md": "x",
    "b/README.md": "",
}
ATTACHMENTS = ["img/cat.png", "img/two words.png", "s.mp3", "v.mp4", "paper.pdf"]


def article(body):
    return html_of(body, NOTES, ATTACHMENTS)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("[[Other note]]", '<a href="/Other%20note">Other note</a>'),
        ("[[other NOTE.md]]", '<a href="/Other%20note">other NOTE.md</a>'),
        ("[[Other note|*text*]]", '<a href="/Other%20note"><em>text</em></a>'),
        ("*[[Other note|a*b]]*", '<em><a href="/Other%20note">a*b</a></em>'),
        (
            "*a* **b [[Other note|*c*]]** d",
            '<em>a</em> <strong>b <a href="/Other%20note"><em>c</em></a></strong> d',
        ),
        ("[[Other note|#a [b](c)]]", '<a href="/Other%20note">#a [b](c)</a>'),
        ("[[Other note\\|text]]", '<a href="/Other%20note">text</a>'),
        ("[[ Other note | text ]]", '<a href="/Other%20note">text</a>'),
        ("[[Other note|a|b]]", '<a href="/Other%20note">a|b</a>'),
        ("[[Other note|<b>&]]", '<a href="/Other%20note">&lt;b&gt;&amp;</a>'),
        (
            "[[Other note#sec a]]",
            '<a href="/Other%20note#sec-a">Other note &gt; sec a</a>',
        ),
        (
            "[[Other note#Sec A#B]]",
            '<a href="/Other%20note#b">Other note &gt; Sec A &gt; B</a>',
        ),
        ("[[Other note#C#B]]", '<a href="/Other%20note">Other note &gt; C &gt; B</a>'),
        ("[[Other note#Other|x]]", '<a href="/Other%20note#other">x</a>'),
        ("[[Other note#gone|x]]", '<a href="/Other%20note">x</a>'),
        ("[[Other note#^BLOCK|x]]", '<a href="/Other%20note#%5Eblock">x</a>'),
        ("[[плюс]]", '<a href="/%D0%BF%D0%BB%D1%8E%D1%81">плюс</a>'),
        ("[x](b/)", '<a href="/b/README">x</a>'),
        ("[[b/|x]]", '<a href="/b/README">x</a>'),
        ("[x](a/)", '<span class="unresolved">x</span>'),
        ("[[gone]]", '<span class="unresolved">gone</span>'),
        ("[[gone|x]]", '<span class="unresolved">x</span>'),
        ("[[#gone]]", '<span class="unresolved">gone</span>'),
        ("[[cat.png]]", '<a href="/img/cat.png">cat.png</a>'),
        ("`[[Other note]]`", "<code>[[Other note]]</code>"),
        ("\\[[Other note]]", "[[Other note]]"),
        ("[[]] [[|x]] [[ ]] [[#]]", "[[]] [[|x]] [[ ]] [[#]]"),
        ("[[Other\nnote]]", "[[Other<br>\nnote]]"),
        ("[x](Other%20note.md)", '<a href="/Other%20note">x</a>'),
        ("[x](<Other note.md>)", '<a href="/Other%20note">x</a>'),
        ("[**x**](a/Deep.md)", '<a href="/a/Deep"><strong>x</strong></a>'),
        ("[x](Deep)", '<a href="/a/Deep">x</a>'),
        ("[x](../Deep.md)", '<span class="unresolved">x</span>'),
        ("[x](Other%20note.md#sec-a)", '<a href="/Other%20note#sec-a">x</a>'),
        ("[x](Other%20note.md#Sec%20A)", '<a href="/Other%20note#sec-a">x</a>'),
        ('[x](paper.pdf "t")', '<a href="/paper.pdf" title="t">x</a>'),
        ("[**x**](gone.md)", '<span class="unresolved"><strong>x</strong></span>'),
        ("[x](//h/p)", '<a href="//h/p">x</a>'),
        ("[x](https://h/)", '<a href="https://h/">x</a>'),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("<a href='Other note.md'>x</a>", '<a href="/Other%20note">x</a>'),
        (
            "<a id=i href='#j'>x</a><b id=j>y</b> [z](#i)",
            '<span id="i"></span><a href="#j">x</a><b id="j">y</b> <a href="#i">z</a>',
        ),
        ("<a href='javascript:x'>x</a>", "<a>x</a>"),
        ("a\nb", "a<br>\nb"),
        ("~~a~~ ~b~", "<s>a</s> ~b~"),
    ],
)
def test_inline(text, html):
    assert article(text) == f"<p>{html}</p>\n"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "![[cat.png]]",
            '<img src="/img/cat.png" alt="cat.png" loading="lazy">',
        ),
        (
            "![[cat.png|300]]",
            '<img src="/img/cat.png" alt="cat.png" width="300" loading="lazy">',
        ),
        (
            "![[cat.png|A cat|300x200]]",
            '<img src="/img/cat.png" alt="A cat" width="300" height="200"'
            ' loading="lazy">',
        ),
        (
            "![[cat.png#icon]]",
            '<img src="/img/cat.png" alt="cat.png" class="icon" loading="lazy">',
        ),
        (
            "![A *cat*|50](img/cat.png)",
            '<img src="/img/cat.png" alt="A cat" width="50" loading="lazy">',
        ),
        (
            '![](img/two%20words.png "t")',
            '<img src="/img/two%20words.png" alt="" title="t" loading="lazy">',
        ),
        (
            '<img src="img/cat.png" onerror="x" width=5>',
            '<img src="/img/cat.png" alt="" width="5" loading="lazy">',
        ),
        ("![[gone.png|x]]", '<span class="unresolved">x</span>'),
        ("![x](gone.png)", '<span class="unresolved">x</span>'),
        ("![p](paper.pdf)", '<a href="/paper.pdf">p</a>'),
        (
            "![[s.mp3]]",
            '<audio src="/s.mp3" controls preload="none">'
            '<a href="/s.mp3">s.mp3</a></audio>',
        ),
        (
            "![[v.mp4|300]]",
            '<video src="/v.mp4" width="300" controls preload="none">'
            '<a href="/v.mp4">v.mp4</a></video>',
        ),
        (
            '<video controls><source src="v.mp4"><source src="http://h/v"></video>',
            '<video controls=""><source src="/v.mp4"></video>',
        ),
        (
            '<audio src="s.mp3" controls></audio><audio src="http://h/s.mp3"></audio>',
            '<audio controls=""><source src="/s.mp3"></audio><audio></audio>',
        ),
        (
            "![A cat](https://h/c.png)",
            '<a class="external-image" href="https://h/c.png">A cat</a>',
        ),
        (
            '<img src="//h/c%20d.png?x">',
            '<a class="external-image" href="//h/c%20d.png?x">c d.png</a>',
        ),
        (
            "[![A badge](https://h/b.svg)](https://h/)",
            '<a href="https://h/"><span class="external-image">A badge</span></a>',
        ),
        (
            "[![x](img/cat.png)](a/Deep.md)",
            '<a href="/a/Deep"><img src="/img/cat.png" alt="x" loading="lazy"></a>',
        ),
        (
            "![x](data:image/png;base64,AA==)",
            '<img src="data:image/png;base64,AA==" alt="x">',
        ),
        ("<img src='data:image/png;base64,AA==' alt=x>", "x"),
    ],
)
def test_media(text, html):
    # HTML at the start of a line is a block, and in no paragraph.
    assert article(text).strip() in (f"<p>{html}</p>", html)


def test_link_in_a_table_has_its_bar_escaped():
    html = article("| a |\n| :-: |\n| [[Other note\\|b]] |")
    assert html == (
        '<div class="table"><table>\n<thead>\n<tr>\n<th class="align-center">a</th>\n'
        '</tr>\n</thead>\n<tbody>\n<tr>\n<td class="align-center">'
        '<a href="/Other%20note">b</a></td>\n</tr>\n</tbody>\n</table></div>\n'
    )


def test_note_is_embedded_between_paragraphs():
    assert article("before ![[Deep]] after") == (
        "<p>before</p>\n"
        '<div class="embed"><p class="embed-title"><a href="/a/Deep">Deep</a></p>\n'
        "<p>deep</p>\n</div>\n<p>after</p>\n"
    )


def test_embed_on_a_line_of_its_own_takes_the_line_breaks_with_it():
    html = article("one\n![[Deep]]\n![[Deep]]  \ntwo ^id")
    assert re.sub(r"<div.*?</div>", "EMBED", html, flags=re.DOTALL) == (
        '<p id="^id">one</p>\nEMBED\nEMBED\n<p>two</p>\n'
    )


def test_file_that_cannot_be_shown_is_embedded_as_a_link():
    html = html_of("![[data.zip]]", attachments=["data.zip"])
    assert html == '<p><a href="/data.zip">data.zip</a></p>\n'


def test_title_of_a_note_names_all_of_it():
    assert article("![[Other note#Other]]") == article("![[Other note]]").replace(
        'href="/Other%20note"', 'href="/Other%20note#other"'
    )


def test_section_is_embedded_to_the_next_heading_of_its_level():
    assert article("![[Other note#Sec A]]") == (
        '<div class="embed"><p class="embed-title">'
        '<a href="/Other%20note#sec-a">Other</a></p>\n'
        '<h2 id="embed-1-sec-a">Sec A</h2>\n<p>a</p>\n'
        '<h3 id="embed-1-b">B</h3>\n<p id="embed-1-^block">b</p>\n</div>\n'
    )


def test_block_is_embedded_alone():
    assert article("![[Other note#^block]]") == (
        '<div class="embed"><p class="embed-title">'
        '<a href="/Other%20note#%5Eblock">Other</a></p>\n'
        '<p id="embed-1-^block">b</p></div>\n'
    )


def test_item_of_a_list_is_embedded_in_a_list():
    html = html_of("![[b#^x]]", {"b.md": "- one\n- two [[b]] ^x\n  - three\n- four"})
    assert html.endswith(
        '<ul><li id="embed-1-^x">two <a href="/b">b</a>\n<ul>\n<li>three</li>\n</ul>\n'
        "</li></ul></div>\n"
    )


def test_section_that_raw_html_spans_is_embedded_balanced():
    body = "<div>\n\n# One\n\na\n\n</div>\n\n# Two"
    html = html_of("![[b#One]]\n\nafter", {"b.md": "x\n\n" + body})
    assert html == (
        '<div class="embed"><p class="embed-title"><a href="/b#one">One</a></p>\n'
        '<h1 id="embed-1-one">One</h1>\n<p>a</p>\n\n</div>\n<p>after</p>\n'
    )


def test_part_that_is_not_there_is_not_embedded():
    for text in ("![[Other note#gone]]", "![[Other note#^gone]]", "![[gone]]"):
        assert '<p><span class="unresolved">' in article(text)


def test_embed_where_no_paragraph_can_stand_is_a_link():
    assert article("## See ![[Deep]]") == (
        '<h2 id="see-deep">See <a href="/a/Deep">Deep</a></h2>\n'
    )
    assert article("*a ![[Deep]]*") == '<p><em>a <a href="/a/Deep">Deep</a></em></p>\n'


def test_note_that_embeds_itself_ends():
    note = Vault({"a.md": "one ![[a]]"}).render("a.md")
    assert note.html == '<p>one</p>\n<p><a href="/a">a</a></p>\n'
    assert note.embeds == ()


def test_notes_that_embed_each_other_end():
    vault = Vault({"a.md": "A\n\n![[b]]", "b.md": "B\n\n![[a]]"})
    assert vault.render("a.md").html == (
        '<p>A</p>\n<div class="embed"><p class="embed-title"><a href="/b">b</a></p>\n'
        '<p>B</p>\n<p><a href="/a">a</a></p>\n</div>\n'
    )


def test_embeds_end_at_a_depth_of_five():
    notes = {f"{n}.md": f"text {n}\n\n![[{n + 1}]]" for n in range(9)}
    note = Vault(notes).render("0.md")
    assert note.embeds == ("1.md", "2.md", "3.md", "4.md", "5.md")
    assert '<p><a href="/6">6</a></p>' in note.html
    assert "text 6" not in note.html


def test_embeds_that_multiply_end():
    notes = {f"{n}.md": "x" * 100 + f"\n\n![[{n + 1}]]" * 20 for n in range(5)}
    note = Vault(notes).render("0.md")
    assert note.html.count('class="embed"') == 500


def test_ids_are_unique_where_a_note_is_embedded_twice():
    note = "# H\n\na[^1]\n\n[^1]: b\n"
    html = html_of(f"x\n\n{note}\n\n![[b]]\n\n![[b]]", {"b.md": "x\n\n" + note})
    assert [html.count(f'id="{prefix}h"') for prefix in ("", "embed-1-", "embed-2-")]
    assert html.count('id="') == len(
        {part.split('"')[0] for part in html.split('id="')[1:]}
    )
    assert html.count('href="#embed-2-fn:1"') == 1


def test_link_to_its_own_note_leads_to_that_note_where_embedded():
    html = html_of("![[b]]", {"b.md": "[[#H]]\n\n# H"})
    assert '<a href="/b#h">H</a>' in html


@pytest.mark.parametrize(
    ("properties", "body", "title", "html"),
    [
        ({"title": "Given"}, "# Own\n", "Given", '<h1 id="own">Own</h1>\n'),
        ({"title": 2024}, "x", "2024", "<p>x</p>\n"),
        ({"title": True}, "x", "Note", "<p>x</p>\n"),
        ({"title": "  "}, "x", "Note", "<p>x</p>\n"),
        ({"title": "Own"}, "# Own\n\nx", "Own", "<p>x</p>\n"),
        ({}, "# Own *b*\n\nx", "Own b", "<p>x</p>\n"),
        ({}, "x\n\n# Own", "Own", '<p>x</p>\n<h1 id="own">Own</h1>\n'),
        ({}, "## Own", "Note", '<h2 id="own">Own</h2>\n'),
        ({}, "", "Note", ""),
    ],
)
def test_title(properties, body, title, html):
    vault = Vault({})
    vault.notes["Note.md"] = parse(source(body, properties=properties))
    note = vault.render("Note.md")
    assert (note.title, note.html) == (title, html)


def test_heading_that_is_the_title_can_still_be_linked_to():
    note = Vault({"a.md": "# The *title*\n\n[[#The title]] [[a#the title|x]]"}).render(
        "a.md"
    )
    assert note.title_anchor == "the-title"
    assert note.html == (
        '<p><a href="#the-title">The title</a> <a href="/a#the-title">x</a></p>\n'
    )


def test_headings_have_unique_anchors():
    note = parse(source("x\n\n# A\n\n## A\n\n## a-1\n\n# Ünï ✓ *b*\n\n# ✓\n\n# Fn:1"))
    assert note.headings == (
        Heading(1, "A", "a"),
        Heading(2, "A", "a-1"),
        Heading(2, "a-1", "a-1-1"),
        Heading(1, "Ünï ✓ b", "ünï-b"),
        Heading(1, "✓", "section"),
        Heading(1, "Fn:1", "fn1"),
    )


def test_slug():
    assert slug("  Что нового?  v2.0 ") == "что-нового-v20"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a ^id", '<p id="^id">a</p>\n'),
        ("a\n^Id", '<p id="^id">a</p>\n'),
        ("a ^id ", "<p>a ^id</p>\n"),
        ("a ^i_d", "<p>a ^i_d</p>\n"),
        ("a^id", "<p>a^id</p>\n"),
        ("a `^id`", "<p>a <code>^id</code></p>\n"),
        ("a ^x\n\nb ^X", '<p>a</p>\n<p id="^x">b</p>\n'),
        ("- a ^id\n- b", '<ul>\n<li id="^id">a</li>\n<li>b</li>\n</ul>\n'),
        ("- a\n- b\n\n^id", '<ul id="^id">\n<li>a</li>\n<li>b</li>\n</ul>\n'),
        ("> a\n\n^id", '<blockquote id="^id">\n<p>a</p>\n</blockquote>\n'),
        ("```\na\n```\n\n^id", '<pre id="^id"><code>a\n</code></pre>\n'),
        ("^id", "<p>^id</p>\n"),
        (
            "- a\n\n  ^id\n- b",
            '<ul>\n<li>\n<p id="^id">a</p>\n</li>\n<li>\n<p>b</p>\n</li>\n</ul>\n',
        ),
    ],
)
def test_block_ids(text, html):
    assert article(text) == html


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("#a", ["a"]),
        ("x #a/b_c-1, #ü", ["a/b_c-1", "ü"]),
        ("#2024 #y2024 #1a", ["y2024", "1a"]),
        ("a#b \\#c `#d` [x](#e) http://x/#f # g ##h", []),
        ("#中文。好", ["中文"]),
        ("#A #a", ["A"]),
        ("#a/ #/", ["a"]),
    ],
)
def test_tags_in_the_text(text, names):
    assert list(parse(source(text)).tags) == names


def test_tag_leads_to_its_page():
    assert article("#a/ü") == '<p><a href="/tags/a/%C3%BC" class="tag">#a/ü</a></p>\n'


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({"tags": ["a", "#b", 3, None, ""]}, ("a", "b", "3", "text")),
        ({"tags": "a, b c"}, ("a", "b", "c", "text")),
        ({"tag": "a"}, ("a", "text")),
        ({"tags": None}, ("text",)),
        ({"tags": {"a": 1}}, ("{'a': 1}", "text")),
        ({"tags": ["Text"]}, ("Text",)),
    ],
)
def test_tags_of_the_frontmatter_come_first(properties, names):
    assert parse(source("#text", properties=properties)).tags == names


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("![[cat.png]]", 'alt="cat.png" width="400" height="200"'),
        ("![[cat.png|300]]", 'alt="cat.png" width="300" height="150"'),
        ("![[cat.png|30x40]]", 'alt="cat.png" width="30" height="40"'),
        ('<img src="cat.png" height="50">', 'alt="" height="50" width="100"'),
        ('<img src="cat.png" width="50%">', 'alt="" width="50%"'),
    ],
)
def test_a_picture_says_how_large_it_is(text, attributes):
    vault = Vault({"a.md": text}, ["cat.png"], sizes={"cat.png": (400, 200)})
    note = vault.render("a.md")
    assert f'<img src="/cat.png" {attributes} loading="lazy">' in note.html
    assert "cat.png" in note.dependencies


def test_tasks_are_boxes_that_cannot_be_ticked():
    assert article("- [x] a\n- [ ] b\n- c") == (
        '<ul class="contains-task-list">\n<li class="task-list-item">'
        '<input class="task-list-item-checkbox" type="checkbox" aria-label="Done"'
        ' checked="" disabled=""> a</li>\n<li class="task-list-item">'
        '<input class="task-list-item-checkbox" type="checkbox" aria-label="To do"'
        ' disabled=""> b</li>\n<li>c</li>\n</ul>\n'
    )


def test_footnotes():
    assert article("a[^x] b[^x]\n\n[^x]: note") == (
        '<p>a<sup class="footnote-ref" id="fnref:1">'
        '<a href="#fn:1" role="doc-noteref">1</a></sup>'
        ' b<sup class="footnote-ref" id="fnref:1:1">'
        '<a href="#fn:1" role="doc-noteref">1</a></sup></p>\n'
        '<div class="footnotes" role="doc-endnotes" aria-label="Footnotes">\n<ol>\n'
        '<li id="fn:1"><p>note'
        ' <a href="#fnref:1" class="footnote-backref" role="doc-backlink"'
        ' aria-label="Back to reference 1">\u21a9\ufe0e</a>'
        ' <a href="#fnref:1:1" class="footnote-backref" role="doc-backlink"'
        ' aria-label="Back to reference 1:1">\u21a9\ufe0e</a></p>\n'
        "</li>\n</ol>\n</div>\n"
    )


def test_code_is_highlighted_in_a_language_that_is_known():
    assert article("```Python\nx = 1\n```") == (
        '<pre class="highlight"><code class="language-Python">'
        '<span class="n">x</span> <span class="o">=</span> '
        '<span class="mi">1</span>\n</code></pre>\n'
    )


@pytest.mark.parametrize("language", ["", "no-such-language", "x" * 1000, '"><b>'])
def test_code_is_plain_in_a_language_that_is_not(language):
    assert "&lt;b&gt;\n</code></pre>" in article(f"```{language}\n<b>\n```")


def test_long_code_is_plain():
    line = "x = 1\n"
    short, long = (line * (size // len(line)) for size in (99_000, 101_000))
    assert "<span" in article(f"```python\n{short}```")
    assert "<span" not in article(f"```python\n{long}```")


def test_code_beyond_a_notes_budget_is_plain():
    block = "```python\n" + "x = 1\n" * 16_000 + "```\n\n"
    assert article(block * 6).count('class="highlight"') == 4


def test_style_sheets_colour_code():
    light, dark = pygments_css()
    assert ".highlight .k " in light
    assert ".highlight .k " in dark
    assert light != dark


def test_excerpt_is_the_text_of_the_first_paragraphs():
    text = "# T\n\n![[cat.png]] A *b* [[Other note|c]]\nd\n\n```\ncode\n```\n\n> e <b>f</b>"
    assert parse(source(text)).excerpt == "A b c d e f"


def test_excerpt_is_cut_after_a_word():
    assert parse(source("word, " * 100)).excerpt == ("word, " * 25) + "word…"
    assert parse(source("字" * 500)).excerpt == "字" * 160 + "…"


def test_uses_are_listed():
    vault = Vault(
        {
            "Note.md": "[[b]] [[Note]] [[b]] ![[c]] ![[cat.png]] [p](p.pdf) [[gone]]",
            "b.md": "[[d]]",
            "c.md": "[[d]] ![[b]] ![[dog.png]] [[lost]]",
            "d.md": "",
        },
        ["cat.png", "dog.png", "p.pdf", "unused.png"],
    )
    note = vault.render("Note.md")
    assert note.links == ("b.md", "c.md")
    assert note.attachments == ("dog.png", "cat.png", "p.pdf")
    assert note.embeds == ("c.md", "b.md")
    assert note.unresolved == ("gone",)
    assert note.error is None


def test_note_that_cannot_be_parsed_is_not_embedded():
    class Broken(Vault):
        def parsed(self, path, /):
            return None

    vault = Broken({"a.md": "![[b]] [[b#x|y]]", "b.md": ""})
    assert vault.render("a.md").html == (
        '<p><span class="unresolved">b</span></p>\n<p><a href="/b">y</a></p>\n'
    )


def test_error_is_shown_without_its_text():
    note = render_error("a/b.md", ValueError("secret"))
    assert (note.path, note.title) == ("a/b.md", "b")
    assert "secret" not in note.html
    assert note.error == "ValueError: secret"


def test_parsed_note_survives_pickling():
    note = parse(source("# A\n\n[[b]] ![[c.png]] ![[d]] ^e\n\n## F[^1]\n\n[^1]: g"))
    assert pickle.loads(pickle.dumps(note)) == note  # noqa: S301


def test_what_yaml_can_say_and_unicode_cannot_is_replaced():
    note = parse(source("x", properties={"title": "a\ud800", "tags": ["b\udfff"]}))
    assert (note.title, note.tags) == ("a?", ("b?",))
