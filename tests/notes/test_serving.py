"""Serving: what a reader is answered, through all layers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import OperationalError

from notes import feeds, serving
from notes import site as sites
from notes.responses import PAGE_POLICY
from notes.site import Site
from tests.notes.sites import Client, make_site, served

FILES: dict[str, str | bytes] = {
    "index.md": "# Home\n\nWelcome to [[Ёж]].",
    "x/Ёж.md": "---\naliases: hedgehog\n---\n#animal " + "prickly " * 200,
}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with served(make_site(FILES)) as client:
        yield client


def test_a_page_is_served_with_all_its_headers(client: Client) -> None:
    reply = client.get("/x/%D0%81%D0%B6", accept_encoding="br")
    etag = reply.headers.pop("ETag")
    assert reply.status == 200
    assert reply.headers == {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Length": str(len(reply.body)),
        "Content-Encoding": "br",
        "Content-Security-Policy": PAGE_POLICY,
        "Cache-Control": "public, max-age=0, must-revalidate",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    again = client.get("/x/%D0%81%D0%B6", accept_encoding="br", if_none_match=etag)
    assert again.status == 304
    assert again.body == b""
    assert again.headers["ETag"] == etag


def test_the_policy_of_pages_allows_nothing_from_elsewhere() -> None:
    assert PAGE_POLICY == (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data:; media-src 'self'; font-src 'self'; "
        "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'"
    )


def test_a_query_does_not_change_a_page(client: Client) -> None:
    assert client.get("/?utm_source=x").body == client.get("/").body


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/hedgehog", "/x/%D0%81%D0%B6"),
        ("/X/%d1%91%d0%b6.html?a=b&c", "/x/%D0%81%D0%B6?a=b&c"),
        ("/x", "/x/"),
        ("/tags", "/tags/"),
        ("/tags/Animal", "/tags/animal"),
        ("/x//", "/x/"),
    ],
)
def test_what_a_reader_meant_is_redirected_to(
    client: Client, url: str, location: str
) -> None:
    reply = client.get(url)
    assert (reply.status, reply.headers["Location"], reply.body) == (301, location, b"")
    assert reply.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "url",
    [
        "/nowhere",
        "//evil.example",
        "/%ff",
        "/x/../index",
        "/tags/none",
        "/.env",
    ],
)
def test_what_is_nowhere_is_the_sites_own_404(client: Client, url: str) -> None:
    reply = client.get(url)
    assert reply.status == 404
    assert "<h1>Not found</h1>" in reply.text
    assert '<a class="site-title" href="/">Home</a>' in reply.text
    assert reply.headers["Cache-Control"] == "no-store"
    assert client.request("HEAD", url).body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_what_would_change_a_page_is_refused(client: Client, method: str) -> None:
    for page in ("/", "/x/%D0%81%D0%B6"):
        reply = client.request(method, page)
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
    assert client.request(method, "/nowhere").status == 404


@pytest.mark.parametrize("path", ["/feed.xml", "/sitemap.xml", "/sitemap-notes.xml"])
def test_documents_are_read_only(client: Client, path: str) -> None:
    reply = client.request("POST", path)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


def test_a_database_that_cannot_be_read_is_a_503(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise OperationalError("no such table: notes_note")

    monkeypatch.setattr(serving, "ensure_site", fail)
    monkeypatch.setattr(sites, "_current", None)
    reply = client.get("/")
    assert reply.status == 503
    assert reply.text == "The site is not ready: its database cannot be read.\n"
    assert caplog.messages == ["event=site_not_made"]


def test_a_view_that_fails_shows_a_page_of_the_site(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(site: Site) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(feeds, "feed", fail)
    reply = client.get("/feed.xml")
    assert reply.status == 500
    assert "<h1>Something went wrong</h1>" in reply.text
    assert "no such luck" not in reply.text


def test_robots_are_told_where_the_sitemap_is(client: Client) -> None:
    assert client.get("/robots.txt").text == (
        "User-agent: *\nAllow: /\nAllow: /-/card/\nDisallow: /-/\nDisallow: /search?\n\n"
        "Sitemap: http://localhost:8080/sitemap.xml\n"
    )


def test_a_head_says_how_long_the_page_is(client: Client) -> None:
    get, head = client.get("/"), client.request("HEAD", "/")
    assert (head.status, head.headers, head.body) == (200, get.headers, b"")
