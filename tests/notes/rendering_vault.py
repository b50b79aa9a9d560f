"""A vault of a few notes, rendered as the site renders one, without a site."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from notes.links import Resolver, is_note
from notes.rendering import ParsedNote, RenderedNote, parse, render
from notes.sources import NoteSource

SHARED = Path(
    os.environ.get("SHARED_DIR") or Path(__file__).parents[2].parent / "shared"
)

_EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def source(
    body: str, path: str = "Note.md", properties: Mapping[str, Any] | None = None
) -> NoteSource:
    return NoteSource(path, properties or {}, body, "0" * 64, _EPOCH)


class Vault:
    """A `RenderContext` of notes by path, and attachments."""

    def __init__(
        self,
        notes: Mapping[str, str],
        attachments: Iterable[str] = (),
        urls: Mapping[str, str] | None = None,
        sizes: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.notes = {path: parse(source(body, path)) for path, body in notes.items()}
        self.urls = urls or {}
        self.sizes = sizes or {}
        self._resolver = Resolver(self.notes, attachments)

    def resolve(self, target: str, source_path: str, /) -> str | None:
        return self._resolver.resolve(target, source_path)

    def parsed(self, path: str, /) -> ParsedNote | None:
        return self.notes.get(path)

    def url(self, path: str, /) -> str:
        address = path.removesuffix(".md") if is_note(path) else path
        return "/" + quote(self.urls.get(path, address))

    def title(self, path: str, /) -> str:
        return self.notes[path].title

    def size(self, path: str, /) -> tuple[int, int] | None:
        return self.sizes.get(path)

    def render(self, path: str) -> RenderedNote:
        return render(self.notes[path], self)


def html_of(
    body: str,
    notes: Mapping[str, str] | None = None,
    attachments: Iterable[str] = (),
) -> str:
    """Return the article of a note 'Note.md' with *body*, beside *notes*."""
    return Vault({"Note.md": body, **(notes or {})}, attachments).render("Note.md").html
