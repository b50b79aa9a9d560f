"""
Pages: the HTML around what a note's text was rendered to.

Everything here is a pure function of its arguments. A page costs some ten string
operations: ten thousand of them are made at every boot.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

from notes.addresses import (
    LINKS,
    TAGS,
    feed_url,
    graph_address,
    markdown_url,
    quote,
)
from notes.cards import card_url
from notes.conf import conf
from notes.dates import Dates
from notes.frames import Frame
from notes.metadata import About, make_metadata
from notes.rendering import Heading, RenderedNote, fill
from notes.responses import Response, make_response

# With fewer headings a table of contents says nothing that the page does not.
_MIN_CONTENTS = 3
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
# Of those after so many only the titles are shown.
_MAX_CONTEXTS = 100
# A block may have an id, which comes first.
_CODE = re.compile(r'<pre(?: [^>]*)? class="highlight"')
_DIAGRAM = re.compile(r'<pre(?: [^>]*)? class="mermaid"')


@dataclass(frozen=True, slots=True)
class Entry:
    """What other pages show of a note, folder or tag: a title that links to it."""

    title: str
    address: str
    count: int = -1
    """How many notes a folder or tag holds; -1 where that is not shown."""


@dataclass(frozen=True, slots=True)
class Backlink:
    """A note that links here; *context* is HTML, the words around its link."""

    entry: Entry
    context: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds, as its page shows it."""

    folders: tuple[Entry, ...] = ()
    notes: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    All that the page of a note shows besides what the note was rendered to.

    Attributes:
        address: of the page; '' where it is in no graph.
        canonical: its absolute URL.
        language: a language tag; '' is the site's.
        crumbs: the folders above, outermost first.
        tags: as the author wrote them, with the pages' addresses.
        backlinks: the published notes that link here.
        queries: what stands in the places of the note's queries, as HTML.
        previous, next: the notes before and after it in its folder.
        listing: what is in the folder that this note speaks for, if it does.
    """

    address: str
    canonical: str
    dates: Dates
    language: str = ""
    crumbs: tuple[Entry, ...] = ()
    tags: tuple[Entry, ...] = ()
    backlinks: tuple[Backlink, ...] = ()
    previous: Entry | None = None
    next: Entry | None = None
    listing: Listing | None = None
    queries: tuple[str, ...] = ()


def make_note_page(
    frame: Frame, rendered: RenderedNote, around: Surroundings
) -> Response:
    """Return the page of a note; of one that could not be rendered, a 500."""
    if rendered.error is not None:
        return make_problem(
            frame,
            "500 Internal Server Error",
            rendered.title,
            "This note could not be shown. Its author finds the reason in the log.",
        )
    head = _link("canonical", around.canonical)
    if around.listing is not None and around.address != "/":
        head += _feed(rendered.title, around.address)
    if around.address:
        head += (
            '<link rel="alternate" type="text/markdown" '
            f'href="{markdown_url(around.address)}">\n'
        )
    description = (
        around.address == "/" and frame.settings.description
    ) or rendered.excerpt
    if description:
        head = f'<meta name="description" content="{escape(description)}">\n{head}'
    head += _metadata(
        frame,
        About(
            rendered.title,
            around.canonical,
            description,
            around.language,
            dates=around.dates,
            image=card_url(frame, rendered.title, around.address)
            if around.address
            else "",
        ),
        around.crumbs,
    )
    if _CODE.search(rendered.html) is not None:
        head += frame.code_stylesheet
    if '<figure class="canvas"' in rendered.html:
        head += frame.canvas_stylesheet
    if rendered.queries:
        head += frame.base_stylesheet
    has_diagram = _DIAGRAM.search(rendered.html) is not None
    if has_diagram:
        head += frame.diagram_scripts
    main = "".join(
        (
            f"<article{_classes(rendered)}>\n<header>\n",
            _crumbs(around.crumbs),
            _title(rendered),
            _facts(around.dates, around.tags, around.language or frame.language),
            _properties(rendered.properties),
            "</header>\n",
            _beside(rendered.headings, around.address),
            '<div class="prose" dir="auto">\n',
            fill(rendered.html, around.queries),
            "</div>\n</article>\n",
            ""
            if around.listing is None
            else _listing(around.listing, "In this folder"),
            _backlinks(around.backlinks),
            _around(around.previous, around.next),
        )
    )
    body = frame.fill(
        title=rendered.title,
        main=main,
        head=head,
        language=around.language,
    )
    return make_response("diagrams" if has_diagram else "page", body)


def _properties(properties: Iterable[tuple[str, str]]) -> str:
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{value}</dd>\n" for name, value in properties
    )
    if not items:
        return ""
    return (
        '<details class="properties"><summary>Properties</summary>\n'
        f"<dl>\n{items}</dl></details>\n"
    )


def _classes(rendered: RenderedNote) -> str:
    """Return the attribute of the classes that the note asks for, if any."""
    return f' class="{escape(" ".join(rendered.classes))}"' if rendered.classes else ""


def make_folder_page(
    frame: Frame,
    title: str,
    address: str,
    crumbs: Sequence[Entry],
    listing: Listing,
) -> Response:
    """Return the page of a folder that no note speaks for."""
    feed = _feed(title, address) if address != "/" else ""
    about = About(title, conf.public_url + quote(address))
    if address == "/":
        about = replace(about, description=frame.settings.description)
        if about.description:
            feed += f'<meta name="description" content="{escape(about.description)}">\n'
    main = f"{_crumbs(crumbs)}<h1>{escape(title)}</h1>\n{_listing(listing)}"
    return make_response(
        "page",
        frame.fill(
            title=title,
            main=main,
            head=_canonical(address) + feed + _metadata(frame, about, crumbs),
        ),
    )


def make_tag_page(
    frame: Frame,
    tag: str,
    address: str,
    above: Iterable[Entry],
    below: Iterable[Entry],
    notes: Iterable[Entry],
) -> Response:
    """
    Return the page of a tag: the notes that carry it or one below it.

    Args:
        above, below: the tags that it is below of, outermost first, and those that
            are directly below it.
    """
    title, above = f"#{tag}", tuple(above)
    main = (
        f"{_crumbs((Entry('Tags', TAGS), *above))}<h1>{escape(title)}</h1>\n"
        f"{_entries(below, 'tags')}{_entries(notes, 'notes')}"
    )
    return make_response(
        "page",
        frame.fill(
            title=title,
            main=main,
            head=_canonical(address)
            + _feed(title, address)
            + _metadata(
                frame,
                About(title, conf.public_url + quote(address)),
                (Entry("Tags", TAGS), *above),
            ),
        ),
    )


def make_tags_page(frame: Frame, tags: Iterable[Entry]) -> Response:
    """Return the page that lists all tags."""
    main = f"<h1>Tags</h1>\n{_entries(tags, 'tags')}"
    return make_response(
        "page",
        frame.fill(
            title="Tags",
            main=main,
            head=_canonical(TAGS),
        ),
    )


def make_problem(frame: Frame, status: str, title: str, text: str) -> Response:
    """Return a page that says what went wrong; search engines do not keep it."""
    main = (
        f"<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>\n"
        '<p><a href="/">To the start page</a></p>\n'
    )
    head = '<meta name="robots" content="noindex">\n'
    body = frame.fill(title=title, main=main, head=head)
    return make_response("problem", body, status)


def _title(rendered: RenderedNote) -> str:
    anchor = rendered.title_anchor
    attribute = f' id="{escape(anchor)}"' if anchor else ""
    return f'<h1{attribute} dir="auto">{escape(rendered.title)}</h1>\n'


def _link(relation: str, url: str) -> str:
    return f'<link rel="{relation}" href="{escape(url)}">\n'


def _canonical(address: str) -> str:
    return _link("canonical", conf.public_url + quote(address))


def _feed(title: str, address: str) -> str:
    """Return a link to the feed of a folder or tag."""
    return (
        '<link rel="alternate" type="application/atom+xml" '
        f'title="{escape(title)}" href="{feed_url(address)}">\n'
    )


def _metadata(frame: Frame, about: About, crumbs: Iterable[Entry]) -> str:
    places = tuple(
        (crumb.title, conf.public_url + quote(crumb.address)) for crumb in crumbs
    )
    return make_metadata(frame, replace(about, crumbs=places))


def link_to(entry: Entry) -> str:
    """Return a link to the page of *entry*."""
    return f'<a href="{quote(entry.address)}">{escape(entry.title)}</a>'


def _crumbs(entries: Iterable[Entry]) -> str:
    items = "".join(f"<li>{link_to(entry)}</li>" for entry in entries)
    if not items:
        return ""
    return f'<nav class="crumbs" aria-label="Folders"><ol>{items}</ol></nav>\n'


def _facts(dates: Dates, tags: Iterable[Entry], language: str) -> str:
    """Return the line below a title: dates and tags."""
    facts = [
        f'<span>{name} <time datetime="{date}">{_day(date, language)}</time></span>'
        for name, date in (
            ("Created", dates.created),
            ("Updated", dates.updated),
        )
        if date is not None
    ]
    facts.extend(
        f'<a class="tag" href="{quote(tag.address)}">#{escape(tag.title)}</a>'
        for tag in tags
    )
    return f'<p class="facts">{" ".join(facts)}</p>\n' if facts else ""


def _day(date: datetime.date, language: str) -> str:
    """Return *date* as a reader of *language* reads it; where unknown, by numbers."""
    if language.partition("-")[0].lower() != "en":
        return str(date)
    return f"{date.day} {_MONTHS[date.month - 1]} {date.year}"


def _beside(headings: Sequence[Heading], address: str) -> str:
    """Return what stands beside the text, where there is room, else above it."""
    parts = _contents(headings)
    if address:
        parts += (
            f'<p class="near"><a href="{graph_address(address)}" '
            f'data-links="{LINKS}{quote(address)}">Graph</a></p>\n'
        )
    if not parts:
        return ""
    return f'<aside class="beside" aria-label="About this note">\n{parts}</aside>\n'


def _contents(headings: Sequence[Heading]) -> str:
    if len(headings) < _MIN_CONTENTS:
        return ""
    top = min(heading.level for heading in headings)
    items = "".join(
        f'<li class="depth-{heading.level - top}">'
        f'<a href="#{quote(heading.anchor)}">{escape(heading.text)}</a></li>\n'
        for heading in headings
    )
    return (
        '<details class="contents"><summary>Contents</summary>\n'
        f'<nav aria-label="Contents"><ol>\n{items}</ol></nav></details>\n'
    )


def _backlinks(backlinks: Sequence[Backlink]) -> str:
    if not backlinks:
        return ""
    items = "".join(
        f"<li>{link_to(link.entry)}<p>{link.context}</p></li>\n"
        if link.context and number < _MAX_CONTEXTS
        else f"<li>{link_to(link.entry)}</li>\n"
        for number, link in enumerate(backlinks)
    )
    return (
        '<section class="backlinks">\n<h2>Links to this note</h2>\n'
        f"<ul>\n{items}</ul>\n</section>\n"
    )


def _around(before: Entry | None, after: Entry | None) -> str:
    """Return links to the notes before and after this one in its folder."""
    links = "".join(
        f'<a rel="{relation}" href="{quote(entry.address)}">'
        f"<span>{name}</span> {escape(entry.title)}</a>\n"
        for relation, name, entry in (
            ("prev", "Previous", before),
            ("next", "Next", after),
        )
        if entry is not None
    )
    if not links:
        return ""
    return f'<nav class="around" aria-label="In this folder">\n{links}</nav>\n'


def _listing(listing: Listing, heading: str = "") -> str:
    lists = _entries(listing.folders, "folders") + _entries(listing.notes, "notes")
    if not heading:
        return lists or "<p>Nothing is here yet.</p>\n"
    if not lists:
        return ""
    return f'<section class="listing">\n<h2>{escape(heading)}</h2>\n{lists}</section>\n'


def _entries(entries: Iterable[Entry], kind: str) -> str:
    items = "".join(
        f"<li>{link_to(entry)}</li>\n"
        if entry.count < 0
        else f'<li>{link_to(entry)} <span class="count">{entry.count}</span></li>\n'
        for entry in entries
    )
    return f'<ul class="{kind}">\n{items}</ul>\n' if items else ""
