"""
Asides: what a page asks for besides itself, made at the request from the Site.

They are kept apart from the pages so that a change of one note does not make all pages
anew. Each is told of by the Site, and by nothing else: an unpublished note is in none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qs

from notes.addresses import (
    ASIDES,
    CARDS,
    CUSTOM_STYLE,
    GRAPH,
    LINKS,
    LOOK,
    SEARCH,
    SEARCH_LIST,
    TREE,
)
from notes.cards import make_card
from notes.custom_style import make_custom_style
from notes.graphs import make_graph_page, make_links, make_links_of
from notes.looks import make_look
from notes.responses import Response
from notes.search.answers import make_search_list, make_search_page
from notes.site import Site
from notes.trees import make_branch

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Maker: TypeAlias = Callable[[Site, "WSGIEnvironment"], Response]


def answer(site: Site, path: str, environ: WSGIEnvironment) -> Response | None:
    """Return the aside at *path*, a PATH_INFO; None where there is none."""
    if path == CUSTOM_STYLE:
        return make_custom_style(site, environ.get("QUERY_STRING", ""))
    maker = _MAKERS.get(path)
    if maker is not None:
        return maker(site, environ)
    if path.startswith(ASIDES):
        for prefix, make in _BELOW.items():
            if path.startswith(f"{prefix}/"):
                return make(site, _decoded(path.removeprefix(prefix)))
    return None


def is_one(path: str) -> bool:
    """Return whether *path* is that of an aside, wherever the Site has it or not."""
    return path in {CUSTOM_STYLE, *_MAKERS} or path.startswith(
        tuple(f"{name}/" for name in _BELOW)
    )


def _decoded(path: str) -> str:
    """Return a part of PATH_INFO as an address."""
    return path.encode("latin-1", "replace").decode(errors="replace")


def _search_page(site: Site, environ: WSGIEnvironment) -> Response:
    return make_search_page(site.frame, environ.get("QUERY_STRING", ""))


def _search_list(site: Site, environ: WSGIEnvironment) -> Response:
    return make_search_list(environ.get("QUERY_STRING", ""))


def _graph_page(site: Site, environ: WSGIEnvironment) -> Response:
    values = parse_qs(environ.get("QUERY_STRING", ""), errors="replace").get("of")
    return make_graph_page(site, values[0] if values else "")


def _links(site: Site, environ: WSGIEnvironment) -> Response:
    return make_links(site)


def _look(site: Site, environ: WSGIEnvironment) -> Response:
    cookies = environ.get("HTTP_COOKIE", "")
    return make_look(cookies, site.frame.settings.colors)


_MAKERS: dict[str, Maker] = {
    SEARCH: _search_page,
    SEARCH_LIST: _search_list,
    GRAPH: _graph_page,
    LINKS: _links,
    LOOK: _look,
}
_BELOW: dict[str, Callable[[Site, str], Response | None]] = {
    TREE: make_branch,
    LINKS: make_links_of,
    CARDS: make_card,
}
