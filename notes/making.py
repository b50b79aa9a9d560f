"""
Making: the costly steps from sources to pages, each for a part of the notes.

The objects here work in a `notes.team.Team`: in this process or in others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from notes.addresses import quote
from notes.assigning import Addresses
from notes.blobs import blob_path
from notes.conf import conf
from notes.frames import Frame
from notes.image_sizes import image_size
from notes.links import Resolver
from notes.packing import pack, unpack
from notes.pages import Surroundings, make_note_page
from notes.rendering import ParsedNote, RenderedNote, parse, render, render_error
from notes.responses import Response
from notes.sources import AttachmentSource, NoteSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Vault:
    """
    The published notes and the attachments, as rendering asks for them.

    Attributes:
        packed, sheets: the parsed notes and sheets, by path; None for one that could
            not be parsed.
    """

    packed: Mapping[str, bytes | None]
    sheets: Mapping[str, bytes | None]
    addresses: Addresses
    resolver: Resolver
    attachments: Mapping[str, AttachmentSource]

    def resolve(self, target: str, source_path: str, /) -> str | None:
        """Return the path that *target* means in the note at *source_path*."""
        return self.resolver.resolve(target, source_path)

    def parsed(self, path: str, /) -> ParsedNote | None:
        """Return the note at *path*; None when it could not be parsed."""
        packed = self.packed.get(path) or self.sheets.get(path)
        return None if packed is None else unpack(packed)

    def url(self, path: str, /) -> str:
        """Return the URL path of a note or attachment, percent-encoded."""
        return quote(self.addresses.notes.get(path) or f"/{path}")

    def title(self, path: str, /) -> str:
        """Return the title of the note at *path*."""
        parsed = self.parsed(path)
        return path if parsed is None else parsed.title

    def size(self, path: str, /) -> tuple[int, int] | None:
        """Return width and height of the picture at *path*, if they are known."""
        content_hash = self.attachments[path].content_hash
        return image_size(blob_path(conf.attachments_dir, content_hash))


class Parsing:
    """Parses its part of the notes."""

    def __init__(self, notes: Iterable[NoteSource]) -> None:
        self._notes = notes

    def parse(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield pairs of path and packed note; None for one that cannot be parsed."""
        for note in self._notes:
            try:
                yield note.path, pack(parse(note))
            except Exception:  # the error page of one note is no reason to have none
                logger.exception("event=note_not_parsed path=%r", note.path)
                yield note.path, None


class Making:
    """Renders its part of the notes, then makes their pages."""

    def __init__(self, vault: Vault, paths: Iterable[str]) -> None:
        self._vault = vault
        self.paths = tuple(paths)
        self._rendered: dict[str, RenderedNote] = {}

    def render(self) -> Iterator[RenderedNote]:
        """Yield the notes of this part as they are kept; their text stays here."""
        for path in self.paths:
            rendered = self._rendered[path] = self._render(path)
            yield without_text(rendered)

    def make(
        self, frame: Frame, around: Mapping[str, Surroundings]
    ) -> Iterator[tuple[str, Response]]:
        """
        Yield pairs of path and page.

        Args:
            around: by the path of each note whose page is made.
        """
        for path, surroundings in around.items():
            rendered = self._rendered.pop(path, None) or self._render(path)
            yield path, make_note_page(frame, rendered, surroundings)

    def _render(self, path: str) -> RenderedNote:
        parsed = self._vault.parsed(path)
        if parsed is None:
            return render_error(path, RuntimeError("not parsed; the log says why"))
        try:
            return render(parsed, self._vault)
        except Exception as exc:  # as in parse
            logger.exception("event=note_not_rendered path=%r", path)
            return render_error(parsed, exc)


def without_text(rendered: RenderedNote) -> RenderedNote:
    """Return *rendered* as it is kept: what only its page shows is in that page."""
    return replace(
        rendered, html="", title_anchor="", headings=(), unresolved=(), properties=()
    )
