"""Links: which file of the vault a link's target means."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from unicodedata import normalize

from notes.layers import difference, replaced

NOTE_SUFFIX = ".md"
SHEET_SUFFIXES = (".canvas", ".base")


def is_note(path: str) -> bool:
    """Return whether *path* is a note's, and not an attachment's."""
    return path[-3:].lower() == NOTE_SUFFIX


def is_sheet(path: str) -> bool:
    """
    Return whether *path* is a sheet's: a canvas or a base.

    A sheet has the address of an attachment, and is served as one: only where a
    published note shows it or links to it. What is served is a page.
    """
    return path.lower().endswith(SHEET_SUFFIXES)


def is_board(path: str) -> bool:
    """Return whether *path* is that of a sheet which is a canvas."""
    return path.lower().endswith(SHEET_SUFFIXES[0])


def _fold(text: str) -> str:
    """Return *text* so that two spellings of one name are equal."""
    if text.isascii():
        return text.lower()
    return normalize("NFC", normalize("NFC", text).lower())


def lookup_key(target: str) -> str:
    """
    Return the name under which *target* is looked up: the last part, folded.

    Works on links' targets and on paths alike. Whether a target resolves, and to
    what, depends on the paths with its key, and on nothing else.
    """
    name = _fold(target.rstrip("/").rpartition("/")[2]).strip()
    return name.removesuffix(NOTE_SUFFIX)


class Resolver:
    """
    The paths of a vault, by name; never changed once made.

    A target is looked for as Obsidian does: the exact path first, then the
    shortest path that ends with it, ties in alphabetical order; upper and lower
    case are equal, and so are NFC and NFD.
    """

    def __init__(self, notes: Iterable[str], attachments: Iterable[str]) -> None:
        paths = {*notes, *attachments}
        self._paths: Mapping[str, None] = dict.fromkeys(paths)
        folded, named = _sorted_by_name(paths)
        self._folded: Mapping[str, str] = folded
        """Folded path to the best of the paths that fold to it."""
        self._named: Mapping[str, list[tuple[str, str]]] = named
        """Key to pairs of ('/' and folded path, path), the best first."""

    def difference(self, new: Resolver) -> tuple[list[str], list[str]]:
        """Return the paths that *new* lacks, and those that only it has."""
        gone, added = difference(self._paths, new._paths)
        return gone, list(added)

    def changed(self, gone: Iterable[str], new: Iterable[str]) -> Resolver:
        """Return the resolver of these paths without *gone* and with *new*."""
        new = set(new)
        gone = {path for path in gone if path in self._paths and path not in new}
        new = {path for path in new if path not in self._paths}
        if not self._paths:
            return Resolver(new, ())
        keys = {lookup_key(path) for path in gone | new}
        before = {path for key in keys for _, path in self._named.get(key, ())}
        folded, named = _sorted_by_name((before - gone) | new)
        result = Resolver((), ())
        result._paths = replaced(self._paths, gone, dict.fromkeys(new))
        result._folded = replaced(self._folded, map(_fold, before), folded)
        result._named = replaced(self._named, keys, named)
        return result

    def candidates(self, target: str, source_path: str) -> tuple[str, ...]:
        """
        Return all paths that *target* may mean there; `resolve` takes the first.

        More than one when no path is exactly it, and several end with it.
        """
        first = self.resolve(target, source_path)
        if first is None:
            return ()
        name = normalize("NFC", target).strip().strip("/")
        for spelling in _spellings(posixpath.normpath(name)):
            ending = "/" + _fold(spelling)
            if _fold(first) != ending[1:] and ("/" + _fold(first)).endswith(ending):
                if target.startswith(("./", "../", "/")):
                    break
                return tuple(
                    path
                    for folded, path in self._named[lookup_key(target)]
                    if folded.endswith(ending)
                )
        return (first,)

    def resolve(self, target: str, source_path: str) -> str | None:
        """
        Return the path that *target* means in the note at *source_path*, or None.

        *target* is a path without fragment, decoded; '.md' may be missing. One that
        begins with './' or '../' is looked for from the folder of *source_path*,
        one that begins with '/' from the vault's root, and nowhere else.
        """
        pairs = self._named.get(lookup_key(target))
        if pairs is None:
            return None
        target = normalize("NFC", target).strip().rstrip("/")
        is_anchored = target.startswith(("./", "../", "/"))
        if is_anchored and target[0] == ".":
            target = posixpath.join(posixpath.dirname(source_path), target)
        # A path that climbs out of the vault keeps its '..', and is not found.
        target = posixpath.normpath(target.lstrip("/"))
        for spelling in _spellings(target):
            if spelling in self._paths:
                return spelling
            folded = _fold(spelling)
            if (path := self._folded.get(folded)) is not None:
                return path
            if not is_anchored:
                ending = "/" + folded
                for candidate, path in pairs:
                    if candidate.endswith(ending):
                        return path
        return None


def _sorted_by_name(
    paths: Iterable[str],
) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]]]:
    """Return the best of *paths* by what they fold to, and all by their keys."""
    folded: dict[str, str] = {}
    named: dict[str, list[tuple[str, str]]] = {}
    # Shorter before longer, ties in alphabetical order: who comes first wins.
    for path in sorted(paths, key=lambda path: (len(path), path)):
        fold = _fold(path)
        folded.setdefault(fold, path)
        named.setdefault(lookup_key(path), []).append(("/" + fold, path))
    return folded, named


def _spellings(target: str) -> tuple[str, ...]:
    """Return what a file that *target* means may be called, the likeliest first."""
    if target[-3:].lower() == NOTE_SUFFIX:
        return (target,)
    if "." in target.rpartition("/")[2]:
        return (target, target + NOTE_SUFFIX)
    return (target + NOTE_SUFFIX, target)
