"""
Addresses: where the site's own pages are, and how an address is written in a URL.

Which address a note has is said in `notes.assigning`. Addresses are text as a reader
would read it; `quote` makes the URL path of one.
"""

from __future__ import annotations

import functools
import urllib.parse
from collections.abc import Iterator

FEED = "/feed.xml"
SITEMAP = "/sitemap.xml"
SITEMAP_PART = "/sitemap-notes.xml"
ROBOTS = "/robots.txt"
LLMS = "/llms.txt"
TAGS = "/tags/"
API = "/api/notes/"
SEARCH = "/search"
ASIDES = "/-/"
"""What pages ask for besides themselves; see `notes.asides`."""
SEARCH_LIST = "/-/search"
TREE = "/-/tree"
"""Before the address of a folder, as LINKS is before that of a note, or alone."""
LINKS = "/-/links"
GRAPH = "/-/graph"
LOOK = "/-/look.css"
CUSTOM_STYLE = "/-/custom.css"
CARDS = "/-/card"
"""Before the address of a note, as LINKS is."""
MARKDOWN = ".md"
"""What the address of a page has at its end where it is Markdown."""
MARKDOWN_INDEX = "index"
"""What comes before that where the address ends in a slash."""
RESERVED = frozenset({FEED, SITEMAP, SITEMAP_PART, ROBOTS, LLMS, SEARCH})


@functools.lru_cache(maxsize=1 << 16)
def quote(address: str) -> str:
    """Return *address* percent-encoded, safe between quotes in HTML too."""
    return urllib.parse.quote(address, safe="/-._~!$()*+,;=:@")


def graph_address(address: str) -> str:
    """Return where the graph of the note at *address* is, as a URL."""
    return f"{GRAPH}?of={quote(address).replace('+', '%2B')}"


def markdown_url(address: str) -> str:
    """Return where the page at *address* is as Markdown, as a URL."""
    index = MARKDOWN_INDEX if address.endswith("/") else ""
    return quote(f"{address}{index}{MARKDOWN}")


def feed_url(address: str) -> str:
    """Return where the feed of the folder or tag at *address* is, as a URL."""
    return quote(f"{address.rstrip('/')}{FEED}")


def wsgi_path(address: str) -> str:
    """Return *address* as WSGI's PATH_INFO has it: UTF-8 bytes read as Latin-1."""
    return address.encode().decode("latin-1")


def folder_of(path: str) -> str:
    """Return the folder that holds *path*; '' is the vault itself."""
    return path.rpartition("/")[0]


def folders_above(path: str) -> Iterator[str]:
    """Yield the folder that holds *path*, then the one that holds that, down to ''."""
    while path:
        path = folder_of(path)
        yield path


def tag_address(tag: str) -> str:
    """Return the address of the page of *tag*, whose case does not matter."""
    return TAGS + "/".join(segments(tag.casefold().replace(" ", "-")))


def segments(text: str) -> list[str]:
    """Return what is between the slashes of *text*, but for '', '.' and '..'."""
    return [part for part in text.split("/") if part not in {"", ".", ".."}]
