"""
Listings: which notes each folder holds, and which carry each tag.

The notes of both are in the order of their pages: see `entry_order`. A change takes out
and puts in what it touches: to sort thousands for one new note takes longer than all
the rest of its work.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from notes.addresses import folder_of, folders_above
from notes.assigning import Addresses
from notes.layers import replaced
from notes.pages import Entry, Listing
from notes.rendering import RenderedNote

# Where more than one in so many is touched, all of them are sorted.
_FEW = 8


@dataclass(frozen=True)
class Folders:
    """
    What is in each folder that holds a published note, itself or further down.

    Attributes:
        notes: the paths directly in each folder that has some, in the order of its page.
        folders: the folders directly in each folder that has some, sorted.
        counts: how many notes there are in each folder and below.
    """

    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def recount(old: Folders, gone: Iterable[str], come: Iterable[str]) -> Folders:
    """
    Return *old* after notes are *gone* and others have *come*; see `relist`, too.

    The vault itself is always a folder.
    """
    counts: dict[str, int] = {"": old.counts.get("", 0)}
    for paths, change in ((gone, -1), (come, 1)):
        for path in paths:
            for folder in folders_above(path):
                known = counts.get(folder)
                counts[folder] = (
                    old.counts.get(folder, 0) if known is None else known
                ) + change
    lost = {folder for folder, count in counts.items() if folder and not count}
    inside: dict[str, set[str]] = {}
    for folder in counts:
        if folder and (folder in old.counts) == (folder in lost):
            above = folder_of(folder)
            if above not in inside:
                inside[above] = set(old.folders.get(above, ()))
            inside[above] ^= {folder}
    empty = {above for above, folders in inside.items() if not folders}
    return Folders(
        notes=old.notes,
        folders=replaced(
            old.folders,
            empty,
            {
                above: tuple(sorted(folders))
                for above, folders in inside.items()
                if folders
            },
        ),
        counts=replaced(
            old.counts,
            lost,
            {folder: count for folder, count in counts.items() if folder not in lost},
        ),
    )


def relist(
    folders: Folders,
    relisted: Iterable[str],
    before: Mapping[str, Entry],
    after: Mapping[str, Entry],
) -> Folders:
    """
    Return *folders* with their notes where they belong now.

    Args:
        relisted: the notes whose entry is another than it was, or their first or last.
        before, after: all entries then and now.
    """
    touched: dict[str, set[str]] = {}
    for path in relisted:
        touched.setdefault(folder_of(path), set()).add(path)
    new = {
        folder: resorted(folders.notes.get(folder, ()), paths, before, after)
        for folder, paths in touched.items()
    }
    empty = {folder for folder, paths in new.items() if not paths}
    return replace(
        folders,
        notes=replaced(
            folders.notes,
            empty,
            {folder: paths for folder, paths in new.items() if paths},
        ),
    )


def resorted(
    old: tuple[str, ...],
    touched: AbstractSet[str],
    before: Mapping[str, Entry],
    after: Mapping[str, Entry],
    stays: Callable[[str], bool] = lambda path: True,
) -> tuple[str, ...]:
    """
    Return *old*, paths in the order of their entries, after some are *touched*.

    Args:
        touched: those that are to be put elsewhere, in, or out: in are all that have an
            entry *after* and that *stays* says so of.
        before: the entries that *old* is in the order of.
    """
    if len(touched) * _FEW > len(old):
        rest = (path for path in old if path not in touched)
        new = [path for path in touched if path in after and stays(path)]
        return tuple(sorted([*rest, *new], key=lambda path: entry_order(after[path])))
    paths = list(old)
    for path in touched:
        if path in before:
            place = _place(paths, path, before)
            if place < len(paths) and paths[place] == path:
                del paths[place]
    for path in touched:
        if path in after and stays(path):
            paths.insert(_place(paths, path, after), path)
    return tuple(paths)


def _place(paths: Sequence[str], path: str, entries: Mapping[str, Entry]) -> int:
    """Return where *path* is, or belongs, among *paths*."""
    return bisect_left(
        paths, entry_order(entries[path]), key=lambda other: entry_order(entries[other])
    )


def folder_name(folder: str) -> str:
    """Return what readers see of *folder*."""
    return folder.rpartition("/")[2]


def place_of(path: str) -> str:
    """Return what readers see of where *path* is; '' at the top of the vault."""
    return folder_of(path).replace("/", " / ")


def list_folder(
    folder: str,
    folders: Folders,
    addresses: Addresses,
    entries: Mapping[str, Entry],
) -> Listing:
    """Return what the page of *folder* lists; the note that speaks for it is not in."""
    owner = addresses.owners.get(folder)
    return Listing(
        folders=tuple(
            Entry(folder_name(inner), addresses.folders[inner], folders.counts[inner])
            for inner in folders.folders.get(folder, ())
        ),
        notes=tuple(
            entries[path] for path in folders.notes.get(folder, ()) if path != owner
        ),
    )


def sorted_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return *entries* by title, see `entry_order`."""
    return tuple(sorted(entries, key=entry_order))


