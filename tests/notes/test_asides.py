"""Asides: the tree, the graph and the look, as what pages ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from notes import asides
from notes.graphs import MAX_LISTED, MAX_NEAR
from notes.site import Site
from tests.notes.sites import Client, make_site, served

FILES: dict[str, str | bytes] = {
    "index.md": "# Tea & Co\n\n[[Green tea]] [[hidden]]",
    "teas/Green tea.md": "---\ntitle: Green <tea>\n---\n[[index]] [[x?&+ y]]",
    "teas/x?&+ y.md": "alone",
    "teas/black/Assam.md": "[[Green tea]]",
    "hidden.md": "---\ndraft: true\n---\n[[Green tea]]",
}


@pytest.fixture(scope="module")
def site() -> Site:
    return make_site(FILES)


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with served(site) as client:
        yield client


def _json(client: Client, url: str) -> Any:
    reply = client.get(url)
    assert reply.headers["Content-Type"] == "application/json"
    return json.loads(reply.body)


def test_a_branch_of_the_tree_is_what_its_folder_holds(client: Client) -> None:
    assert client.get("/-/tree/").text == (
        '<li class="folder"><button type="button" aria-expanded="false" '
        'aria-label="teas"></button><a href="/teas/">teas</a></li>\n'
    )
    branch = client.get("/-/tree/teas/")
    assert branch.text == (
        '<li class="folder"><button type="button" aria-expanded="false" '
        'aria-label="black"></button><a href="/teas/black/">black</a></li>\n'
        '<li><a href="/teas/Green-tea">Green &lt;tea&gt;</a></li>\n'
        '<li><a href="/teas/x%3F%26+-y">x?&amp;+ y</a></li>\n'
    )
    assert branch.headers["X-Robots-Tag"] == "noindex"


def test_the_links_of_all_notes(client: Client) -> None:
    assert _json(client, "/-/links") == {
        "notes": [
            ["Tea & Co", "/"],
            ["Green <tea>", "/teas/Green-tea"],
            ["Assam", "/teas/black/Assam"],
            ["x?&+ y", "/teas/x%3F%26+-y"],
        ],
        "links": [[0, 1], [1, 2], [1, 3]],
    }
    assert client.get("/-/links").body is client.get("/-/links").body


def test_the_links_around_one_note(client: Client) -> None:
    assert _json(client, "/-/links/teas/black/Assam") == {
        "notes": [["Assam", "/teas/black/Assam"], ["Green <tea>", "/teas/Green-tea"]],
        "links": [[0, 1]],
    }
    assert len(_json(client, "/-/links/teas/Green-tea")["notes"]) == 4


def test_the_graph_of_a_note_with_very_many_links_has_a_bound() -> None:
    site = make_site({f"{n}.md": "[[hub]]" for n in range(250)} | {"hub.md": ""})
    with served(site) as client:
        assert len(_json(client, "/-/links/hub")["notes"]) == MAX_NEAR
        assert client.get("/-/graph").text.count("<li><a href") == MAX_LISTED + 1


def test_the_graph_is_a_list_for_who_cannot_see_it(client: Client) -> None:
    page = client.get("/-/graph").text
    assert '<div class="graph" data-links="/-/links"></div>' in page
    assert (
        '<li><a href="/teas/Green-tea">Green &lt;tea&gt;</a> '
        '<span class="count">4</span> '
        '<a class="more" href="/-/graph?of=/teas/Green-tea" '
        'aria-label="Links of Green &lt;tea&gt;">links</a></li>'
    ) in page
    one = client.get("/-/graph?of=/teas/Green-tea").text
    assert '<div class="graph" data-links="/-/links/teas/Green-tea"></div>' in one
    assert '<h2>Links to</h2>\n<ul class="notes">\n<li><a href="/">' in one
    assert "<h2>Linked from</h2>" in one
    alone = client.get("/-/graph?of=/teas/x%3F%26%2B-y").text
    assert "<title>Graph: x?&amp;+ y" in alone
    assert "<h2>Links to</h2>" not in alone


def test_a_site_without_links_says_so() -> None:
    with served(make_site({"a.md": ""})) as client:
        assert "No note links to another yet." in client.get("/-/graph").text
        assert client.get("/-/graph?of=/nowhere").text == client.get("/-/graph").text


@pytest.mark.parametrize(
    "url",
    ["/-/tree", "/-/tree/nowhere/", "/-/links/hidden", "/-/tree/%ff", "/-/", "/-/x"],
)
def test_what_is_not_there_is_not_found(client: Client, url: str) -> None:
    assert client.get(url).status == 404


@pytest.mark.parametrize("url", ["/-/tree/", "/-/links", "/-/look.css", "/-/graph"])
def test_nothing_is_written_there(client: Client, url: str) -> None:
    assert asides.is_one(url)
    assert client.request("POST", url).status == 405


@pytest.mark.parametrize(
    ("cookies", "css"),
    [
        ("", ""),
        ("theme=dark", ":root{color-scheme:dark}"),
        (
            "a=b; theme=light; width=wide",
            ":root{color-scheme:light}\n:root{--measure:60rem}",
        ),
        ("theme=}body{", ""),
        ("\x00=;;=", ""),
    ],
)
def test_the_look_is_what_the_cookies_say(
    client: Client, cookies: str, css: str
) -> None:
    reply = client.get("/-/look.css", cookie=cookies)
    assert reply.text == css
    assert reply.headers["Vary"] == "Accept-Encoding, Cookie"
    assert reply.headers["Cache-Control"].startswith("private")
