"""Canvas files are drawn, with what readers may see of them and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

from notes.rendering.boards import MAX_NODES
from tests.notes.rendering_vault import html_of
from tests.notes.sites import make_site, served


def board(
    *nodes: Mapping[str, object], edges: list[Mapping[str, object]] | None = None
):
    """Return the bytes of a canvas; a node without a place is below the others."""
    placed = [
        {"id": str(n), "x": 0, "y": n * 100, "width": 200, "height": 80, **node}
        for n, node in enumerate(nodes)
    ]
    return json.dumps({"nodes": placed, "edges": edges or []}).encode()


def page(canvas: bytes, **others: str | bytes) -> str:
    """Return the page of the canvas 'c.canvas', which 'index.md' links to."""
    files = {name.replace("_", "."): text for name, text in others.items()}
    site = make_site({"index.md": "[[c.canvas]]", "c.canvas": canvas, **files})
    with served(site) as client:
        return client.get("/c.canvas").text


def test_cards_are_markdown_in_the_order_of_reading():
    html = page(
        board(
            {"type": "text", "text": "# Last\n\n*low*", "y": 500},
            {"type": "text", "text": "first [[a]] ==b== %%c%%", "y": -10},
        ),
        a_md="# A",
    )
    assert '<p>first <a href="/a">a</a> <mark>b</mark></p>' in html
    assert "<em>low</em>" in html
    assert html.index("first") < html.index("<em>low")
    assert "%%" not in html
    assert '<foreignObject x="0" y="-10" width="200" height="80">' in html
    assert '<svg width="280" height="670" viewBox="-40 -50 280 670">' in html


def test_what_a_card_may_be_is_shown():
    html = page(
        board(
            {"type": "file", "file": "a.md", "subpath": "#Two"},
            {"type": "file", "file": "p.png"},
            {"type": "file", "file": "s.mp3"},
            {"type": "file", "file": "d.zip"},
            {"type": "link", "url": "https://example.com/?a=1&b=2"},
            {"type": "link", "url": "javascript:alert(1)"},
            {"type": "group", "label": "All <of> it", "color": "4"},
            {"type": "text", "text": "red", "color": "#ff0000"},
        ),
        a_md="# A\n\nnot this\n\n## Two\n\nthis",
        p_png=b"p",
        s_mp3=b"s",
        d_zip=b"d",
    )
    assert "<p>this</p>" in html
    assert "not this" not in html
    assert 'href="/a#two"' in html
    assert '<img src="/p.png" alt="p.png" loading="lazy">' in html
    assert '<audio src="/s.mp3" aria-label="s.mp3" controls' in html
    assert '<a href="/d.zip">d.zip</a>' in html
    link = "https://example.com/?a=1&amp;b=2"
    assert f'<a href="{link}">{link}</a>' in html
    assert "<p>javascript:alert(1)</p>" in html
    assert '<g class="canvas-group canvas-color-4">' in html
    assert "All &lt;of&gt; it</text>" in html
    assert '<g class="canvas-node" stroke="#ff0000">' in html


def test_edges_are_lines_and_words():
    html = page(
        board(
            {"type": "text", "text": "One", "id": "a"},
            {"type": "text", "text": "Two", "id": "b", "x": 400, "y": 0},
            edges=[
                {"fromNode": "a", "toNode": "b", "label": "leads <to>"},
                {"fromNode": "b", "fromSide": "top", "toNode": "a", "toSide": "top"}
                | {"fromEnd": "arrow"},
                {"fromNode": "a", "toNode": "b", "toEnd": "none"},
                {"fromNode": "a", "toNode": "nowhere"},
            ],
        )
    )
    assert "<li>One → Two: leads &lt;to&gt;</li>" in html
    assert "<li>Two ↔ One</li>" in html
    assert "<li>One – Two</li>" in html
    edges = html[html.index("<li>One") :].partition("</ul>")[0]
    assert edges.count("<li>") == 3
    assert html.count('class="canvas-edge"') == 3
    assert 'd="M200 40C' in html


def test_a_file_that_readers_cannot_see_is_no_card_and_has_no_lines():
    html = page(
        board(
            {"type": "file", "file": "draft.md", "id": "d"},
            {"type": "file", "file": "gone.md", "id": "g"},
            {"type": "text", "text": "seen", "id": "s"},
            edges=[{"fromNode": "s", "toNode": "d", "label": "secretly"}],
        ),
        draft_md="---\ndraft: true\n---\nhidden",
    )
    assert "seen" in html
    for word in ("draft", "gone", "hidden", "secretly", "Connections"):
        assert word not in html


@pytest.mark.django_db  # where there is no page, former addresses are looked up
def test_a_canvas_has_a_page_only_where_a_published_note_leads_to_it():
    files: dict[str, str | bytes] = {
        "index.md": "[[one.canvas]]",
        "one.canvas": board({"type": "file", "file": "two.canvas"}),
        "two.canvas": board({"type": "file", "file": "p.png"}),
        "alone.canvas": board({"type": "file", "file": "q.png"}),
        "private.canvas": board({"type": "text", "text": "mine"}),
        "draft.md": "---\ndraft: true\n---\n[[private.canvas]]",
        "p.png": b"p",
        "q.png": b"q",
    }
    with served(make_site(files)) as client:
        statuses = {name: client.request("HEAD", f"/{name}").status for name in files}
    assert {name for name, status in statuses.items() if status != 404} == {
        "one.canvas",
        "two.canvas",
        "index.md",  # what it is written in
    }
    site = make_site(files)
    assert set(site.files) == {"/p.png"}
    assert site.shown_sheets == {"one.canvas", "two.canvas"}


def test_a_canvas_in_a_note_is_drawn_there():
    site = make_site(
        {
            "n.md": "before\n\n![[c.canvas]]\n\n## Part\n\n![[c.canvas|name]] after",
            "m.md": "![[n#Part]]",
            "c.canvas": board({"type": "text", "text": "# H\n\nx[^1]\n\n[^1]: y"}),
        }
    )
    html = site.pages["/n"].body.decode()
    assert html.count("<svg") == 2
    assert '<p class="embed-title"><a href="/c.canvas">c</a></p>' in html
    assert "canvas.css" in html
    ids = re.findall(r' id="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    # A part of a note is put right by the sanitiser, which takes no drawing.
    assert site.pages["/m"].body.decode().count("<svg") == 1
    assert "canvas.css" not in make_site({"a.md": "x"}).pages["/a"].body.decode()


def test_canvases_in_each_other_end():
    one = board({"type": "file", "file": "d.canvas"}, {"type": "text", "text": "x"})
    two = board({"type": "file", "file": "c.canvas"}, {"type": "file", "file": "n.md"})
    html = page(one, d_canvas=two, n_md="![[c.canvas]] ![[d.canvas]]")
    assert 0 < html.count("<svg") < 40


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"", "This canvas is empty."),
        (b"{}", "This canvas is empty."),
        (b"[1]", "The file is no canvas"),
        (b"{", "The file is not JSON"),
        (b"[" * 100_000, "The file is not JSON"),
        (b'{"nodes": 1, "edges": {}}', "This canvas is empty."),
        (b'{"nodes": [1, null, {}], "edges": [2]}', "type &#x27;&#x27; are not shown"),
        (
            b'{"nodes": [{"type": "text", "text": "\\ud800 x", "x": 1e999, "y": "a",'
            b' "width": -5, "height": NaN, "color": "red"}]}',
            " x</p>",
        ),
        (
            json.dumps(
                {"nodes": [{"id": n, "type": "group"} for n in range(MAX_NODES + 1)]}
            ).encode(),
            f"Only the first {MAX_NODES} of {MAX_NODES + 1} nodes are shown.",
        ),
        (
            board({"type": "text", "text": "</div></foreignObject><script>x"}),
            '<div class="canvas-card canvas-text"',
        ),
    ],
)
def test_whatever_the_file_holds_there_is_a_page(text, shown):
    html = page(text)
    assert shown in html
    assert "<script>x" not in html
    assert html.count("</foreignObject>") == html.count("<foreignObject")


def test_pdf_stands_in_a_frame_and_is_linked():
    assert html_of("![[a b.pdf#page=3]] *x*", attachments=["a b.pdf"]) == (
        '<div class="pdf"><iframe src="/a%20b.pdf#page=3" title="a b.pdf"'
        ' loading="lazy"></iframe>\n'
        '<p><a href="/a%20b.pdf#page=3">a b.pdf</a></p></div>\n\n'
        "<p><em>x</em></p>\n"
    )
