"""Composing: the pieces of a note, and what other notes put into them, to HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from posixpath import basename
from typing import NamedTuple
from urllib.parse import quote, unquote

from notes.links import is_board, is_note, is_sheet, lookup_key
from notes.rendering.contexts import context_of
from notes.rendering.drawing import Card, draw
from notes.rendering.headings import section_name
from notes.rendering.media import is_pdf, media_tag, with_size
from notes.rendering.model import (
    EVERYTHING,
    Board,
    BoardNode,
    Embed,
    LinkStart,
    Media,
    ParsedNote,
    Piece,
    Prefix,
    Query,
    QueryUse,
    RenderContext,
    RenderedNote,
    Target,
)
from notes.rendering.parts import balanced, find_id, part_of
from notes.rendering.slots import MARK

MAX_EMBED_DEPTH = 5
MAX_EMBEDS = 500
"""In one page, embeds in embeds included; those after it are links."""
MAX_EMBEDDED = 2_000_000
"""Characters of HTML; embeds that come after so many are links."""

_FOLDER_NOTES = ("index", "README")
"""What a link to 'folder/' means."""
MAX_QUERIES = 50
"""In one page; those after them are left out."""
_QUERY = re.compile(rf'<div title="{MARK}q(\d+)"></div>')
_ASIDE = re.compile(rf'<div title="{MARK}a(\d+)"></div>')
_WEB = re.compile(r"https?://", re.IGNORECASE)


def render(parsed: ParsedNote, context: RenderContext) -> RenderedNote:
    """
    Return the article of *parsed*, with links as *context* resolves them.

    Fast: parsing is the work. The same *parsed* and the same answers of *context*
    give the same article; `RenderedNote.dependencies` are all of the questions.
    """
    composer = _Composer(parsed, context)
    html = composer.put_back(composer.compose(parsed, parsed.pieces, ()))
    properties = tuple(
        (name, composer.compose(parsed, value, ())) for name, value in parsed.properties
    )
    composer.mention(parsed)
    return RenderedNote(
        path=parsed.path,
        title=parsed.title,
        html=html,
        title_anchor=parsed.title_anchor,
        headings=parsed.headings,
        tags=parsed.tags,
        excerpt=parsed.excerpt,
        links=tuple(composer.links),
        contexts=tuple(composer.links.values()),
        attachments=tuple(composer.attachments),
        embeds=tuple(composer.embeds),
        unresolved=tuple(composer.unresolved),
        lookups=frozenset(composer.lookups),
        addresses=frozenset(composer.addresses),
        contents=frozenset(composer.contents - {parsed.path}),
        problems=parsed.problems,
        classes=parsed.classes,
        queries=tuple(composer.queries),
        properties=properties,
    )


def fill(html: str, queries: Sequence[str]) -> str:
    """Return *html*, of a `RenderedNote`, with the HTML of *queries* in their places."""
    if MARK not in html:
        return html
    return _QUERY.sub(
        lambda match: queries[int(match[1])] if int(match[1]) < len(queries) else "",
        html,
    )


def render_error(note: ParsedNote | str, exc: BaseException) -> RenderedNote:
    """Return what stands for *note*, parsed or a path, after *exc*."""
    path = note if isinstance(note, str) else note.path
    return RenderedNote(
        path=path,
        title=path.rpartition("/")[2].removesuffix(".md"),
        html='<p class="error">This note could not be rendered.</p>\n',
        error=f"{type(exc).__name__}: {exc}",
    )


def names_of(target: Target) -> list[str]:
    """Return what *target* may mean, for a `RenderContext` to resolve; best first."""
    names = [target.path]
    if target.path.endswith("/"):
        names = [target.path + name for name in _FOLDER_NOTES]
    found = []
    for name in names:
        if not target.is_wikilink and not name.startswith(("/", "./", "../")):
            # In Markdown a path is relative; in Obsidian it is one from the root, or
            # a name. Authors write both.
            found.append("./" + name)
        found.append(name)
    return found


class _Shown(NamedTuple):
    """What is being embedded: a note's path, and the fragment of a part of it."""

    path: str
    fragment: str


