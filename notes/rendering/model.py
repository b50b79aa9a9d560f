"""What a note is once it is parsed, and once it is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from notes.bases.definitions import Base

EVERYTHING = "\0everything"
"""Stands among the contents of a note that shows a query: no path is like this."""


class Heading(NamedTuple):
    """A heading of a note; *anchor* is its element's id."""

    level: int
    text: str
    anchor: str


class Target(NamedTuple):
    """
    What a link or an embed points at, as its author wrote it.

    Attributes:
        path: decoded, without fragment; '' is the note itself.
        fragment: decoded; a heading, '^' and a block's id, or an id.
        is_wikilink: `[[path]]`; else a link of Markdown or HTML, whose path is
            relative to the note's own folder first.
    """

    path: str
    fragment: str
    is_wikilink: bool

    @property
    def label(self) -> str:
        """How a link without a text of its own is shown."""
        parts = [self.path, *self.fragment.split("#")]
        return " > ".join(part for part in (part.strip() for part in parts) if part)


class LinkStart(NamedTuple):
    """A link's opening tag; *attributes* is HTML, each with a space before it."""

    target: Target
    attributes: str


class LinkEnd(NamedTuple):
    """The closing tag of the `LinkStart` before it that is still open."""


class Media(NamedTuple):
    """
    A local image, sound or film; *attributes* is HTML, a space before each.

    Attributes:
        tag: 'img', 'audio' or 'video'; 'source' has the target in its parent.
        text: what stands there when the target does not resolve.
    """

    tag: str
    target: Target
    attributes: str
    text: str


class Embed(NamedTuple):
    """Another note, or a part of it, shown here."""

    target: Target
    label: str


class Formula(NamedTuple):
    """A formula as HTML that no author wrote: it goes around the sanitiser."""

    html: str


class Prefix(NamedTuple):
    """
    The place where an id of the note begins.

    Nothing on the note's own page; what keeps ids apart where the note is embedded.
    """


class BoardNode(NamedTuple):
    """
    A card or a group of a canvas; places and sizes in pixels.

    Attributes:
        kind: 'text', 'file', 'link' or 'group'.
        color: '1' to '6' for a preset, '#rrggbb', or ''.
        label: of a group; the address of a link; what another card is called.
        target: of a file.
        text: of a text, parsed by itself.
    """

    id: str
    kind: str
    x: int
    y: int
    width: int
    height: int
    color: str
    label: str
    target: Target | None
    text: ParsedNote | None


class BoardEdge(NamedTuple):
    """
    A line between two nodes, by their ids; a side is '' where none is said.

    *color* is as a node's.
    """

    start: str
    end: str
    start_side: str
    end_side: str
    has_start_arrow: bool
    has_end_arrow: bool
    color: str
    label: str


class Board(NamedTuple):
    """A canvas: what is on it in the order of reading, and what is wrong with it."""

    nodes: tuple[BoardNode, ...]
    edges: tuple[BoardEdge, ...]
    problems: tuple[str, ...]


class Query(NamedTuple):
    """The view *number*, from 0, of a base, shown here."""

    base: Base
    number: int


Piece = str | LinkStart | LinkEnd | Media | Embed | Prefix | Board | Query


class Property(NamedTuple):
    """A property as readers see it: its name, as text, and its value."""

    name: str
    value: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class ParsedNote:
    """
    A note, or a sheet, as far as it can be known without any other: pure, picklable, unchanging.

    Attributes:
        path: of the note.
        title: from the frontmatter, else the first H1, else the file's name.
        title_anchor: the anchor of a leading H1 that repeats the title, which is not
            in *pieces*; the page's own title should carry it. '' without one.
        headings: in order, without that one.
        tags: of the frontmatter, then of the text, without '#', none twice.
        excerpt: its description, else how its text begins; plain, one line.
        pieces: sanitised HTML, cut where something depends on other notes.
        ids: each id in the HTML, to the piece that begins with its element.
        sections: what a fragment may call a heading, to the heading's anchor.
        mentions: what links in comments point at: links, though nobody sees them.
        problems: what could not be shown as it is meant, a line each.
        classes: of the article, from the frontmatter, for style sheets.
        properties: those of the frontmatter that readers may see.
    """

    path: str
    title: str
    title_anchor: str
    headings: tuple[Heading, ...]
    tags: tuple[str, ...]
    excerpt: str
    pieces: tuple[Piece, ...]
    ids: Mapping[str, int]
    sections: Mapping[str, str]
    mentions: tuple[Target, ...] = ()
    problems: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    properties: tuple[Property, ...] = ()


class QueryUse(NamedTuple):
    """A query of a page; *this* is the path of the file that it stands in."""

    query: Query
    this: str


class RenderContext(Protocol):
    """
    What rendering asks of the vault around a note.

    All answers are about published notes, and attachments; nothing else exists.
    """

    def resolve(self, target: str, source_path: str, /) -> str | None:
        """Return the path that *target* means there; see `notes.links.Resolver`."""

    def parsed(self, path: str, /) -> ParsedNote | None:
        """Return the note at *path*; None when it cannot be parsed."""

    def url(self, path: str, /) -> str:
        """Return the URL path of a note or attachment, percent-encoded."""

    def title(self, path: str, /) -> str:
        """Return the title of the note at *path*."""

    def size(self, path: str, /) -> tuple[int, int] | None:
        """Return width and height of the picture at *path*; None when not known."""


@dataclass(frozen=True, slots=True)
class RenderedNote:
    """
    A note's article, ready for its page.

    Attributes:
        path, title, title_anchor, headings, tags, excerpt: as of `ParsedNote`.
        html: sanitised; a leading H1 that repeats the title is not in it. Where a
            query is shown there is a place, for `notes.rendering.fill`.
        queries: in the order of their places.
        links: paths of the notes that it links to or embeds, itself left out.
        contexts: for each of *links* the words around it, see `context_of`.
        attachments: paths of those that it shows or links to, also by embeds.
        embeds: paths of the notes embedded, also by embedded ones.
        unresolved: targets that mean nothing, as written.
        lookups: keys (`notes.links.lookup_key`) of all targets that were resolved.
        addresses: paths whose URL is in the HTML.
        contents: paths of other notes whose text or title had a part in the HTML,
            and of pictures, whose size had.
        problems, classes: as of `ParsedNote`.
        properties: pairs of a name, as text, and a value, as HTML.
        error: why the note could not be rendered, for the log; None when it could.
    """

    path: str
    title: str
    html: str
    title_anchor: str = ""
    headings: tuple[Heading, ...] = ()
    tags: tuple[str, ...] = ()
    excerpt: str = ""
    links: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    embeds: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    lookups: frozenset[str] = field(default_factory=frozenset)
    addresses: frozenset[str] = field(default_factory=frozenset)
    contents: frozenset[str] = field(default_factory=frozenset)
    problems: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    queries: tuple[QueryUse, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    error: str | None = None

    @property
    def dependencies(self) -> frozenset[str]:
        """
        All that the HTML depends on besides the note itself.

        Keys and paths. A change that adds or removes a path touches its key, a
        change of a note or of its address touches its path; what touches none of
        these leaves the HTML as it is.
        """
        return self.lookups | self.addresses | self.contents
