"""Metadata: what others show of a page, and that nothing in it is code."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from notes.cards import card_url
from notes.frames import make_frame
from notes.site_settings import SiteSettings
from tests.notes.sites import make_site, served

FILES: dict[str, str | bytes] = {
    "_site.md": "---\ntitle: Tea & Co\ndescription: All about tea\n---\n",
    "index.md": "Welcome",
    "teas/Green.md": (
        "---\ntitle: 'Green </script><b>'\ndate: 2026-01-02\nlang: de\n---\n"
        'Hot "and" wet. %%secret%% #drink'
    ),
    "teas/Draft.md": "---\ndraft: true\n---\nsecret",
}
SITE = {"@type": "WebSite", "name": "Tea & Co", "url": "http://localhost:8080/"}
TITLE = "Green </script><b>"
IMAGE = card_url(
    make_frame(SiteSettings("Tea & Co", "All about tea")), TITLE, "/teas/Green"
)


def _of(url: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the properties of OpenGraph, and the graph of JSON-LD."""
    with served(make_site(FILES)) as client:
        page = client.get(url).text
    assert "secret" not in page
    tags = dict(re.findall(r'<meta property="(.*?)" content="(.*?)">', page))
    (script,) = re.findall(r'<script type="application/ld.json">(.*?)</script>', page)
    assert not {"<", ">", "&"} & set(script)
    found = json.loads(script)
    assert found["@context"] == "https://schema.org"
    return tags, found["@graph"]


def test_a_note_is_an_article_in_its_folders() -> None:
    tags, graph = _of("/teas/Green")
    assert tags == {
        "og:type": "article",
        "og:site_name": "Tea &amp; Co",
        "og:title": "Green &lt;/script&gt;&lt;b&gt;",
        "og:url": "http://localhost:8080/teas/Green",
        "og:description": "Hot &quot;and&quot; wet. #drink",
        "article:published_time": "2026-01-02",
        "og:image": IMAGE,
        "og:image:width": "1200",
        "og:image:height": "630",
        "twitter:card": "summary_large_image",
    }
    assert graph == [
        {
            "@type": "Article",
            "headline": "Green </script><b>",
            "url": "http://localhost:8080/teas/Green",
            "description": 'Hot "and" wet. #drink',
            "inLanguage": "de",
            "image": IMAGE,
            "datePublished": "2026-01-02",
            "isPartOf": SITE,
        },
        {
            "@type": "BreadcrumbList",
            "itemListElement": [
                {"@type": "ListItem", "position": number, "name": name, "item": url}
                for number, name, url in (
                    (1, "Tea & Co", "http://localhost:8080/"),
                    (2, "teas", "http://localhost:8080/teas/"),
                    (3, "Green </script><b>", "http://localhost:8080/teas/Green"),
                )
            ],
        },
    ]


def test_the_home_page_is_the_site() -> None:
    tags, graph = _of("/")
    assert (tags["og:type"], tags["og:description"]) == ("website", "All about tea")
    assert graph == [SITE | {"description": "All about tea", "inLanguage": "en"}]


@pytest.mark.parametrize("url", ["/teas/", "/tags/drink"])
def test_a_folder_and_a_tag_are_no_articles(url: str) -> None:
    tags, graph = _of(url)
    assert tags["og:type"] == "website"
    assert [thing["@type"] for thing in graph] == ["BreadcrumbList"]


def test_a_note_says_itself_what_it_is_about() -> None:
    site = make_site(
        {
            "index.md": "Welcome",
            "a.md": "---\ndescription: 'Of **tea**, [[b|cups]] %%secret%% \"&\" [[c]]'\n"
            "---\nFirst words.",
            "b.md": "---\ndescription: [no, text]\n---\nSecond words.",
            "c.md": "---\ndraft: true\ntitle: Hidden\n---\n",
            "d.md": f"---\ndescription: {'word ' * 500}\n---\nFourth words.",
        }
    )
    said = "Of tea, cups &quot;&amp;&quot; c"
    with served(site) as client:
        pages = {name: client.get(f"/{name}").text for name in "abd"}
        feed, llms = client.get("/feed.xml").text, client.get("/llms.txt").text
    assert "secret" not in "".join([*pages.values(), feed, llms])
    assert f'<meta name="description" content="{said}">' in pages["a"]
    assert f'"og:description" content="{said}">' in pages["a"]
    assert '"description":"Of tea, cups \\"\\u0026\\" c"' in pages["a"]
    assert '<meta name="description" content="Second words.">' in pages["b"]
    (long,) = re.findall('<meta name="description" content="(.*?)">', pages["d"])
    assert long.endswith("word…")
    assert len(long) <= 301
    for text in (feed, llms):
        assert "Of tea, cups" in text
        assert "First words" not in text
        assert "Hidden" not in text
        assert "[[" not in text
