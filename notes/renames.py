"""
Renames: the addresses that notes had, so that links to them do not rot.

A note that is gone and one that has come with the same bytes, in one write, is a note
that was renamed; so is one whose twin was put there before it is taken out by the API.
A note whose `permalink` or `slug` changes was at another address too. What is kept is
the first address that it asked for: where it did not get that one, it was another
note's, and is still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.db.models import Q

from notes.assigning import first_choice, read_wish, redirect_key
from notes.models import FormerAddress, Note
from notes.sources import load_note

_BATCH = 200  # rows


def record_renames(
    removed: Iterable[str], added: Mapping[str, Sequence[str]], sequence: int
) -> None:
    """
    Keep the addresses of the notes that are renamed by the open transaction.

    To be called before it removes them.

    Args:
        removed: the paths of the notes that it removes.
        added: the paths of the notes that it adds, by content hash.
    """
    if not added:
        return
    gone: dict[str, list[Note]] = {}
    for paths in _batches(list(removed)):
        # All hashes that are added may be more variables than SQLite takes.
        hashes = Note.objects.filter(path__in=paths).values_list("path", "content_hash")
        same = [path for path, content_hash in hashes if content_hash in added]
        for note in Note.objects.filter(path__in=same):
            if note.source.strip():
                gone.setdefault(note.content_hash, []).append(note)
    for content_hash, notes in gone.items():
        for note, path in _pairs(notes, list(added[content_hash])):
            _keep(note, path, sequence)
            FormerAddress.objects.filter(path=note.path).update(
                path=path, sequence=sequence
            )


def record_moves(changed: Mapping[str, Note], sequence: int) -> None:
    """
    Keep the addresses of the notes that the open transaction moves by a property.

    To be called before it changes them.

    Args:
        changed: the notes as they will be, by path.
    """
    names = Q(source__contains="permalink") | Q(source__contains="slug")
    for paths in _batches(list(changed)):
        for before in Note.objects.filter(names, path__in=paths):
            after = load_note(changed[before.path])
            if after is not None and _address(before) != first_choice(
                after.path, read_wish(after)
            ):
                _keep(before, before.path, sequence)


def record_removal(note: Note, sequence: int) -> None:
    """Keep the address of *note*, about to be removed, if one other is its equal."""
    twins = Note.objects.filter(content_hash=note.content_hash).exclude(pk=note.pk)
    paths = list(twins.values_list("path", flat=True)[:2])
    if len(paths) == 1:
        record_renames([note.path], {note.content_hash: paths}, sequence)


def _keep(note: Note, path: str, sequence: int) -> None:
    """Keep the address of *note*, unless it is a draft, for the note at *path*."""
    address = _address(note)
    key = None if address is None else redirect_key(address)
    if key:
        FormerAddress.objects.update_or_create(
            address=key, defaults={"path": path, "sequence": sequence}
        )


def _address(note: Note) -> str | None:
    source = load_note(note)
    return None if source is None else first_choice(note.path, read_wish(source))


def _pairs(notes: list[Note], paths: list[str]) -> Iterator[tuple[Note, str]]:
    """Yield the notes that are gone with the paths that they have now."""
    rest = []
    for note in notes:
        name = _name(note.path)
        same = [path for path in paths if _name(path) == name]
        if len(same) == 1:
            paths.remove(same[0])
            yield note, same[0]
        else:
            rest.append(note)
    # Of several equal ones with other names, which is which cannot be known.
    if len(rest) == len(paths) == 1:
        yield rest[0], paths[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
