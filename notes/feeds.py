"""
What machines read: sitemap and feeds, of the site and of each folder and tag.

They are made at the first request after a change, and kept with the Site. The
sitemap is written here: Django's framework takes 1.6 s for 10,000 notes, by a
template.
"""

from __future__ import annotations

import heapq
import io
import re
from collections.abc import Collection, Iterable
from datetime import datetime
from html import escape
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from django.contrib.syndication.views import Feed
from django.core.handlers.wsgi import WSGIRequest
from django.http import Http404
from django.utils.feedgenerator import Atom1Feed

from notes.addresses import (
    FEED,
    SITEMAP,
    SITEMAP_PART,
    TAGS,
    feed_url,
    quote,
    tag_address,
    wsgi_path,
)
from notes.conf import conf
from notes.listings import folder_name
from notes.responses import Response, make_response
from notes.site import Site

_FEED_LENGTH = 20
MAX_SITEMAP = 50_000
"""The number of URLs that one file may have; see sitemaps.org."""
_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
# What XML cannot hold, not even as a reference; HTML can, and texts that are copied
# from elsewhere have it.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Part(NamedTuple):
    """A folder or tag: the notes in it and below, what it is called, and where it is."""

    paths: Collection[str]
    title: str
    address: str


class Item(NamedTuple):
    """A note, as machines hear of it."""

    address: str
    title: str
    excerpt: str
    published_at: datetime
    changed_at: datetime


if TYPE_CHECKING:  # types in the stubs only
    _Feed = Feed[Item, Site]
else:
    _Feed = Feed


class NoteFeed(_Feed):
    """The newest notes of a site, or of a part of it."""

    feed_type = Atom1Feed

    def __init__(self, site: Site, part: Part | None = None) -> None:
        self._site = site
        self._paths = site.facts.keys() if part is None else part.paths
        self.language = site.frame.language
        self.author_name = self.title = site.frame.site_title  # Atom asks for both
        self.link, self.feed_url = "/", FEED
        if part is not None:
            self.title = f"{_xml_text(part.title)} · {self.title}"
            self.link, self.feed_url = quote(part.address), feed_url(part.address)

    def subtitle(self) -> str | None:
        """Return the site's description, if it has one."""
        return self._site.frame.settings.description or None

    def items(self) -> list[Item]:
        """Return the newest notes, the newest first."""
        return heapq.nsmallest(
            _FEED_LENGTH,
            _items(self._site, self._paths),
            key=lambda item: (-item.published_at.timestamp(), item.address),
        )

    def item_title(self, item: Item) -> str:
        """Return the note's title."""
        return _xml_text(item.title)

    def item_description(self, item: Item) -> str:
        """Return what the note says of itself, or how it begins, as HTML."""
        return escape(_xml_text(item.excerpt))

    def item_link(self, item: Item) -> str:
        """Return the note's URL path."""
        return quote(item.address)

    def item_pubdate(self, item: Item) -> datetime:
        """Return when the note was written."""
        return item.published_at

    def item_updateddate(self, item: Item) -> datetime:
        """Return when the note last changed."""
        return max(item.changed_at, item.published_at)


def make_documents(site: Site) -> None:
    """Make the feed and the sitemap of *site* ahead of the first request."""
    feed(site)
    sitemap(site)


def feed(site: Site) -> Response:
    """Return the Atom feed of *site*."""
    made = site.documents.get(FEED)
    if made is None:
        content = NoteFeed(site)(_public_request(FEED)).content
        made = site.documents[FEED] = make_response("atom", content)
    return made


def feed_of_part(site: Site, address: str) -> Response | None:
    """Return the feed at *address*, if it is that of a folder or a tag."""
    key = wsgi_path(address)
    made = site.documents.get(key)
    if made is None:
        address = address.removesuffix(FEED)
        part = _folder(site, f"{address}/") or _tag(site, address)
        if part is None:
            return None
        content = NoteFeed(site, part)(_public_request(FEED)).content
        made = site.documents[key] = make_response("atom", content)
    return made


def _folder(site: Site, address: str) -> Part | None:
    folder = site.addresses.folder_at(address)
    if not folder:  # the site's own feed is not one of a folder
        return None
    owner = site.addresses.owners.get(folder)
    title = folder_name(folder) if owner is None else site.entries[owner].title
    paths = [path for path in site.facts if path.startswith(f"{folder}/")]
    return Part(paths, title, address)


def _tag(site: Site, address: str) -> Part | None:
    if not address.startswith(TAGS):
        return None
    for key, tag in site.tags.items():
        if tag_address(key) == address:
            return Part(tag.paths, f"#{tag.name}", address)
    return None


def sitemap(site: Site, page: int | None = None) -> Response:
    """
    Return the sitemap of *site*, or the index of its parts when it has several.

    Args:
        page: the number of the part that is asked for, from 1; None for the whole.

    Raises:
        Http404: there is no such part.
    """
    key = SITEMAP if page is None else f"{SITEMAP_PART}?p={page}"
    made = site.documents.get(key)
    if made is None:
        items = sorted(_items(site, site.facts), key=attrgetter("address"))
        pages = max(1, -(-len(items) // MAX_SITEMAP))
        if page is None and pages > 1:
            text = _sitemap_index(pages)
        else:
            number = 1 if page is None else page
            if not 1 <= number <= pages:
                raise Http404
            text = _sitemap(items[(number - 1) * MAX_SITEMAP : number * MAX_SITEMAP])
        made = site.documents[key] = make_response("xml", text.encode())
    return made


def _sitemap(items: Iterable[Item]) -> str:
    public = escape(conf.public_url)
    return _document(
        "urlset",
        (
            # Nothing that XML minds is in a quoted address.
            f"<url><loc>{public}{quote(item.address)}</loc>"
            f"<lastmod>{item.changed_at.date().isoformat()}</lastmod></url>\n"
            for item in items
        ),
    )


def _sitemap_index(pages: int) -> str:
    part = escape(f"{conf.public_url}{SITEMAP_PART}")
    queries = ("" if page == 1 else f"?p={page}" for page in range(1, pages + 1))
    return _document(
        "sitemapindex",
        (f"<sitemap><loc>{part}{query}</loc></sitemap>\n" for query in queries),
    )


def _document(name: str, elements: Iterable[str]) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{_NAMESPACE}">\n'
        f"{''.join(elements)}</{name}>\n"
    )


def _items(site: Site, paths: Iterable[str]) -> Iterable[Item]:
    for path in paths:
        facts, rendered = site.facts[path], site.rendered[path]
        if rendered.error is None:
            yield Item(
                site.addresses.notes[path],
                rendered.title,
                rendered.excerpt,
                facts.published_at,
                facts.changed_at,
            )


def _xml_text(text: str) -> str:
    """Return *text* without what XML cannot hold."""
    return _NO_XML.sub("", text)


def _public_request(path: str, query: str = "") -> WSGIRequest:
    """Return a request as it comes to PUBLIC_URL: links are made with its host."""
    public = urlsplit(conf.public_url)
    return WSGIRequest(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "HTTP_HOST": public.netloc,
            "SERVER_NAME": public.hostname or "localhost",
            "SERVER_PORT": str(public.port or 80),
            "wsgi.url_scheme": public.scheme,
            "wsgi.input": io.BytesIO(),
        }
    )
