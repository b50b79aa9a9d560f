"""Listings: which notes each folder holds, and which carry each tag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from notes.addresses import Addresses, folder_of, folders_above
from notes.pages import Entry, Listing
from notes.rendering import RenderedNote


@dataclass(frozen=True)
class Folders:
    """
    What is in each folder that holds a published note, itself or further down.

    Attributes:
        notes: the paths directly in each folder, sorted.
        folders: the folders directly in each folder, sorted.
        counts: how many notes there are in each folder and below.
    """

    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def sort_into_folders(paths: Iterable[str]) -> Folders:
    """Return the folders of *paths*; the vault itself is always one."""
    notes: dict[str, list[str]] = {"": []}
    for path in sorted(paths):
        notes.setdefault(folder_of(path), []).append(path)
    counts = dict.fromkeys(notes, 0)
    for folder, here in notes.items():
        for above in (folder, *folders_above(folder)):
            counts[above] = counts.get(above, 0) + len(here)
    inside: dict[str, list[str]] = {folder: [] for folder in counts}
    for folder in sorted(counts):
        if folder:
            inside[folder_of(folder)].append(folder)
    return Folders(
        notes={folder: tuple(notes.get(folder, ())) for folder in counts},
        folders={folder: tuple(within) for folder, within in inside.items()},
        counts=counts,
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
            for inner in folders.folders[folder]
        ),
        notes=sorted_entries(
            entries[path] for path in folders.notes[folder] if path != owner
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
    folder: str,
    folders: Folders,
    addresses: Addresses,
    entries: Mapping[str, Entry],
) -> dict[str, Neighbours]:
    """Return the neighbours of each note in *folder*, in the order of its page."""
    owner = addresses.owners.get(folder)
    paths = sorted(
        (path for path in folders.notes.get(folder, ()) if path != owner),
        key=lambda path: entry_order(entries[path]),
    )
    found: dict[str, Neighbours] = dict(
        zip(paths, zip((None, *paths), (*paths[1:], None), strict=False), strict=False)
    )
    if owner is not None and folder_of(owner) == folder:
        found[owner] = (None, None)
    return found


@dataclass(frozen=True, slots=True)
class Tag:
    """
    A tag, which is the same in upper and lower case.

    Attributes:
        name: as it is shown: the first of its spellings.
        paths: of the notes that carry it or one below it, sorted.
    """

    name: str
    paths: tuple[str, ...]


def tag_key(tag: str) -> str:
    """Return what all spellings of *tag* share."""
    return tag.casefold()


def collect_tags(notes: Iterable[RenderedNote]) -> dict[str, Tag]:
    """Return all tags by key; a tag 'a/b' counts as 'a' too."""
    names: dict[str, str] = {}
    paths: dict[str, set[str]] = {}
    for note in notes:
        for tag in note.tags:
            while tag:
                key = tag_key(tag)
                names[key] = min(names.get(key, tag), tag)
                paths.setdefault(key, set()).add(note.path)
                tag = tag.rpartition("/")[0]
    return {key: Tag(names[key], tuple(sorted(paths[key]))) for key in sorted(names)}