class _Composer:
    """One page in the making, and what it was found to depend on."""

    def __init__(self, page: ParsedNote, context: RenderContext) -> None:
        self._page = page
        self._context = context
        self._embedded = 0
        self._embed_count = 0
        self._aside: list[str] = []
        self._this = ""
        """What embeds the base that is being composed."""
        self.queries: list[QueryUse] = []
        # Dictionaries for sets that keep their order.
        self.links: dict[str, str] = {}
        """The context of each."""
        self.attachments: dict[str, None] = {}
        self.embeds: dict[str, None] = {}
        self.unresolved: dict[str, None] = {}
        self._resolved: dict[Target, str | None] = {}
        """The targets of the page itself."""
        self.lookups: set[str] = set()
        self.addresses: set[str] = set()
        self.contents: set[str] = set()

    def compose(
        self, note: ParsedNote, pieces: tuple[Piece, ...], above: tuple[_Shown, ...]
    ) -> str:
        """
        Return *pieces* of *note* as HTML.

        *above* are the embeds around it, the outermost first.
        """
        prefix = f"embed-{self._embed_count}-" if above else ""
        out: list[str] = []
        closings: list[str] = []
        for number, piece in enumerate(pieces):
            if isinstance(piece, str):
                out.append(piece)
            elif isinstance(piece, LinkStart):
                opening, closing = self._link(note, piece, is_embedded=bool(above))
                if not above:
                    self._take_context(piece, pieces, number)
                out.append(opening)
                closings.append(closing)
            elif isinstance(piece, Prefix):
                out.append(prefix)
            elif isinstance(piece, Media):
                out.append(self._media(note, piece))
            elif isinstance(piece, Embed):
                out.append(self._embed(note, piece, above))
            elif isinstance(piece, Board):
                out.append(self._put_aside(self._board(note, piece, above)))
            elif isinstance(piece, Query):
                out.append(self._query(note, piece))
            elif closings:
                out.append(closings.pop())
        # A part may begin or end inside of a link.
        out.extend(reversed(closings))
        return "".join(out)

    def _put_aside(self, html: str) -> str:
        """
        Return what stands for *html* until `put_back`.

        SVG is nothing that `balanced` could take.
        """
        self._aside.append(html)
        return f'<div title="{MARK}a{len(self._aside) - 1}"></div>'

    def _query(self, note: ParsedNote, query: Query) -> str:
        if len(self.queries) >= MAX_QUERIES:
            return ""
        self.contents.add(EVERYTHING)
        self.queries.append(QueryUse(query, self._this or note.path))
        return f'<div title="{MARK}q{len(self.queries) - 1}"></div>'

    def put_back(self, html: str) -> str:
        """Return *html* with all that was put aside in its place."""
        return _ASIDE.sub(lambda match: self.put_back(self._aside[int(match[1])]), html)

    def mention(self, note: ParsedNote) -> None:
        """Count the links in the comments of *note* that lead to other notes."""
        for target in note.mentions:
            path = self._look_up(note, target)
            # A file that nobody can see is not put on the site.
            if path is not None and is_note(path) and path != note.path:
                self.links.setdefault(path, "")

    def _take_context(
        self, link: LinkStart, pieces: tuple[Piece, ...], number: int
    ) -> None:
        """Keep the words around *link*, the first of those to its note that has any."""
        path = self._resolved.get(link.target)
        if path is not None and self.links.get(path) == "":
            self.links[path] = context_of(pieces, number)

    def _resolve(self, note: ParsedNote, target: Target) -> str | None:
        """Return the path of *target*, in *note*, and count it as used."""
        path = self._look_up(note, target)
        if note is self._page:
            self._resolved[target] = path
        if path is None:
            if note.path == self._page.path:
                self.unresolved[target.path] = None
        elif path != self._page.path:
            if not is_note(path):
                self.attachments[path] = None
            elif note.path == self._page.path:
                self.links.setdefault(path, "")
        return path

    def _look_up(self, note: ParsedNote, target: Target) -> str | None:
        """Return the path of *target*, in *note*; note what that depends on."""
        for name in names_of(target):
            self.lookups.add(lookup_key(name))
            path = self._context.resolve(name, note.path)
            if path is not None:
                return path
        return None

    def _url(self, path: str) -> str:
        self.addresses.add(path)
        return self._context.url(path)

    def _parsed(self, path: str) -> ParsedNote | None:
        if path == self._page.path:
            return self._page
        self.contents.add(path)
        return self._context.parsed(path)

    def _link(
        self, note: ParsedNote, piece: LinkStart, *, is_embedded: bool
    ) -> tuple[str, str]:
        """Return a link's opening and closing tags."""
        target = piece.target
        url: str | None
        if target.path:
            path = self._resolve(note, target)
            url = None if path is None else self._url(path)
        else:
            path = note.path
            url = self._url(path) if is_embedded else ""
        if path is not None and url is not None:
            url += self._fragment(note, path, target.fragment)
        if not url:
            return '<span class="unresolved">', "</span>"
        return f'<a href="{escape(url)}"{piece.attributes}>', "</a>"

    def _fragment(self, note: ParsedNote, path: str, fragment: str) -> str:
        """Return '#' and the id that *fragment* means in *path*, or ''."""
        if not fragment:
            return ""
        if not (is_note(path) or is_sheet(path)):
            # As '#page=3' of a PDF.
            return "#" + quote(fragment, safe="=&,:/?")
        parsed = note if path == note.path else self._parsed(path)
        anchor = find_id(parsed, fragment) if parsed is not None else None
        return "" if anchor is None else "#" + quote(anchor, safe=":")

    def _media(self, note: ParsedNote, piece: Media) -> str:
        path = self._resolve(note, piece.target)
        if path is None or is_note(path):
            if piece.tag == "source":
                return ""
            return f'<span class="unresolved">{piece.text}</span>'
        url = escape(self._url(path))
        if piece.tag == "img":
            self.contents.add(path)
            attributes = with_size(piece.attributes, self._context.size(path))
            return f'<img src="{url}"{attributes} loading="lazy">'
        if piece.tag == "source":
            return f'<source src="{url}">'
        return (
            f'<{piece.tag} src="{url}"{piece.attributes} controls preload="none">'
            f'<a href="{url}">{piece.text}</a></{piece.tag}>'
        )

    def _embed(self, note: ParsedNote, piece: Embed, above: tuple[_Shown, ...]) -> str:
        target = piece.target
        path = self._resolve(note, target) if target.path else note.path
        if path is None:
            return _unresolved(piece.label)
        url = self._url(path)
        if is_pdf(path):
            address = url + self._fragment(note, path, target.fragment)
            return self._put_aside(_framed(escape(address)))
        if not (is_note(path) or is_sheet(path)):
            return f'<p><a href="{escape(url)}">{escape(piece.label)}</a></p>'
        shown = _Shown(path, section_name(target.fragment))
        around = (_Shown(self._page.path, ""), *above)
        parsed = self._parsed(path)
        if parsed is None:
            return _unresolved(piece.label)
        pieces = part_of(parsed, _part(parsed, target.fragment))
        if pieces is None:
            return _unresolved(piece.label)
        link = url + self._fragment(note, path, target.fragment)
        if (
            shown in around
            or _Shown(path, "") in above
            or len(above) >= MAX_EMBED_DEPTH
            or self._embed_count >= MAX_EMBEDS
            or self._embedded > MAX_EMBEDDED
        ):
            return f'<p><a href="{escape(link)}">{escape(piece.label)}</a></p>'
        self._embed_count += 1
        self.embeds[path] = None
        this = self._this
        self._this = note.path if is_sheet(path) and not is_board(path) else ""
        body = self.compose(parsed, pieces, (*above, shown))
        self._this = this
        if pieces is not parsed.pieces:
            body = balanced(body)
        self._embedded += len(body)
        title = escape(self._title(path))
        return (
            f'<div class="embed"><p class="embed-title"><a href="{escape(link)}">'
            f"{title}</a></p>\n{body}</div>"
        )

    def _board(self, note: ParsedNote, board: Board, above: tuple[_Shown, ...]) -> str:
        cards: list[Card] = []
        left_out = 0
        for node in board.nodes:
            if self._embed_count >= MAX_EMBEDS or self._embedded > MAX_EMBEDDED:
                left_out += 1
                continue
            self._embed_count += 1
            card = self._card(note, node, (*above, _Shown(note.path, f"^{node.id}")))
            if card is not None:
                self._embedded += len(card.body)
                cards.append(card)
        problems = "".join(
            f'<p class="canvas-problem">{escape(problem)}</p>\n'
            for problem in board.problems
        )
        return draw(note.title, cards, board.edges, left_out) + problems

    def _card(
        self, canvas: ParsedNote, node: BoardNode, above: tuple[_Shown, ...]
    ) -> Card | None:
        """
        Return *node* as it is shown; None when its file is none that readers see.

        Neither that file's name nor a line to it appears then.
        """
        label, body = node.label, ""
        if node.text is not None:
            body = self.compose(node.text, node.text.pieces, above)
        elif node.target is not None:
            path = self._resolve(canvas, node.target)
            if path is None:
                return None
            label = self._title(path) if is_note(path) else basename(path)
            kind = media_tag(path)
            if kind is not None:
                text = escape(label)
                alt = f' alt="{text}"' if kind == "img" else f' aria-label="{text}"'
                body = self._media(canvas, Media(kind, node.target, alt, text))
            else:
                body = self._embed(canvas, Embed(node.target, label), above)
        elif node.kind == "link":
            text = escape(node.label)
            is_web = _WEB.match(node.label) is not None
            link = f'<a href="{text}">{text}</a>' if is_web else text
            body = f"<p>{link}</p>\n"
        return Card(node, label, body, "<a " in body or "<audio" in body)

    def _title(self, path: str) -> str:
        return self._context.title(path)


def _part(parsed: ParsedNote, fragment: str) -> str:
    """Return the fragment of what is shown of *parsed*: of a base, one view."""
    if is_board(parsed.path):
        return ""
    if not fragment and is_sheet(parsed.path) and parsed.headings:
        return parsed.headings[0].anchor
    return fragment


def _framed(url: str) -> str:
    """Return a PDF in the page, and a link to it: few phones show one in a frame."""
    name = escape(basename(unquote(url.partition("#")[0])))
    return (
        f'<div class="pdf"><iframe src="{url}" title="{name}" loading="lazy">'
        f'</iframe>\n<p><a href="{url}">{name}</a></p></div>\n'
    )


def _unresolved(label: str) -> str:
    return f'<p><span class="unresolved">{escape(label)}</span></p>'
