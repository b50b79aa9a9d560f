"""
Addresses: which URL path each note, folder, attachment and tag has.

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

Addresses are text as a reader would read it; `quote` makes the URL path of one.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from notes.sources import NoteSource

FEED = "/feed.xml"
SITEMAP = "/sitemap.xml"
SITEMAP_PART = "/sitemap-notes.xml"
ROBOTS = "/robots.txt"
TAGS = "/tags/"
API = "/api/notes/"
SEARCH = "/search"
ASIDES = "/-/"
"""What pages ask for besides themselves; see `notes.asides`."""
SEARCH_LIST = "/-/search"
TREE = "/-/tree"
"""Before the address of a folder, as LINKS is before that of a note, or alone."""
LINKS = "/-/links"
GRAPH = "/-/graph"
LOOK = "/-/look.css"
RESERVED = frozenset({FEED, SITEMAP, SITEMAP_PART, ROBOTS, SEARCH})
_OWN = (API, ASIDES)

_INDEX_NAMES = ("index.md", "readme.md")


@functools.lru_cache(maxsize=1 << 16)
def quote(address: str) -> str:
    """Return *address* percent-encoded, safe between quotes in HTML too."""
    return urllib.parse.quote(address, safe="/-._~!$()*+,;=:@")


def graph_address(address: str) -> str:
    """Return where the graph of the note at *address* is, as a URL."""
    return f"{GRAPH}?of={quote(address).replace('&', '%26').replace('+', '%2B')}"


def wsgi_path(address: str) -> str:
    """Return *address* as WSGI's PATH_INFO has it: UTF-8 bytes read as Latin-1."""
    return address.encode().decode("latin-1")


def folder_of(path: str) -> str:
    """Return the folder that holds *path*; '' is the vault itself."""
    return path.rpartition("/")[0]


def folders_above(path: str) -> Iterator[str]:
    """Yield the folder that holds *path*, then the one that holds that, down to ''."""
    while path:
        path = folder_of(path)
        yield path


def tag_address(tag: str) -> str:
    """Return the address of the page of *tag*, whose case does not matter."""
    return TAGS + "/".join(_segments(tag.casefold().replace(" ", "-")))


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
    address = _as_address(properties.get("permalink"))
    if address is None and (slug := _as_text(properties.get("slug"))):
        if not slug.startswith("/"):
            slug = f"{_dashed(folder_of(note.path))}/{slug}"
        address = _as_address(slug)
    aliases = tuple(_as_names(properties.get("aliases", properties.get("alias"))))
    if address is None and not aliases:
        return _NO_WISH
    return Wish(address, aliases)


_NO_WISH = Wish()


def first_choice(path: str, wish: Wish) -> str:
    """Return the address that the note at *path* asks for before all others."""
    folder, _, name = path.rpartition("/")
    if wish.address is None and name.casefold() in _INDEX_NAMES:
        return _beside_own(f"/{_dashed(folder)}/") if folder else "/"
    return next(_choices(path, wish, {}, set()))


