"""Diagrams are drawn by a script that only their pages load."""

from __future__ import annotations

import gzip
from pathlib import Path

import brotli
import pytest

from notes import statics
from notes.responses import PAGE_POLICY
from tests.notes.sites import Client, Reply, make_site, served

VENDOR = Path(statics.__file__).parent / "static/notes/vendor"
DIAGRAM = "```mermaid\ngraph LR\n  A[<b>] --> B\n```"


def page(text: str, path: str = "/n", **others: str) -> Reply:
    with served(make_site({"n.md": text, **others})) as client:
        return client.get(path)


QUOTED = "\n> ".join(["> [!note]", *DIAGRAM.splitlines()])


@pytest.mark.parametrize("text", [DIAGRAM, f"{DIAGRAM}\n^id", QUOTED])
def test_a_page_with_a_diagram_has_its_text_and_what_draws_it(text: str) -> None:
    reply = page(text)
    assert 'class="mermaid">graph LR\n  A[&lt;b&gt;] --&gt; B\n</pre>' in reply.text
    for name in ("vendor/mermaid.min.js", "diagrams.js"):
        url = statics.url(f"notes/{name}")
        assert f'<script defer src="{url}"></script>' in reply.text
    assert reply.headers["Content-Security-Policy"] == PAGE_POLICY.replace(
        "style-src 'self'", "style-src 'self' 'unsafe-inline'"
    )


@pytest.mark.parametrize("text", ["`mermaid`", "```js\nmermaid\n```", "mermaid"])
def test_other_pages_load_none_of_it_and_allow_no_style(text: str) -> None:
    reply = page(text)
    assert "mermaid.min.js" not in reply.text
    assert "diagrams" not in reply.text
    assert reply.headers["Content-Security-Policy"] == PAGE_POLICY


def test_a_diagram_comes_with_the_note_that_is_embedded() -> None:
    reply = page("![[m]]", **{"m.md": DIAGRAM})
    assert "mermaid.min.js" in reply.text


def test_no_style_of_an_author_is_in_a_page_that_allows_styles() -> None:
    reply = page(f"{DIAGRAM}\n\n<p style='color:red'>x</p>\n<style>p {{}}</style>")
    assert "style=" not in reply.text
    assert "<style" not in reply.text


def test_the_compressed_copies_are_of_the_file() -> None:
    body = (VENDOR / "mermaid.min.js").read_bytes()
    assert gzip.decompress((VENDOR / "mermaid.min.js.gz").read_bytes()) == body
    assert brotli.decompress((VENDOR / "mermaid.min.js.br").read_bytes()) == body
    client = Client(statics.StaticFiles(lambda *_: pytest.fail("not found")))
    reply = client.get(statics.url("notes/vendor/mermaid.min.js"), accept_encoding="br")
    assert reply.body == (VENDOR / "mermaid.min.js.br").read_bytes()
    assert reply.headers["Content-Encoding"] == "br"
    assert reply.headers["Content-Type"].startswith("text/javascript")
    assert "MIT" in (VENDOR / "mermaid.LICENSE.txt").read_text()
