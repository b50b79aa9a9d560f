"""Parsers: CommonMark alone, GitHub's additions, and the notes' whole dialect."""

from __future__ import annotations

import functools

from markdown_it import MarkdownIt

from notes.rendering.autolinks import autolinks
from notes.rendering.blocks import block_ids
from notes.rendering.brackets import brackets
from notes.rendering.callouts import callouts
from notes.rendering.code import code
from notes.rendering.comments import comments
from notes.rendering.embeds import embeds
from notes.rendering.footnotes import footnotes
from notes.rendering.formulas import formulas
from notes.rendering.headings import headings
from notes.rendering.highlights import highlights
from notes.rendering.images import images
from notes.rendering.tables import tables
from notes.rendering.tags import tags
from notes.rendering.tasks import tasks
from notes.rendering.wikilinks import wikilinks

MAX_NESTING = 50
"""Levels of quotes and lists, two for a list; what lies deeper is left out."""


@functools.cache
def commonmark_parser() -> MarkdownIt:
    """Return a parser of CommonMark, as its specification has it."""
    return MarkdownIt("commonmark", {"maxNesting": MAX_NESTING})


@functools.cache
def gfm_parser() -> MarkdownIt:
    """Return a parser of CommonMark with GitHub's additions."""
    md = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING, "tasklists": True})
    md.enable(["strikethrough", "table"])
    return md.use(autolinks)


@functools.cache
def note_parser() -> MarkdownIt:
    """Return the parser of notes; its HTML has marks in it, see `slots`."""
    md = MarkdownIt(
        "commonmark",
        {
            "maxNesting": MAX_NESTING,
            "tasklists": True,
            "breaks": True,
            "xhtmlOut": False,
        },
    )
    md.enable("strikethrough")
    for rule in (brackets, autolinks, tables, footnotes, wikilinks, tags, highlights):
        md.use(rule)
    for rule in (images, code, callouts, formulas, tasks):
        md.use(rule)
    # In this order: comments go before all that looks for the end of a text, an id is
    # taken off its block before the block is split, and a heading's text is what is
    # left.
    for rule in (comments, block_ids, embeds, headings):
        md.use(rule)
    return md