@dataclass(frozen=True)
class Addresses:
    """
    The address of each note and folder, no address twice.

    Attributes:
        notes: by path.
        folders: by folder; the vault itself is ''.
        owners: the note that has the address of a folder, by folder.
        redirects: by `redirect_key`, the address that is meant.
        conflicts: one line for each note that did not get the address it wished.
    """

    notes: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    redirects: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()

    def note_at(self, address: str) -> str | None:
        """Return the path of the note at *address*, or None."""
        return self._notes_at.get(address)

    def folder_at(self, address: str) -> str | None:
        """Return the folder that has *address*, or None."""
        return self._folders_at.get(address)

    # Made where it is asked for: in the workers, and only for what needs it.
    @functools.cached_property
    def _notes_at(self) -> dict[str, str]:
        return {address: path for path, address in self.notes.items()}

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
    paths = sorted(wishes)
    taken = {f"/{path}" for path in attachment_paths} | RESERVED
    folders = _folder_addresses(paths, taken)
    indexes = _indexes(paths)
    notes: dict[str, str] = {}
    conflicts: list[str] = []
    # Who wrote an address down has it before who merely has a path.
    for path in sorted(paths, key=lambda path: (wishes[path].address is None, path)):
        choices = _choices(path, wishes[path], folders, indexes)
        wanted = first = next(choices)
        while wanted in taken:
            wanted = next(choices)
        if wanted != first:
            conflicts.append(f"path={path!r} wanted={first!r} given={wanted!r}")
        notes[path] = wanted
        taken.add(wanted)
    at = {address: path for path, address in notes.items()}
    return Addresses(
        notes=notes,
        folders=folders,
        owners={
            folder: at[address] for folder, address in folders.items() if address in at
        },
        redirects=_redirects(wishes, notes, folders),
        conflicts=tuple(conflicts),
    )


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
    is_index = path.rpartition("/")[2].casefold() in _INDEX_NAMES
    if is_index or path in addresses.notes:
        every = {other: wishes(other) for other in addresses.notes} | {path: wish}
        return assign_addresses(every, attachment_paths).notes[path]
    # A new note leaves those before it in the order what they have, and those
    # after it take nothing away. To give all of 10,000 anew takes 60 times as long.
    place = (wish.address is None, path)

    def is_taken(address: str) -> bool:
        return (
            address in RESERVED
            or address[1:] in attachment_paths
            or any(
                its == address and (wishes(other).address is None, other) < place
                for other, its in addresses.notes.items()
            )
        )

    return next(itertools.filterfalse(is_taken, _choices(path, wish, {}, set())))


def redirect_key(address: str) -> str:
    """Return what all spellings of *address* that mean the same page share."""
    if not address.isascii():
        address = unicodedata.normalize("NFC", address)
    key = address.strip("/").casefold().removesuffix(".html")
    # For every note, twice, whenever one comes: a regular expression takes longer.
    return key.replace(" ", "-").replace("+", "-").replace("_", "-")


def _folder_addresses(paths: Iterable[str], taken: set[str]) -> dict[str, str]:
    found = {""}
    for path in paths:
        for folder in folders_above(path):
            if folder in found:
                break
            found.add(folder)
    addresses: dict[str, str] = {}
    given: set[str] = set(taken)
    for folder in sorted(found):
        wanted = base = _beside_own(f"/{_dashed(folder)}/") if folder else "/"
        number = 1
        while wanted in given:
            number += 1
            wanted = f"{base[:-1]}-{number}/"
        addresses[folder] = wanted
        given.add(wanted)
    return addresses


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
    path: str, wish: Wish, folders: Mapping[str, str], indexes: set[str]
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
) -> dict[str, str]:
    redirects: dict[str, str] = {}
    paths = sorted(notes)
    for path in paths:
        redirects.setdefault(redirect_key(notes[path]), notes[path])
    for folder in sorted(folders):
        redirects.setdefault(redirect_key(folders[folder]), folders[folder])
    for path in paths:
        redirects.setdefault(redirect_key(path.removesuffix(".md")), notes[path])
    for path in paths:
        for alias in wishes[path].aliases:
            # A bare name is one in the note's folder, and one of the whole site.
            for name in (alias, f"{folder_of(path)}/{alias}"):
                if key := redirect_key("/".join(_segments(name))):
                    redirects.setdefault(key, notes[path])
    return redirects


def _dashed(path: str) -> str:
    return path.replace(" ", "-")


def _beside_own(address: str) -> str:
    for place in _OWN:
        if address.startswith(place):
            return f"{place[:-1]}-2/{address.removeprefix(place)}"
    return address


def _segments(text: str) -> list[str]:
    return [part for part in text.split("/") if part not in {"", ".", ".."}]


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
    address = "/" + "/".join(_segments(text))
    return _beside_own(address) if address != "/" or text == "/" else None


def _as_names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list | tuple):
        for item in value:
            if text := _as_text(item):
                yield text
