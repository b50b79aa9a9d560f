"""
Graphs: which notes link to which, as data for a drawing and as lists.

Of all notes the data is made once for a Site, at the first request; of one note at
each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from notes.addresses import LINKS, graph_address, quote
from notes.listings import entry_order
from notes.pages import link_to
from notes.responses import Response, make_response
from notes.site import Site

MAX_LISTED = 200
"""Notes in the list of the whole graph: those with the most links."""
MAX_NEAR = 150
"""Notes in the graph of one; more are no picture."""


def make_links(site: Site) -> Response:
    """Return all notes and links, as JSON; see `_graph` for its shape."""
    made = site.documents.get(LINKS)
    if made is None:
        made = site.documents[LINKS] = _graph(site, sorted(site.entries))
    return made


def make_links_of(site: Site, address: str) -> Response | None:
    """Return the note at *address*, first, and those around it; None without one."""
    path = site.addresses.note_at(address)
    if path is None or path not in site.entries:
        return None
    return _graph(site, [path, *_around(site, path)[: MAX_NEAR - 1]])


def make_graph_page(site: Site, address: str) -> Response:
    """Return the page of the graph: of the note at *address*, or else of all."""
    path = site.addresses.note_at(address) if address else None
    if path is None or path not in site.entries:
        title, data, lists = "Graph", LINKS, _most_linked(site)
    else:
        title = f"Graph: {site.entries[path].title}"
        data, lists = LINKS + address, _lists_of(site, path)
    main = (
        f"<h1>{escape(title)}</h1>\n"
        f'<div class="graph" data-links="{quote(data)}"></div>\n{lists}'
    )
    return make_response("found", site.frame.fill(title=title, main=main))


def _graph(site: Site, paths: list[str]) -> Response:
    """
    Return *paths* and the links among them.

    'notes' are pairs of title and URL path; 'links' pairs of places in it, each pair
    of notes once.
    """
    places = {path: place for place, path in enumerate(paths)}
    links = {
        (min(place, other), max(place, other))
        for path, place in places.items()
        for target in site.rendered[path].links
        if (other := places.get(target)) is not None
    }
    entries = (site.entries[path] for path in paths)
    data: dict[str, Any] = {
        "notes": [(entry.title, quote(entry.address)) for entry in entries],
        "links": sorted(links),
    }
    return make_response(
        "json", json.dumps(data, separators=(",", ":")).encode(errors="replace")
    )


def _around(site: Site, path: str) -> list[str]:
    """Return the notes that *path* links to, then those that link to it."""
    near = dict.fromkeys(_targets(site, path))
    near.update(dict.fromkeys(site.backlinks.get(path, ())))
    near.pop(path, None)
    return list(near)


def _targets(site: Site, path: str) -> Iterator[str]:
    return (target for target in site.rendered[path].links if target in site.entries)


def _lists_of(site: Site, path: str) -> str:
    lists = (
        ("The note", [path]),
        ("Links to", _targets(site, path)),
        ("Linked from", site.backlinks.get(path, ())),
    )
    return "".join(_section(site, title, paths) for title, paths in lists)


def _section(site: Site, title: str, paths: Iterable[str]) -> str:
    entries = sorted((site.entries[path] for path in paths), key=entry_order)
    if not entries:
        return ""
    items = "".join(f"<li>{link_to(entry)}</li>\n" for entry in entries)
    return f'<h2>{title}</h2>\n<ul class="notes">\n{items}</ul>\n'


def _most_linked(site: Site) -> str:
    counts = {
        path: len(rendered.links) + len(site.backlinks.get(path, ()))
        for path, rendered in site.rendered.items()
    }
    paths = sorted(counts, key=lambda path: (-counts[path], path))[:MAX_LISTED]
    items = "".join(
        f'<li>{link_to(site.entries[path])} <span class="count">{counts[path]}</span> '
        f'<a class="more" href="{graph_address(site.entries[path].address)}" '
        f'aria-label="Links of {escape(site.entries[path].title)}">links</a></li>\n'
        for path in paths
        if counts[path]
    )
    if not items:
        return "<p>No note links to another yet.</p>\n"
    return f'<h2>The notes with the most links</h2>\n<ol class="notes">\n{items}</ol>\n'
