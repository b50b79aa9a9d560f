"""Base files: each view of one is a section of its page."""

from __future__ import annotations

from html import escape
from posixpath import basename

from notes.bases.definitions import read_base
from notes.rendering.headings import sections, slug
from notes.rendering.model import Heading, ParsedNote, Piece, Prefix, Query
from notes.sources import NoteSource


def parse_base(source: NoteSource) -> ParsedNote:
    """Return the base in *source* parsed; never raises."""
    base = read_base(source.body)
    pieces: list[Piece] = []
    headings: list[Heading] = []
    ids: dict[str, int] = {}
    for number, view in enumerate(base.views):
        anchor = slug(view.name) or "view"
        if anchor in ids:
            anchor = f"{anchor}-{number + 1}"
        ids[anchor] = len(pieces)
        headings.append(Heading(2, view.name, anchor))
        title = f'{escape(anchor)}">{escape(view.name)}</h2>\n'
        pieces += ['<h2 id="', Prefix(), title, Query(base, number)]
    if not base.views:
        pieces.extend(f"<p>{escape(problem)}</p>\n" for problem in base.problems)
    problems = [
        *base.problems,
        *(line for view in base.views for line in view.problems),
    ]
    return ParsedNote(
        path=source.path,
        title=basename(source.path).rpartition(".")[0],
        title_anchor="",
        headings=tuple(headings),
        tags=(),
        excerpt="",
        pieces=tuple(pieces),
        ids=ids,
        sections=sections(headings),
        problems=tuple(problems),
    )