_DIGITS = re.compile(r"\d+")
_MAX_DIGITS = 12


def entry_order(entry: Entry) -> tuple[str, str, str]:
    """Return what entries are sorted by: the title; '2' is before '10', 'a' as 'A'."""
    name = entry.title.casefold()
    if _DIGITS.search(name):
        name = _DIGITS.sub(lambda match: match[0].zfill(_MAX_DIGITS), name)
    return name, entry.title, entry.address


Neighbours: TypeAlias = tuple[str | None, str | None]
"""Paths of the notes before and after one in its folder."""


def find_neighbours(
    ordered: Sequence[str],
    owner: str | None,
    entries: Mapping[str, Entry],
    some: Collection[str],
) -> dict[str, Neighbours]:
    """
    Return the neighbours of notes in a folder, at least of *some* and of those beside.

    Args:
        ordered: all notes of the folder.
        owner: the note that speaks for it, which has none, and is none.
    """
    places: Iterable[int]

    def beside(place: int, step: int) -> int:
        place += step
        if 0 <= place < len(ordered) and ordered[place] == owner:
            place += step
        return place

    def path_at(place: int) -> str | None:
        return ordered[place] if 0 <= place < len(ordered) else None

    if len(some) * _FEW > len(ordered):
        places = range(len(ordered))
    else:
        near = [_place(ordered, path, entries) for path in some]
        places = {*near} | {beside(place, step) for place in near for step in (-1, 1)}
    return {
        path: (None, None)
        if path == owner
        else (path_at(beside(place, -1)), path_at(beside(place, 1)))
        for place in places
        if (path := path_at(place)) is not None
    }


@dataclass(frozen=True, slots=True)
class Tag:
    """
    A tag, which is the same in upper and lower case.

    Attributes:
        name: as it is shown: the first of its spellings.
        paths: of the notes that carry it or one below it, in the order of its page.
    """

    name: str
    paths: tuple[str, ...]


def tag_key(tag: str) -> str:
    """Return what all spellings of *tag* share."""
    return tag.casefold()


def spellings(note: RenderedNote | None) -> dict[str, str]:
    """Return the tags of *note* by key, each in the first of its spellings there."""
    found: dict[str, str] = {}
    for tag in () if note is None else note.tags:
        while tag:
            key = tag_key(tag)
            found[key] = min(found.get(key, tag), tag)
            # A tag 'a/b' counts as 'a' too.
            tag = tag.rpartition("/")[0]
    return found


def retag(
    old: Mapping[str, Tag],
    touched: Iterable[str],
    before: Callable[[str], RenderedNote | None],
    after: Callable[[str], RenderedNote | None],
    relisted: AbstractSet[str],
    entries_before: Mapping[str, Entry],
    entries: Mapping[str, Entry],
) -> Mapping[str, Tag]:
    """
    Return all tags by key after notes are *touched*.

    Args:
        before, after: tell what a note was rendered to then and now.
        relisted, entries_before, entries: as of `relist`.
    """
    changes: dict[str, dict[str, tuple[str | None, str | None]]] = {}
    for path in touched:
        was, now = spellings(before(path)), spellings(after(path))
        for key in was.keys() | now.keys():
            spelling = was.get(key), now.get(key)
            if path in relisted or spelling[0] != spelling[1]:
                changes.setdefault(key, {})[path] = spelling
    new: dict[str, Tag] = {}
    for key, spelling_of in changes.items():
        tag = old.get(key)
        carriers = {path for path, (_, now) in spelling_of.items() if now is not None}
        paths = resorted(
            () if tag is None else tag.paths,
            spelling_of.keys(),
            entries_before,
            entries,
            carriers.__contains__,
        )
        names = {now for _, now in spelling_of.values() if now is not None}
        if tag is not None and paths:

            def spelling_now(path: str, key: str = key) -> str:
                return spellings(after(path))[key]

            was_lost = any(
                was == tag.name and now != tag.name for was, now in spelling_of.values()
            )
            if not was_lost or tag.name in map(spelling_now, paths):
                names.add(tag.name)
            else:
                names.update(map(spelling_now, paths))
        if paths:
            new[key] = Tag(min(names), paths)
    return replaced(old, changes.keys() - new.keys(), new)
