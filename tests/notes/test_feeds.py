"""Feed and sitemap: what machines hear of the published notes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from unittest import mock

import pytest

from notes import feeds
from tests.notes.sites import make_site, served

FILES: dict[str, str | bytes] = {
    "index.md": "---\ntitle: Tea & Co\n---\nWelcome",
    "Green tea.md": (
        "---\ncreated: 2026-01-02\nupdated: 2026-02-03\n---\n# Green\n\n1 < 2 & 3"
    ),
    "日本.md": "---\ndate: 2026-04-05\n---\n",
    "draft.md": "---\ndraft: true\n---\nsecret",
}
ATOM = "{http://www.w3.org/2005/Atom}"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def test_the_feed_has_the_newest_notes_first() -> None:
    with served(make_site(FILES)) as client:
        reply = client.get("/feed.xml")
    assert reply.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
    feed = ET.fromstring(reply.body)  # noqa: S314 - our own
    assert feed.findtext(f"{ATOM}title") == "Tea & Co"
    assert [link.get("href") for link in feed.findall(f"{ATOM}link")] == [
        "http://localhost:8080/",
        "http://localhost:8080/feed.xml",
    ]
    assert [
        tuple(
            entry.findtext(f"{ATOM}{name}")
            for name in ("title", "id", "published", "updated", "summary")
        )
        for entry in feed.findall(f"{ATOM}entry")
    ] == [
        (
            "日本",
            "http://localhost:8080/%E6%97%A5%E6%9C%AC",
            "2026-04-05T00:00:00+00:00",
            "2026-04-05T00:00:00+00:00",
            "",
        ),
        (
            "Tea & Co",
            "http://localhost:8080/",
            "2026-03-01T12:00:00+00:00",
            "2026-03-01T12:00:00+00:00",
            "Welcome",
        ),
        (
            "Green",
            "http://localhost:8080/Green-tea",
            "2026-01-02T00:00:00+00:00",
            "2026-02-03T00:00:00+00:00",
            "1 &lt; 2 &amp; 3",
        ),
    ]


def test_the_sitemap_has_every_note_with_its_last_change() -> None:
    with served(make_site(FILES)) as client:
        reply = client.get("/sitemap.xml")
    assert reply.headers["Content-Type"] == "application/xml; charset=utf-8"
    assert [
        (url.findtext(f"{SITEMAP}loc"), url.findtext(f"{SITEMAP}lastmod"))
        for url in ET.fromstring(reply.body)  # noqa: S314 - our own
    ] == [
        ("http://localhost:8080/", "2026-03-01"),
        ("http://localhost:8080/Green-tea", "2026-02-03"),
        ("http://localhost:8080/%E6%97%A5%E6%9C%AC", "2026-03-01"),
    ]


def test_a_sitemap_too_long_for_one_file_is_an_index_of_its_parts() -> None:
    with served(make_site(FILES)) as client, mock.patch.object(feeds, "MAX_SITEMAP", 2):
        index = client.get("/sitemap.xml").text
        urls = re.findall("<loc>http://localhost:8080(.*?)</loc>", index)
        assert urls == ["/sitemap-notes.xml", "/sitemap-notes.xml?p=2"]
        parts = [client.get(url).text for url in urls]
        assert [part.count("<loc>") for part in parts] == [2, 1]
        for part in ("0", "3", "-1", "x", "1.5", "9" * 400):
            assert client.get(f"/sitemap-notes.xml?p={part}").status == 404
        assert client.get("/sitemap-other.xml").status == 404


@pytest.mark.parametrize("path", ["/feed.xml", "/sitemap.xml"])
def test_a_document_is_made_once_for_each_site(path: str) -> None:
    site = make_site(FILES)
    with served(site) as client:
        first = client.get(path)
        assert site.documents.keys() == {path}
        again = client.get(path, accept_encoding="br")
        assert client.get(path, if_none_match=first.headers["ETag"]).status == 304
        assert (again.status, again.body) == (
            200,
            site.documents[path].variant(2)[0],
        )
        head = client.request("HEAD", path)
        assert head.body == b""
        assert head.headers["Content-Length"] == first.headers["Content-Length"]


def test_documents_can_be_made_ahead() -> None:
    site = make_site(FILES)
    feeds.make_documents(site)
    assert site.documents.keys() == {"/feed.xml", "/sitemap.xml"}


def test_an_empty_vault_has_documents_too() -> None:
    with served(make_site({})) as client:
        assert client.get("/feed.xml").status == 200
        assert client.get("/sitemap.xml").status == 200


def test_what_xml_cannot_hold_is_left_out_of_feeds() -> None:
    files: dict[str, str | bytes] = {
        "index.md": '---\ntitle: "Ho\\x08me"\n---\nWelcome',
        "Old.md": "# A\x01 title\n\nA back\x08space\uffff, \u65e5 \U0001f375 #t\x1bag",
    }
    with served(make_site(files)) as client:
        for url in ("/feed.xml", "/tags/t%1Bag/feed.xml"):
            body = client.get(url).body
            feed = ET.fromstring(body)  # noqa: S314 - our own
            entry = feed.findall(f"{ATOM}entry")[-1]
            assert entry.findtext(f"{ATOM}title") == "A title"
            assert (
                entry.findtext(f"{ATOM}summary")
                == "A backspace, \u65e5 \U0001f375 #tag"
            )
        assert feed.findtext(f"{ATOM}title") == "#tag \u00b7 Home"


PARTS: dict[str, str | bytes] = {
    "Teas & co/index.md": "---\ntitle: All teas\n---\n",
    "Teas & co/Green.md": "---\ndate: 2026-01-02\n---\n#drink/hot",
    "Teas & co/日本/Sencha.md": "---\ndate: 2026-01-03\n---\n#Drink",
    "Teas & co/draft.md": "---\ndraft: true\n---\n#drink #secret",
    "Teas & co/later.md": "---\ndate: 2999-01-01\n---\n#drink",
    "Cake.md": "#drink",
}


@pytest.mark.parametrize(
    ("page", "url", "title", "entries"),
    [
        (
            "/Teas-&-co/",
            "/Teas-%26-co/feed.xml",
            "All teas",
            ["All teas", "Sencha", "Green"],
        ),
        (
            "/Teas-%26-co/%E6%97%A5%E6%9C%AC/",
            "/Teas-%26-co/%E6%97%A5%E6%9C%AC/feed.xml",
            "日本",
            ["Sencha"],
        ),
        ("/tags/drink", "/tags/drink/feed.xml", "#Drink", ["Cake", "Sencha", "Green"]),
        ("/tags/drink/hot", "/tags/drink/hot/feed.xml", "#drink/hot", ["Green"]),
    ],
)
def test_a_folder_and_a_tag_have_feeds_of_what_is_in_them_and_below(
    page: str, url: str, title: str, entries: list[str]
) -> None:
    site = make_site(PARTS)
    with served(site) as client:
        link = (
            f'<link rel="alternate" type="application/atom+xml" title="{title}" '
            f'href="{url}">'
        )
        assert link in client.get(page).text
        first = client.get(url)
        assert client.get(url, if_none_match=first.headers["ETag"]).status == 304
    assert first.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
    feed = ET.fromstring(first.body)  # noqa: S314 - our own
    assert feed.findtext(f"{ATOM}title") == f"{title} · localhost"
    assert feed.findtext(f"{ATOM}id") == "http://localhost:8080" + url.removesuffix(
        "feed.xml" if page.endswith("/") else "/feed.xml"
    )
    assert [
        entry.findtext(f"{ATOM}title") for entry in feed.findall(f"{ATOM}entry")
    ] == entries


@pytest.mark.parametrize(
    "url",
    ["/nowhere/feed.xml", "/Cake/feed.xml", "/tags/feed.xml", "/tags/secret/feed.xml"],
)
def test_what_is_no_folder_or_tag_has_no_feed(url: str) -> None:
    with served(make_site(PARTS)) as client:
        assert client.get(url).status == 404


def test_a_page_of_that_address_comes_before_a_feed() -> None:
    files = PARTS | {"x.md": "---\npermalink: /Teas-&-co/feed.xml\n---\n"}
    with served(make_site(files)) as client:
        reply = client.get("/Teas-&-co/feed.xml")
    assert reply.headers["Content-Type"].startswith("text/html")
