"""
Rendering: Markdown in, sanitised HTML out.

Two steps. `parse` does the work, and needs one note only, so that its result can be
kept by content and made in any process. `render` fills in what depends on other
notes, takes microseconds, and says what it asked: a change re-renders what asked
about it.

One rule of the dialect, one module, with tokens from the tokenizer and HTML from the
renderer. Neither step raises for anything an author can write.
"""

from __future__ import annotations

from notes.rendering.code import pygments_css
from notes.rendering.composing import fill, render, render_error
from notes.rendering.headings import slug
from notes.rendering.model import (
    EVERYTHING,
    Heading,
    ParsedNote,
    QueryUse,
    RenderContext,
    RenderedNote,
)
from notes.rendering.parser import commonmark_parser, gfm_parser
from notes.rendering.parsing import parse

__all__ = [
    "EVERYTHING",
    "Heading",
    "ParsedNote",
    "QueryUse",
    "RenderContext",
    "RenderedNote",
    "commonmark_parser",
    "fill",
    "gfm_parser",
    "parse",
    "pygments_css",
    "render",
    "render_error",
    "slug",
]
