"""Metadata: what the head of a page tells those who show a link to it, or index it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from notes.cards import HEIGHT, WIDTH
from notes.conf import conf
from notes.dates import Dates
from notes.frames import Frame

# Nothing in it may end the element, or begin another.
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


@dataclass(frozen=True, slots=True)
class About:
    """
    What is said of a page.

    Attributes:
        url: absolute, as the others.
        crumbs: names and URLs of the folders above, outermost first.
        dates: of a note; None for what is no article.
        image: the URL of its card; '' without one.
    """

    title: str
    url: str
    description: str = ""
    language: str = ""
    crumbs: Sequence[tuple[str, str]] = ()
    dates: Dates | None = None
    image: str = ""


def make_metadata(frame: Frame, about: About) -> str:
    """Return the elements of OpenGraph and the JSON-LD of a page, as HTML."""
    home = f"{conf.public_url}/"
    is_article = about.dates is not None and about.url != home
    # Of the page of a search engine, and of a message, it is one line.
    tags = {
        "og:type": "article" if is_article else "website",
        "og:site_name": frame.site_title,
        "og:title": about.title,
        "og:url": about.url,
        "og:description": about.description,
    }
    if is_article and about.dates is not None:
        tags["article:published_time"] = _day(about.dates.created)
        tags["article:modified_time"] = _day(about.dates.updated)
    if about.image:
        tags["og:image"] = about.image
        tags["og:image:width"], tags["og:image:height"] = str(WIDTH), str(HEIGHT)
        tags["twitter:card"] = "summary_large_image"
    return "".join(
        f'<meta property="{name}" content="{escape(value)}">\n'
        for name, value in tags.items()
        if value
    ) + _script(_graph(frame, about, home, is_article=is_article))


def _graph(
    frame: Frame, about: About, home: str, *, is_article: bool
) -> list[dict[str, Any]]:
    site = {"@type": "WebSite", "name": frame.site_title, "url": home}
    language = about.language or frame.language
    if about.url == home:
        return [
            _without_empty(
                site | {"description": about.description, "inLanguage": language}
            )
        ]
    things: list[dict[str, Any]] = []
    if is_article and about.dates is not None:
        things.append(
            _without_empty(
                {
                    "@type": "Article",
                    "headline": about.title,
                    "url": about.url,
                    "description": about.description,
                    "inLanguage": language,
                    "image": about.image,
                    "datePublished": _day(about.dates.created),
                    "dateModified": _day(about.dates.updated),
                    "isPartOf": site,
                }
            )
        )
    places = [(frame.site_title, home), *about.crumbs, (about.title, about.url)]
    things.append(
        {
            "@type": "BreadcrumbList",
            "itemListElement": [
                {"@type": "ListItem", "position": number, "name": name, "item": url}
                for number, (name, url) in enumerate(places, 1)
            ],
        }
    )
    return things


def _without_empty(thing: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in thing.items() if value}


def _day(date: datetime.date | None) -> str:
    return "" if date is None else date.isoformat()


def _script(graph: list[dict[str, Any]]) -> str:
    document = {"@context": "https://schema.org", "@graph": graph}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return f'<script type="application/ld+json">{text.translate(_IN_SCRIPT)}</script>\n'
