"""Parsing: one note, by itself, to pieces of sanitised HTML."""

from __future__ import annotations

from posixpath import basename
from typing import Any

from markdown_it.token import Token

from notes.frontmatter import named
from notes.links import is_board, is_sheet
from notes.rendering.base_files import parse_base
from notes.rendering.boards import parse_board
from notes.rendering.css_classes import classes_of
from notes.rendering.headings import sections
from notes.rendering.model import Heading, ParsedNote
from notes.rendering.parser import note_parser
from notes.rendering.plain import plain_text
from notes.rendering.properties import MAX_TEXT, properties_of
from notes.rendering.raw_html import neutralise
from notes.rendering.sanitising import make_cleaner
from notes.rendering.slots import ID_MARK, Cutter
from notes.rendering.tags import tags_of, without_repeats
from notes.sources import NoteSource

EXCERPT_LENGTH = 160
"""In characters, about: it ends with a word."""
MAX_DESCRIPTION = 300
"""In characters; of one that the author wrote more is shown."""

_CLEANER = make_cleaner(ID_MARK)


def parse(note: NoteSource) -> ParsedNote:
    """
    Return *note*, or a sheet, parsed: all that it is without knowing any other.

    Its path says what it is, and is the title of a note without one.
    """
    if is_board(note.path):
        return parse_board(note, _parse_card)
    if is_sheet(note.path):
        return parse_base(note)
    return _parse_note(note)


def _parse_card(card: NoteSource) -> ParsedNote:
    return _parse_note(card, has_title_above=False)


def _parse_note(note: NoteSource, *, has_title_above: bool = True) -> ParsedNote:
    md = note_parser()
    env = _env()
    tokens = md.parse(_valid(note.body), env)
    neutralise(tokens)
    headings: list[Heading] = env["headings"]
    title = _title(note, headings)
    names = sections(headings)
    excerpt = _description(note) or _excerpt(tokens, EXCERPT_LENGTH)
    title_anchor = ""
    if has_title_above and _begins_with_title(tokens, title):
        title_anchor = headings.pop(0).anchor
        del tokens[:3]
    cutter = Cutter(env["slots"])
    pieces = cutter.cut(_CLEANER.clean(md.renderer.render(tokens, md.options, env)))
    return ParsedNote(
        path=note.path,
        title=title,
        title_anchor=title_anchor,
        headings=tuple(headings),
        tags=without_repeats(map(_valid, [*tags_of(note.properties), *env["tags"]])),
        excerpt=excerpt,
        pieces=pieces,
        ids=cutter.ids,
        sections=names,
        mentions=tuple(dict.fromkeys(env["mentions"])),
        problems=tuple(env["problems"]),
        classes=classes_of(note.properties),
        properties=properties_of(note.properties),
    )


def _env() -> dict[str, Any]:
    """Return what the rules of the parser write to."""
    lists = ("slots", "headings", "tags", "mentions", "problems")
    return {name: [] for name in lists}


def _valid(text: str) -> str:
    """Return *text* with what is not Unicode replaced: YAML can say '\\ud800'."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _title(note: NoteSource, headings: list[Heading]) -> str:
    given = named(note.properties, "title")
    if isinstance(given, str | int | float) and not isinstance(given, bool):
        title = " ".join(_valid(str(given)).split())
        if title:
            return title
    for heading in headings:
        if heading.level == 1 and heading.text:
            return heading.text
    return basename(note.path).removesuffix(".md")


def _begins_with_title(tokens: list[Token], title: str) -> bool:
    return (
        len(tokens) > 1
        and tokens[0].type == "heading_open"
        and tokens[0].tag == "h1"
        and plain_text(tokens[1].children).strip() == title
    )


def _description(note: NoteSource) -> str:
    """Return what the author says of *note*, as plain text; '' without it."""
    given = named(note.properties, "description")
    if not isinstance(given, str):
        return ""
    # Its links and comments are what they are in the text.
    text = " ".join(_valid(given[:MAX_TEXT]).split())
    return _excerpt(note_parser().parse(text, _env()), MAX_DESCRIPTION)


def _excerpt(tokens: list[Token], length: int) -> str:
    """Return the text of the first paragraphs, cut after *length* characters."""
    text = ""
    previous = None
    for token in tokens:
        if (
            token.type == "inline"
            and previous is not None
            and previous.type == "paragraph_open"
        ):
            words = plain_text(token.children).split()
            text = f"{text} {' '.join(words)}".strip()
            if len(text) > length:
                start = text[:length]
                # Scripts without spaces have no word to end with.
                return (start.rpartition(" ")[0] or start).rstrip(",;:") + "…"
        previous = token
    return text
