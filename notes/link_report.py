"""The link report: which links of the published notes mean nothing, or too much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from notes.links import Resolver, is_note, is_sheet
from notes.packing import unpack
from notes.rendering import ParsedNote
from notes.rendering.composing import names_of
from notes.rendering.model import Board, Embed, LinkStart, Media, Target
from notes.rendering.parts import find_id
from notes.site import Site

UNRESOLVED = "unresolved"
UNPUBLISHED = "unpublished"
NO_SUCH_PART = "no such part"
AMBIGUOUS = "ambiguous"


class LinkProblem(NamedTuple):
    """
    A link that is not as its author may think.

    Attributes:
        note: the path of the note or canvas that it is in.
        target: as it is written.
        problem: one of the four above.
        candidates: what an ambiguous one may mean, the one that it leads to first.
    """

    note: str
    target: str
    problem: str
    candidates: tuple[str, ...] = ()


def find_problems(site: Site, unpublished: Iterable[str]) -> Iterator[LinkProblem]:
    """
    Yield the problems of the links of *site*, by note, in the order of its text.

    Args:
        unpublished: the paths of the notes that are not in it.
    """
    drafts = Resolver(unpublished, ())
    for path in sorted([*site.facts, *site.shown_sheets]):
        parsed = _parsed(site, path)
        if parsed is None:
            continue
        for target in dict.fromkeys(_targets(parsed)):
            problem = _judge(site, drafts, path, target)
            if problem is not None:
                yield problem


def _judge(
    site: Site, drafts: Resolver, path: str, target: Target
) -> LinkProblem | None:
    written = target.path + (f"#{target.fragment}" if target.fragment else "")
    if not target.path:
        found, name = path, ""
    else:
        for name in names_of(target):
            meant = site.resolver.resolve(name, path)
            if meant is not None:
                found = meant
                break
        else:
            names = (drafts.resolve(name, path) for name in names_of(target))
            is_draft = any(name is not None for name in names)
            return LinkProblem(path, written, UNPUBLISHED if is_draft else UNRESOLVED)
    if target.fragment and (is_note(found) or is_sheet(found)):
        parsed = _parsed(site, found)
        if parsed is not None and find_id(parsed, target.fragment) is None:
            return LinkProblem(path, written, NO_SUCH_PART)
    candidates = site.resolver.candidates(name, path) if name else ()
    if len(candidates) > 1:
        return LinkProblem(path, written, AMBIGUOUS, candidates)
    return None


def _parsed(site: Site, path: str) -> ParsedNote | None:
    packed = site.packed.get(path) or site.packed_sheets.get(path)
    return None if packed is None else unpack(packed)


def _targets(parsed: ParsedNote) -> Iterator[Target]:
    for piece in parsed.pieces:
        if isinstance(piece, LinkStart | Media | Embed):
            yield piece.target
        elif isinstance(piece, Board):
            for node in piece.nodes:
                if node.target is not None:
                    yield node.target
                if node.text is not None:
                    yield from _targets(node.text)
    for known in parsed.properties:
        for piece in known.value:
            if isinstance(piece, LinkStart):
                yield piece.target
    yield from parsed.mentions
