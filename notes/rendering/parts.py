"""Parts of a note: what a fragment names, a section or a block."""

from __future__ import annotations

import re

from notes.rendering.headings import section_name
from notes.rendering.model import ParsedNote, Piece
from notes.rendering.sanitising import make_cleaner
from notes.rendering.slots import MARK

# Where a tag begins: an id cuts tags in two, and what is left has no '<' but these.
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)")
_FORMULA = re.compile(r"<math.*?</math>", re.DOTALL)
_PLACE = re.compile(rf'<span title="{MARK}(\d+)"></span>')
_CLEANER = make_cleaner()
_VOID = frozenset({"br", "col", "hr", "img", "input", "source", "wbr"})


def find_id(note: ParsedNote, fragment: str) -> str | None:
    """Return the id in the page of *note* that *fragment* means, or None."""
    if fragment in note.ids or fragment == note.title_anchor:
        return fragment
    if fragment.startswith("^"):
        fragment = fragment.lower()
        return fragment if fragment in note.ids else None
    return note.sections.get(section_name(fragment))


def part_of(note: ParsedNote, fragment: str) -> tuple[Piece, ...] | None:
    """
    Return the pieces of the part that *fragment* names; None if there is none.

    A section goes on to the next heading that is not below its own. It may be
    unbalanced, where raw HTML spans headings; a block never is.
    """
    id_ = find_id(note, fragment)
    if not fragment or (id_ and id_ == note.title_anchor):
        return note.pieces
    if id_ is None or id_ not in note.ids:
        return None
    start = note.ids[id_]
    if id_.startswith("^"):
        return _block(note.pieces, start)
    for number, heading in enumerate(note.headings):
        if heading.anchor == id_:
            for later in note.headings[number + 1 :]:
                if later.level <= heading.level and later.anchor in note.ids:
                    return note.pieces[start : note.ids[later.anchor]]
            return note.pieces[start:]
    return None


def _block(pieces: tuple[Piece, ...], start: int) -> tuple[Piece, ...]:
    """Return the element that begins with the piece at *start*."""
    depth = 0
    for number in range(start, len(pieces)):
        piece = pieces[number]
        if not isinstance(piece, str):
            continue
        for match in _TAG.finditer(piece):
            if match[2] not in _VOID:
                depth += -1 if match[1] else 1
            if not depth:
                end = piece.index(">", match.end()) + 1
                block = (*pieces[start:number], piece[:end])
                is_item = isinstance(block[0], str) and block[0].startswith("<li")
                return ("<ul>", *block, "</ul>") if is_item else block
    return pieces[start:]


def balanced(html: str) -> str:
    """Return *html*, a part of a note, with all that it opens closed."""
    if is_balanced(html):
        return html
    # The sanitiser, which knows how, lets no formula through.
    formulas: list[str] = []

    def put_away(match: re.Match[str]) -> str:
        formulas.append(match[0])
        return f'<span title="{MARK}{len(formulas) - 1}"></span>'

    cleaned = _CLEANER.clean(_FORMULA.sub(put_away, html))
    return _PLACE.sub(lambda match: formulas[int(match[1])], cleaned)


def is_balanced(html: str) -> bool:
    """Return whether *html*, as the sanitiser writes it, closes what it opens."""
    open_names: list[str] = []
    for close, name in _TAG.findall(html):
        if name in _VOID:
            continue
        if not close:
            open_names.append(name)
        elif not open_names or open_names.pop() != name:
            return False
    return not open_names
