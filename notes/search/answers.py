"""What search answers: a page that needs no script, and a list for the one that does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import parse_qs

from notes.addresses import quote
from notes.exceptions import SearchNotReadyError
from notes.frames import Frame
from notes.listings import place_of
from notes.packing import unpack
from notes.responses import Response, make_response
from notes.search.index import index
from notes.search.snippets import mark, snippet
from notes.search.words import MAX_QUERY, Term, read_query, text_of
from notes.site import Site

MAX_HITS = 50
"""On the page; more than these nobody looks through."""
MAX_LISTED = 8
"""While one types."""


class Hit(NamedTuple):
    """A note that was found; *title* and *snippet* are HTML."""

    address: str
    title: str
    place: str
    """The folders that it is in, as text; '' at the top."""
    snippet: str


def find(terms: Sequence[Term], limit: int) -> list[Hit]:
    """
    Return the notes that have *terms*, the best first.

    Raises:
        SearchNotReadyError: the index is still being made.
    """
    found = index().search(terms, limit)
    return [_hit(found.site, path, terms) for path in found.paths]


def _hit(site: Site, path: str, terms: Sequence[Term]) -> Hit:
    packed = site.packed[path]
    text = "" if packed is None else text_of(unpack(packed))
    return Hit(
        address=site.addresses.notes[path],
        title=mark(site.entries[path].title, terms),
        place=place_of(path),
        snippet=snippet(text, terms),
    )


def asked(query_string: str) -> str:
    """Return what `q` says in *query_string*; '' without it."""
    values = parse_qs(query_string, max_num_fields=None, errors="replace").get("q", ())
    return " ".join("".join(values).split())[:MAX_QUERY]


def make_search_page(frame: Frame, query_string: str) -> Response:
    """Return the page of search, with what was found where something is asked for."""
    text = asked(query_string)
    terms = read_query(text)
    kind, status = "found", "200 OK"
    try:
        hits = find(terms, MAX_HITS) if terms else []
        result = _result(hits) if terms else ""
    except SearchNotReadyError:
        kind, status = "busy", "503 Service Unavailable"
        result = '<p class="hint">The index is being made. Try again in a moment.</p>\n'
    main = (
        "<h1>Search</h1>\n"
        '<form class="search-page" role="search" action="/search">\n'
        '<input type="search" name="q" aria-label="Search" autocomplete="off" '
        f'maxlength="{MAX_QUERY}" value="{escape(text)}">\n'
        f"<button>Search</button>\n</form>\n{result}"
    )
    title = f"Search: {text}" if text else "Search"
    return make_response(kind, frame.fill(title=title, main=main), status)


def make_search_list(query_string: str) -> Response:
    """Return what was found as options of a list box, for a page's script."""
    terms = read_query(asked(query_string))
    try:
        hits = find(terms, MAX_LISTED) if terms else []
    except SearchNotReadyError:
        return make_response("busy", b"", "503 Service Unavailable")
    options = "".join(
        f'<a role="option" tabindex="-1" id="site:hit-{number}" aria-selected="false" '
        f'href="{quote(hit.address)}">{_inside(hit)}</a>\n'
        for number, hit in enumerate(hits)
    )
    return make_response("found", options.encode(errors="replace"))


def _result(hits: Iterable[Hit]) -> str:
    items = "".join(
        f'<li><a href="{quote(hit.address)}">{_inside(hit)}</a></li>\n' for hit in hits
    )
    if not items:
        return (
            '<p class="hint">Nothing was found. Fewer or shorter words find more.</p>\n'
        )
    return f'<ol class="hits">\n{items}</ol>\n'


def _inside(hit: Hit) -> str:
    place = f'<span class="hit-place">{escape(hit.place)}</span>' if hit.place else ""
    return (
        f'<span class="hit-title">{hit.title}</span>{place}'
        f'<span class="hit-text">{hit.snippet}</span>'
    )
