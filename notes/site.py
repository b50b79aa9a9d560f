"""
The Site: all that readers are served, as one snapshot in memory.

A snapshot never changes. `notes.building` makes the first from the rows and each
next one from the last; `publish` puts it in the last one's place. A request reads
`current` once and sees one state of the vault, without a lock.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from notes.addresses import TAGS, quote, tag_address, wsgi_path
from notes.assigning import Addresses, Wish, foresee_address, read_wish, redirect_key
from notes.bases.selecting import Answers
from notes.dates import Dates
from notes.frames import Frame
from notes.links import Resolver
from notes.listings import Folders, Neighbours, Tag
from notes.pages import Entry
from notes.rendering import RenderedNote
from notes.responses import Response
from notes.site_settings import Problem
from notes.sources import AttachmentSource, NoteSource

Index: TypeAlias = Mapping[str, tuple[str, ...]]
"""Sorted paths of notes, by what leads to them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is kept of a note's source once it is parsed."""

    wish: Wish
    dates: Dates
    language: str
    changed_at: datetime.datetime
    published_at: datetime.datetime
    """For machines: these fall back on the file's date."""
    content_hash: str
    properties: bytes
    """The frontmatter, pickled: bases ask for it, and few sites have one."""
    modified_at: datetime.datetime
    """Of the row: what it was made from is still what is there, if these are equal."""


class Texts(NamedTuple):
    """What notes and sheets were rendered to, by path."""

    notes: Mapping[str, RenderedNote]
    sheets: Mapping[str, RenderedNote]

    def of(self, path: str) -> RenderedNote | None:
        """Return the note or sheet at *path*, if there is one."""
        return self.notes.get(path) or self.sheets.get(path)


@dataclass(frozen=True, eq=False)
class Site:
    """
    A snapshot of the published notes and of every page made from them.

    Attributes:
        sequence: that of the last change that is in it.
        attachments: all of the vault, by path, the sheets too.
        facts, packed, rendered, entries, backlinks: by the path of each note;
            packed is None for one that cannot be parsed, and rendered is without
            what only the pages show.
        askers: the notes that asked what a name means, by `notes.links.lookup_key`.
        users: the notes that show the address or the text of a path, by that path.
        tags: by key.
        neighbours: paths of the notes before and after each in its folder.
        note_pages, folder_pages, tag_pages: by path, folder, and key.
        pages: every page, by PATH_INFO.
        packed_sheets, sheets: as packed and rendered, of all sheets of the vault.
        shown_sheets: the paths of those that published notes use: they have pages.
        files: the other attachments that published notes use, by PATH_INFO.
        former: the paths of notes by what `redirect_key` makes of addresses that they
            had before.
        held: when the notes are published that are not yet, by path.
        own: the properties of the file of settings; none without it.
        problems: what is left out of the settings, and why.
        missing: the page that answers when there is none.
        documents: what is made at the first request for it, by PATH_INFO.
        answers: what bases show, as far as this process has found it.
    """

    sequence: int
    attachments: Mapping[str, AttachmentSource]
    facts: Mapping[str, Facts]
    packed: Mapping[str, bytes | None]
    packed_sheets: Mapping[str, bytes | None]
    resolver: Resolver
    addresses: Addresses
    rendered: Mapping[str, RenderedNote]
    entries: Mapping[str, Entry]
    backlinks: Index
    askers: Index
    users: Index
    folders: Folders
    tags: Mapping[str, Tag]
    sheets: Mapping[str, RenderedNote]
    shown_sheets: frozenset[str]
    neighbours: Mapping[str, Neighbours]
    frame: Frame
    note_pages: Mapping[str, Response]
    folder_pages: Mapping[str, Response]
    tag_pages: Mapping[str, Response]
    pages: Mapping[str, Response]
    files: Mapping[str, AttachmentSource]
    former: Mapping[str, str]
    held: Mapping[str, datetime.datetime]
    own: Mapping[str, Any]
    problems: tuple[Problem, ...]
    missing: Response
    documents: dict[str, Response] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)

    @functools.cached_property
    def _falls_due(self) -> datetime.datetime | None:
        return min(self.held.values(), default=None)

    def is_due(self, now: datetime.datetime) -> bool:
        """Return whether a note that is held back is to be published."""
        # Asked several times a second, and as a rule there is none.
        return self._falls_due is not None and self._falls_due <= now

    def due(self, now: datetime.datetime) -> set[str]:
        """Return the paths of the notes held back that are to be published."""
        if not self.is_due(now):
            return set()
        return {path for path, start in self.held.items() if start <= now}

    @property
    def texts(self) -> Texts:
        """All that was rendered."""
        return Texts(self.rendered, self.sheets)

    def redirect(self, path_info: str) -> str | None:
        """Return the URL path that a reader of *path_info*, no page's, meant."""
        try:
            address = path_info.encode("latin-1").decode()
        except UnicodeError:
            return None
        meant = self.addresses.redirect(address) or self._former(address)
        if meant is None and f"{address}/".startswith(TAGS):
            meant = tag_address(f"{address}/".removeprefix(TAGS))
        # '/a' may mean '/a/', but a path never means itself.
        if meant is None or meant == address or wsgi_path(meant) not in self.pages:
            return None
        return quote(meant)

    def _former(self, address: str) -> str | None:
        """Return the address now of the note that was at *address*, if there is one."""
        path = self.former.get(redirect_key(address))
        return None if path is None else self.addresses.notes.get(path)

    def foresee_address(self, note: NoteSource) -> str:
        """Return the address of *note*, which may be newer than this snapshot."""
        wish = read_wish(note)
        before = self.facts.get(note.path)
        if before is not None and before.wish == wish:
            return self.addresses.notes[note.path]
        return foresee_address(
            note.path,
            wish,
            self.addresses,
            lambda path: self.facts[path].wish,
            self.attachments,
        )

    def is_equal_to(self, other: Site) -> bool:
        """Return whether readers are served the same by both, byte by byte."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in (
                "pages",
                "files",
                "former",
                "held",
                "own",
                "problems",
                "frame",
                "missing",
                "addresses",
                "facts",
                "rendered",
                "entries",
                "backlinks",
                "folders",
                "tags",
                "sheets",
                "shown_sheets",
                "neighbours",
            )
        )


_current: Site | None = None


def current() -> Site | None:
    """Return the snapshot to serve; None before the first was made."""
    return _current


def publish(site: Site | None) -> None:
    """Serve *site* from now on; requests that are under way keep the last one."""
    global _current
    _current = site
