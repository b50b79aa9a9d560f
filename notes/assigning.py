"""
Assigning: which address each note, folder and attachment has.

The rules, in the order in which addresses are given away:

* An attachment has the address of its path: 'img/a b.png' is '/img/a b.png'.
* `permalink` is the whole address; `slug` takes the place of the file name, or is
  the whole address when it begins with a slash. Both are taken as written.
* Any other note has the address of its path without '.md', with spaces as dashes:
  'My Notes/First note.md' is '/My-Notes/First-note'. Case and scripts are kept.
* 'index.md', else 'README.md', has the address of its folder. A folder's address
  ends in a slash and no other does.

What would be under '/api/notes/' or '/-/' is under '/api/notes-2/' or '/--2/': those
places are the site's own.

Where two notes want one address, the first by path has it, and the other falls
back to its path, then to its path with '-2', '-3' and so on.

Addresses that differ from a right one in case only, or in '%20', '+' or '_' for a
dash, in '.html' or a slash at the end, redirect to it; so do a note's `aliases`, its
path when `permalink` or `slug` moved it, and the addresses that it had before; see
`notes.renames`.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from notes.addresses import API, ASIDES, RESERVED, folder_of, folders_above, segments
from notes.frontmatter import named
from notes.layers import replaced
from notes.sources import NoteSource

_OWN = (API, ASIDES)

_INDEX_NAMES = ("index.md", "readme.md")


@dataclass(frozen=True)
class Wish:
    """
    What the frontmatter of a note says of its address.

    Attributes:
        address: what `permalink` or `slug` asks for; None without them.
        aliases: other names, as written.
    """

    address: str | None = None
    aliases: tuple[str, ...] = ()


def read_wish(note: NoteSource) -> Wish:
    """Return what *note* says of its address."""
    if not note.properties:
        return _NO_WISH
    properties = note.properties
    address = _as_address(named(properties, "permalink"))
    if address is None and (slug := _as_text(named(properties, "slug"))):
        if not slug.startswith("/"):
            slug = f"{_dashed(folder_of(note.path))}/{slug}"
        address = _as_address(slug)
    aliases = tuple(_as_names(named(properties, "aliases", "alias")))
    if address is None and not aliases:
        return _NO_WISH
    return Wish(address, aliases)


_NO_WISH = Wish()


def first_choice(path: str, wish: Wish) -> str:
    """Return the address that the note at *path* asks for before all others."""
    folder, _, name = path.rpartition("/")
    if wish.address is None and name.casefold() in _INDEX_NAMES:
        return _beside_own(f"/{_dashed(folder)}/") if folder else "/"
    return next(_choices(path, wish, {}, ()))


class Conflict(NamedTuple):
    """A note that did not get the address that it wanted first."""

    path: str
    wanted: str
    given: str

    def __str__(self) -> str:
        return f"path={self.path!r} wanted={self.wanted!r} given={self.given!r}"


@dataclass(frozen=True)
class Addresses:
    """
    The address of each note and folder, no address twice.

    Attributes:
        notes: by path.
        places: the paths of the notes, by address.
        folders: by folder; the vault itself is ''.
        owners: the note that has the address of a folder, by folder.
        redirects: by `redirect_key`, the address that is meant.
        contested: the keys of `redirects` that more than one address has a claim to.
        conflicts: those who did not get what they wanted.
    """

    notes: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    redirects: Mapping[str, str] = field(default_factory=dict)
    contested: frozenset[str] = frozenset()
    conflicts: tuple[Conflict, ...] = ()

    def note_at(self, address: str) -> str | None:
        """Return the path of the note at *address*, or None."""
        return self.places.get(address)

    def folder_at(self, address: str) -> str | None:
        """Return the folder that has *address*, or None."""
        return self._folders_at.get(address)

    # Made where it is asked for: in the workers, and only for what needs it.
    @functools.cached_property
    def _folders_at(self) -> dict[str, str]:
        return {address: folder for folder, address in self.folders.items()}

    def redirect(self, address: str) -> str | None:
        """Return the address that a reader who came to *address* meant, if any."""
        return self.redirects.get(redirect_key(address))


def assign_addresses(
    wishes: Mapping[str, Wish], attachment_paths: Iterable[str]
) -> Addresses:
    """
    Give each note an address.

    Args:
        wishes: by the path of each published note.
        attachment_paths: of all attachments, used or not.
    """
    wishes = dict(wishes)
    paths = sorted(wishes)
    taken = {f"/{path}" for path in attachment_paths} | RESERVED
    folders = _folder_addresses(paths)
    indexes = _indexes(paths)
    notes: dict[str, str] = {}
    conflicts: list[Conflict] = []
    # Who wrote an address down has it before who merely has a path.
    for path in sorted(paths, key=lambda path: (wishes[path].address is None, path)):
        choices = _choices(path, wishes[path], folders, indexes)
        wanted = first = next(choices)
        while wanted in taken:
            wanted = next(choices)
        if wanted != first:
            conflicts.append(Conflict(path, first, wanted))
        notes[path] = wanted
        taken.add(wanted)
    places = {address: path for path, address in notes.items()}
    redirects, contested = _redirects(wishes, notes, folders)
    return Addresses(
        notes=notes,
        places=places,
        folders=folders,
        owners={
            folder: places[address]
            for folder, address in folders.items()
            if address in places
        },
        redirects=redirects,
        contested=frozenset(contested),
        conflicts=tuple(conflicts),
    )


@dataclass(frozen=True, slots=True)
class Turnover:
    """
    What a change does to those who have addresses.

    Attributes:
        gone: notes that are gone, and those with another wish: what they wished.
        new: notes that are new, and those with another wish: what they wish.
        folders_gone, folders_come: folders that hold no note any more, or their first.
        files_gone, files_come: attachments.
    """

    gone: Mapping[str, Wish]
    new: Mapping[str, Wish]
    folders_gone: AbstractSet[str]
    folders_come: AbstractSet[str]
    files_gone: AbstractSet[str]
    files_come: AbstractSet[str]


def change_addresses(
    old: Addresses,
    turnover: Turnover,
    wishes: Mapping[str, Wish],
    attachment_paths: Collection[str],
) -> Addresses:
    """
    Return what `assign_addresses` gives; for little work, if nobody is in another's way.

    Args:
        old: as either gave them, before *turnover*.
        wishes, attachment_paths: of all that there are now.
    """
    found = None
    if old.folders:
        found = _Assigning(old, turnover, wishes, attachment_paths).addresses()
    return found or assign_addresses(wishes, attachment_paths)


class _Assigning:
    """A change of addresses that concerns only those who come, go or wish otherwise."""

    def __init__(
        self,
        old: Addresses,
        turnover: Turnover,
        wishes: Mapping[str, Wish],
        attachment_paths: Collection[str],
    ) -> None:
        self._old = old
        self._turnover = turnover
        self._wishes = wishes
        self._attachment_paths = attachment_paths

    def addresses(self) -> Addresses | None:
        """Return the addresses; None where one may take or leave what others want."""
        old, turnover = self._old, self._turnover
        if any(map(_is_index, (*turnover.gone, *turnover.new))):
            return None
        notes = self._notes()
        folders = self._folders()
        if notes is None or folders is None:
            return None
        gone = {old.notes[path] for path in turnover.gone}
        redirects = self._redirects(notes, folders)
        if redirects is None or self._is_awaited(gone):
            return None
        return Addresses(
            notes=replaced(old.notes, turnover.gone, notes),
            places=replaced(
                old.places, gone, {address: path for path, address in notes.items()}
            ),
            folders=replaced(old.folders, turnover.folders_gone, folders),
            owners=old.owners,
            redirects=replaced(old.redirects, *redirects),
            contested=old.contested,
            conflicts=old.conflicts,
        )

    def _notes(self) -> dict[str, str] | None:
        """Return the addresses of the new notes, if nobody else has those."""
        old, turnover = self._old, self._turnover
        for path, wish in turnover.gone.items():
            address = old.notes[path]
            # '/' may be a folder's; who was refused one may have been in others' way.
            if address == "/" or address != next(_choices(path, wish, {}, ())):
                return None
        notes: dict[str, str] = {}
        taken: set[str] = {"/", *RESERVED}
        for path, wish in turnover.new.items():
            address = next(_choices(path, wish, {}, ()))
            if (
                address in taken
                or address[1:] in self._attachment_paths
                or old.places.get(address, path) not in turnover.gone.keys() | {path}
            ):
                return None
            notes[path] = address
            taken.add(address)
        for path in turnover.files_come:
            if old.places.get(f"/{path}", "") in self._wishes:
                return None
        return notes

    def _folders(self) -> dict[str, str] | None:
        """Return the addresses of the new folders, if none was refused what it wants."""
        old, turnover = self._old, self._turnover
        if (turnover.folders_come or turnover.folders_gone) and any(
            address != _folder_address(folder)
            for folder, address in old.folders.items()
        ):
            return None
        # Whether another has one of these is seen by the redirects.
        return {folder: _folder_address(folder) for folder in turnover.folders_come}

    def _redirects(
        self, notes: Mapping[str, str], folders: Mapping[str, str]
    ) -> tuple[set[str], dict[str, str]] | None:
        """Return the keys that are gone, and the new ones, if nobody else claims any."""
        old, turnover = self._old, self._turnover
        gone = {
            key
            for path, wish in turnover.gone.items()
            for key in _keys(path, old.notes[path], wish)
        } | {redirect_key(old.folders[folder]) for folder in turnover.folders_gone}
        claims = [
            (key, address)
            for path, address in notes.items()
            for key in _keys(path, address, turnover.new[path])
        ] + [(redirect_key(address), address) for address in folders.values()]
        new: dict[str, str] = {}
        for key, address in claims:
            if new.setdefault(key, address) != address or (
                key not in gone and key in old.redirects
            ):
                return None
        return None if not old.contested.isdisjoint(gone) else (gone, new)

    def _is_awaited(self, gone: AbstractSet[str]) -> bool:
        """Return whether a note was refused what is free now."""
        free = gone | {f"/{path}" for path in self._turnover.files_gone}
        for path, wanted, given in self._old.conflicts:
            choices = _choices(path, self._wishes[path], self._old.folders, {path})
            refused = itertools.takewhile(given.__ne__, choices)
            if wanted in free or not free.isdisjoint(refused):
                return True
        return False


def foresee_address(
    path: str,
    wish: Wish,
    addresses: Addresses,
    wishes: Callable[[str], Wish],
    attachment_paths: Collection[str],
) -> str:
    """
    Return the address that the note at *path* has as soon as it is one of the notes.

    Args:
        addresses: as `assign_addresses` gave them, perhaps to this note with
            another wish.
        wishes: tells the wish of each of the notes that have an address.
    """
    if _is_index(path) or path in addresses.notes:
        every = {other: wishes(other) for other in addresses.notes} | {path: wish}
        return assign_addresses(every, attachment_paths).notes[path]
    # A new note leaves those before it in the order what they have, and those
    # after it take nothing away. To give all of 10,000 anew takes 60 times as long.
    place = (wish.address is None, path)

    def is_taken(address: str) -> bool:
        return (
            address in RESERVED
            or address[1:] in attachment_paths
            or (
                (other := addresses.places.get(address)) is not None
                and (wishes(other).address is None, other) < place
            )
        )

    return next(itertools.filterfalse(is_taken, _choices(path, wish, {}, ())))


def redirect_key(address: str) -> str:
    """Return what all spellings of *address* that mean the same page share."""
    if not address.isascii():
        address = unicodedata.normalize("NFC", address)
    key = address.strip("/").casefold().removesuffix(".html")
    # For every note, twice, whenever one comes: a regular expression takes longer.
    return key.replace(" ", "-").replace("+", "-").replace("_", "-")


def _folder_addresses(paths: Iterable[str]) -> dict[str, str]:
    found = {""}
    for path in paths:
        for folder in folders_above(path):
            if folder in found:
                break
            found.add(folder)
    addresses: dict[str, str] = {}
    given: set[str] = set()
    for folder in sorted(found):
        wanted = base = _folder_address(folder)
        number = 1
        while wanted in given:
            number += 1
            wanted = f"{base[:-1]}-{number}/"
        addresses[folder] = wanted
        given.add(wanted)
    return addresses


def _folder_address(folder: str) -> str:
    """Return the address that *folder* has, unless another has it."""
    return _beside_own(f"/{_dashed(folder)}/") if folder else "/"


def _is_index(path: str) -> bool:
    """Return whether the note at *path* may speak for its folder, by its name."""
    return path.rpartition("/")[2].casefold() in _INDEX_NAMES


def _indexes(paths: Iterable[str]) -> set[str]:
    """Return the note of each folder that speaks for it, by its name."""
    best: dict[str, tuple[int, str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name.casefold() in _INDEX_NAMES:
            rank = (_INDEX_NAMES.index(name.casefold()), path)
            best[folder] = min(rank, best.get(folder, rank))
    return {path for _, path in best.values()}


def _choices(
    path: str, wish: Wish, folders: Mapping[str, str], indexes: Collection[str]
) -> Iterator[str]:
    """Yield the addresses that a note takes, best first, without end."""
    if wish.address is not None:
        yield wish.address
    if path in indexes:
        yield folders[folder_of(path)]
    base = _beside_own("/" + _dashed(path.removesuffix(".md")))
    yield base
    number = 1
    while True:
        number += 1
        yield f"{base}-{number}"


def _redirects(
    wishes: Mapping[str, Wish], notes: Mapping[str, str], folders: Mapping[str, str]
) -> tuple[dict[str, str], set[str]]:
    """Return the address that is meant by each key, and the keys with several claims."""
    redirects: dict[str, str] = {}
    contested: set[str] = set()

    def claim(key: str, address: str) -> None:
        if redirects.setdefault(key, address) != address:
            contested.add(key)

    paths = sorted(notes)
    for path in paths:
        claim(redirect_key(notes[path]), notes[path])
    for folder in sorted(folders):
        claim(redirect_key(folders[folder]), folders[folder])
    for path in paths:
        claim(redirect_key(path.removesuffix(".md")), notes[path])
    for path in paths:
        for key in _alias_keys(path, wishes[path]):
            claim(key, notes[path])
    return redirects, contested


def _keys(path: str, address: str, wish: Wish) -> set[str]:
    """Return all that a note has a claim to."""
    own = {redirect_key(address), redirect_key(path.removesuffix(".md"))}
    return own.union(_alias_keys(path, wish))


def _alias_keys(path: str, wish: Wish) -> Iterator[str]:
    for alias in wish.aliases:
        # A bare name is one in the note's folder, and one of the whole site.
        for name in (alias, f"{folder_of(path)}/{alias}"):
            if key := redirect_key("/".join(segments(name))):
                yield key


def _dashed(path: str) -> str:
    return path.replace(" ", "-")


def _beside_own(address: str) -> str:
    for place in _OWN:
        if address.startswith(place):
            return f"{place[:-1]}-2/{address.removeprefix(place)}"
    return address


def _as_text(value: Any) -> str | None:
    """Return a property that is a word or number as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = unicodedata.normalize("NFC", str(value)).strip()
    return "".join(character for character in text if character.isprintable()) or None


def _as_address(value: Any) -> str | None:
    text = _as_text(value)
    # 'https://…' is an address of some other site.
    if text is None or "://" in text:
        return None
    address = "/" + "/".join(segments(text))
    return _beside_own(address) if address != "/" or text == "/" else None


def _as_names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list | tuple):
        for item in value:
            if text := _as_text(item):
                yield text
