"""Updating: what is known of the notes, after a change; all but the pages."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import filterfalse

from notes.addresses import folder_of
from notes.assigning import Turnover, Wish, change_addresses, read_wish
from notes.dates import changed_at, published_at, read_dates
from notes.frontmatter import named
from notes.languages import is_language
from notes.layers import differing, replaced
from notes.links import is_sheet, lookup_key
from notes.listings import Neighbours, find_neighbours, recount, relist, retag
from notes.making import Making, Parsing, Vault
from notes.pages import Entry
from notes.rendering import RenderedNote
from notes.site import Facts, Index, Site, Texts
from notes.sources import AttachmentSource, NoteSource
from notes.team import Crew, Team
from notes.vault import SETTINGS


class Update:
    """
    What a change makes of all that *old* knows of the notes.

    The steps are to be taken in their order: those of the beginning and `parse`
    when it is made, then `render`, then `connect`.

    Attributes:
        paths: all that the change touched.
        own: the properties of the file of settings.
        removed: notes that are gone, or not published any more.
        gone: those, and the sheets that are gone.
        shown_sheets: the paths of the sheets that published notes use.
        moved: notes with another address than before, or their first.
        to_render: notes and sheets whose text may come out otherwise.
        relisted: notes that other pages list otherwise, by title or address.
        relinked: notes with other backlinks, by number, title, address or context.
        reordered: notes whose neighbours are others, or are called otherwise.
    """

    def __init__(
        self,
        old: Site,
        paths: Iterable[str],
        notes: Iterable[NoteSource],
        attachments: Iterable[AttachmentSource],
        known: Mapping[str, tuple[str, bytes]],
        crew: Crew,
    ) -> None:
        self.old = old
        self.paths = set(paths)
        self._sources = {note.path: note for note in notes}
        settings = self._sources.pop(SETTINGS, None)
        self.own = old.own if SETTINGS not in self.paths else {}
        if settings is not None:
            self.own = settings.properties
        self._notes = {
            path: note for path, note in self._sources.items() if not is_sheet(path)
        }
        self._files = {file.path: file for file in attachments}
        self._crew = crew
        self._take_sources()
        self._assign_addresses()
        self._find_texts()
        self._parse(known)
        vault = Vault(
            self.packed,
            self.packed_sheets,
            self.addresses,
            self.resolver,
            self.attachments,
        )
        self.makers = [
            Making(vault, part) for part in crew.deal(sorted(self.to_render))
        ]

    def _take_sources(self) -> None:
        """Put the changed sources in the places of the old ones."""
        old = self.old
        self.removed = (self.paths & old.facts.keys()) - self._notes.keys()
        self.facts = replaced(
            old.facts,
            self.removed,
            {path: _read_facts(note) for path, note in self._notes.items()},
        )
        gone = (self.paths & old.attachments.keys()) - self._files.keys()
        self.gone = self.removed | set(filter(is_sheet, gone))
        self.attachments = replaced(old.attachments, gone, self._files)
        self._come_or_gone = {
            path
            for path in self.paths
            if (path in self.facts) != (path in old.facts)
            or (path in self.attachments) != (path in old.attachments)
        }
        come = [path for path in self._notes if path not in old.facts]
        self._counted = old.folders
        # A site that was never built has no folder, not even the vault's own.
        if come or self.removed or not old.folders.counts:
            self._counted = recount(old.folders, self.removed, come)

    def _assign_addresses(self) -> None:
        """Give out addresses anew where they may change."""
        old, facts = self.old, self.facts
        gone = {path: old.facts[path].wish for path in self.removed}
        new: dict[str, Wish] = {}
        for path in self._notes:
            known, wish = old.facts.get(path), facts[path].wish
            if known is None or known.wish != wish:
                new[path] = wish
                if known is not None:
                    gone[path] = known.wish
        there = {
            path
            for path in self._come_or_gone
            if path in facts or path in self.attachments
        }
        self.addresses = old.addresses
        if gone or new or self._come_or_gone or not old.addresses.folders:
            before, after = old.folders.counts, self._counted.counts
            folders = differing(before, after)
            files = self.attachments, old.attachments
            turnover = Turnover(
                gone=gone,
                new=new,
                folders_gone={folder for folder in folders if folder not in after},
                folders_come={folder for folder in folders if folder not in before},
                files_gone={path for path in self._come_or_gone if path in files[1]},
                files_come={path for path in self._come_or_gone if path in files[0]},
            )
            self.addresses = change_addresses(
                old.addresses, turnover, _Wishes(facts), self.attachments
            )
        self.resolver = old.resolver
        if self._come_or_gone:
            self.resolver = old.resolver.changed(self._come_or_gone - there, there)
        self.moved = {
            path
            for path in differing(old.addresses.notes, self.addresses.notes)
            if path in self.addresses.notes
        }

    def _find_texts(self) -> None:
        """Find the notes whose text may come out otherwise."""
        keys = {lookup_key(path) for path in self._come_or_gone}
        changed = self._sources.keys() | self._files.keys()
        texts = self.old.texts
        suspects: set[str] = set()
        for key in keys:
            suspects.update(self.old.askers.get(key, ()))
        for path in self.moved | changed:
            suspects.update(self.old.users.get(path, ()))
        self.to_render = set(self._sources) | {
            path
            for path in suspects
            if (path in self.facts or (is_sheet(path) and path in self.attachments))
            and not (
                (before := texts.of(path)) is not None
                and keys.isdisjoint(before.lookups)
                and self.moved.isdisjoint(before.addresses)
                and changed.isdisjoint(before.contents)
            )
        }

    def _parse(self, known: Mapping[str, tuple[str, bytes]]) -> None:
        packed: dict[str, bytes | None] = {}
        for path, note in self._sources.items():
            if path in known and known[path][0] == note.content_hash:
                packed[path] = known[path][1]
        unknown = [note for path, note in self._sources.items() if path not in packed]
        notes = sorted(unknown, key=_size, reverse=True)
        workers = [Parsing(part) for part in self._crew.deal(notes)]
        with self._crew.team(workers) as team:
            parsed: list[tuple[str, bytes | None]] = team.call(
                "parse",
                [()] * len(workers),
                self._crew.reporter(len(notes), "notes parsed"),
            )
        packed.update(parsed)
        sheets = {path: packed.pop(path) for path in list(packed) if is_sheet(path)}
        self.packed = replaced(self.old.packed, self.removed, packed)
        self.packed_sheets = replaced(self.old.packed_sheets, self.gone, sheets)

    def render(self, team: Team) -> None:
        """Render, by a team of the makers."""
        rendered: list[RenderedNote] = team.call(
            "render",
            [()] * len(self.makers),
            self._crew.reporter(len(self.to_render), "notes"),
        )
        self.rendered = replaced(
            self.old.rendered,
            self.removed,
            {note.path: note for note in rendered if not is_sheet(note.path)},
        )
        self.sheets = replaced(
            self.old.sheets,
            self.gone,
            {note.path: note for note in rendered if is_sheet(note.path)},
        )
        self.texts = Texts(self.rendered, self.sheets)
        touched = self.to_render | self.gone
        self.askers = self._turned(self.old.askers, touched, _lookups)
        self.users = self._turned(self.old.users, touched, _uses)

    def _turned(
        self,
        old: Index,
        touched: Iterable[str],
        targets: Callable[[Texts, str], AbstractSet[str]],
    ) -> Index:
        """Return the index *old* after *touched* notes have other *targets*."""
        changed: dict[str, set[str]] = {}
        for path in touched:
            before = targets(self.old.texts, path)
            for target in before ^ targets(self.texts, path):
                if target not in changed:
                    changed[target] = set(old.get(target, ()))
                changed[target] ^= {path}
        empty = {target for target, sources in changed.items() if not sources}
        return replaced(
            old,
            empty,
            {
                target: tuple(sorted(sources))
                for target, sources in changed.items()
                if sources
            },
        )

    def connect(self) -> None:
        """Bring sheets, titles, backlinks, folders and tags up to date."""
        self._collect_sheets()
        self._collect_entries()
        self._collect_backlinks()
        self._collect_lists()

    def _collect_sheets(self) -> None:
        """Find the sheets that notes lead to, also by way of other sheets."""
        touched = self.to_render | self.gone
        if not any(
            is_sheet(path) or sheets_of(texts, path)
            for path in touched
            for texts in (self.old.texts, self.texts)
        ):
            self.shown_sheets = self.old.shown_sheets
            return
        found: set[str] = set()
        waiting = [
            sheet
            for sheet in self.sheets
            if any(
                user in self.rendered and sheet in self.rendered[user].attachments
                for user in self.users.get(sheet, ())
            )
        ]
        while waiting:
            sheet = waiting.pop()
            if sheet not in found:
                found.add(sheet)
                waiting.extend(sheets_of(self.texts, sheet))
        self.shown_sheets = frozenset(found)

    def _collect_entries(self) -> None:
        suspects = set(filterfalse(is_sheet, self.to_render)) | self.moved
        entries = {
            path: Entry(self.rendered[path].title, self.addresses.notes[path])
            for path in suspects
        }
        self.entries = replaced(self.old.entries, self.removed, entries)
        self.relisted = {
            path
            for path in suspects | self.removed
            if self.old.entries.get(path) != self.entries.get(path)
        }

    def _collect_backlinks(self) -> None:
        touched = self.to_render | self.moved | self.removed
        self.relinked: set[str] = set()
        for path in touched:
            before = _links(self.old.texts, path)
            after = _links(self.texts, path)
            self.relinked |= before ^ after
            if path in self.relisted:
                self.relinked |= after
            old, new = (_contexts(_, path) for _ in (self.old.texts, self.texts))
            self.relinked |= {
                target for target in after if old.get(target) != new.get(target)
            }
        self.backlinks = self._turned(self.old.backlinks, touched, _links)

    def _collect_lists(self) -> None:
        old = self.old
        self.folders = self._counted
        if self.relisted:
            self.folders = relist(
                self._counted, self.relisted, old.entries, self.entries
            )
        self.tags = retag(
            old.tags,
            set(filterfalse(is_sheet, self.to_render)) | self.relisted,
            old.rendered.get,
            self.rendered.get,
            self.relisted,
            old.entries,
            self.entries,
        )
        self._find_neighbours()

    def _find_neighbours(self) -> None:
        """Find the neighbours of the notes that are others, or are called otherwise."""
        before, after = self.old.addresses.owners, self.addresses.owners
        touched: dict[str, set[str]] = {}
        for path in self.relisted:
            touched.setdefault(folder_of(path), set()).add(path)
        for folder in differing(before, after):
            for owner in (before.get(folder), after.get(folder)):
                if owner is not None and folder_of(owner) == folder:
                    touched.setdefault(folder, set()).add(owner)
        new: dict[str, Neighbours] = {}
        for folder, paths in touched.items():
            near = paths.union(
                *(filter(None, self.old.neighbours.get(path, ())) for path in paths)
            )
            new |= find_neighbours(
                self.folders.notes.get(folder, ()),
                after.get(folder),
                self.entries,
                near & self.entries.keys(),
            )
        self.reordered = {
            path
            for path, around in new.items()
            if self.old.neighbours.get(path) != around
            or not self.relisted.isdisjoint(around)
        }
        self.neighbours = replaced(
            self.old.neighbours,
            self.removed,
            {path: new[path] for path in self.reordered},
        )


class _Wishes(Mapping[str, Wish]):
    """What all notes wish, by path; looked up where it is asked for."""

    def __init__(self, facts: Mapping[str, Facts]) -> None:
        self._facts = facts

    def __getitem__(self, path: str) -> Wish:
        return self._facts[path].wish

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


def _read_facts(note: NoteSource) -> Facts:
    language = named(note.properties, "lang") or named(note.properties, "language")
    return Facts(
        wish=read_wish(note),
        dates=read_dates(note),
        language=language if is_language(language) else "",
        changed_at=changed_at(note),
        published_at=published_at(note),
        content_hash=note.content_hash,
        properties=pickle.dumps(note.properties) if note.properties else b"",
        modified_at=note.modified_at,
    )


def _size(note: NoteSource) -> int:
    return len(note.body)


def _links(texts: Texts, path: str) -> set[str]:
    note = texts.notes.get(path)
    return set() if note is None else set(note.links) - {path}


def _contexts(texts: Texts, path: str) -> dict[str, str]:
    note = texts.notes.get(path)
    return {} if note is None else dict(zip(note.links, note.contexts, strict=True))


def _lookups(texts: Texts, path: str) -> AbstractSet[str]:
    note = texts.of(path)
    return frozenset() if note is None else note.lookups


def _uses(texts: Texts, path: str) -> AbstractSet[str]:
    note = texts.of(path)
    return frozenset() if note is None else note.addresses | note.contents


def sheets_of(texts: Texts, path: str) -> set[str]:
    """Return the sheets that the note or sheet at *path* shows or links to."""
    note = texts.of(path)
    return set() if note is None else set(filter(is_sheet, note.attachments))
