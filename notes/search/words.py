"""
Words: how a text, and what a reader asks for, become what the index holds.

SQLite's tokenizer takes a sentence of Chinese or Japanese for one word. So a run of
such characters is cut here into pairs that overlap, and its last character alone:
'日本語' is '日本 本語 語', and any part of a run is found as pairs in a row.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import NamedTuple

from notes.rendering.model import Media, ParsedNote
from notes.rendering.plain import plain_html

MAX_QUERY = 200
"""Characters of a query; what comes after them is left out."""
MAX_TERMS = 12

# Of longer runs also the single pairs are looked for: it is a sentence, likely.
_LONG_RUN = 4

_CJK = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{_CJK}]+")
_TERM = re.compile(rf'"([^"{_CJK}]+)"|([{_CJK}]+)|((?:(?![{_CJK}])[^\W_])+)')


class Term(NamedTuple):
    """
    One word of a query, a run of CJK, or several words in quotes.

    Attributes:
        text: folded, as it is looked for in a text.
        loosely: FTS5's expression for what may be meant.
        strictly: its expression for what is meant.
    """

    text: str
    loosely: str
    strictly: str


def text_of(note: ParsedNote) -> str:
    """Return what a reader sees of *note*, a line for each block of it."""
    html = "".join(
        piece if isinstance(piece, str) else _words_of(piece) for piece in note.pieces
    )
    return plain_html(html)


def _words_of(piece: object) -> str:
    return f" {piece.text} " if isinstance(piece, Media) else ""


def split_runs(text: str) -> str:
    """Return *text* as it is indexed."""
    return text if text.isascii() else _RUN.sub(_split, text)


def _split(match: re.Match[str]) -> str:
    return f" {' '.join([*_pairs(match[0]), match[0][-1]])} "


def is_run(text: str) -> bool:
    """Return whether *text*, of a term, is written without spaces around its words."""
    return _RUN.match(text) is not None


def _pairs(run: str) -> list[str]:
    return [first + second for first, second in itertools.pairwise(run)]


def read_query(text: str) -> tuple[Term, ...]:
    """Return what a reader asks for; nothing, where there is no word in it."""
    text = unicodedata.normalize("NFC", text[:MAX_QUERY])
    terms: dict[str, Term] = {}
    for match in _TERM.finditer(text):
        phrase, run, word = match.groups()
        if phrase is not None:
            words = re.findall(r"[^\W_]+", phrase)
            term = _phrase(words) if words else None
        else:
            term = _run(run) if run is not None else _word(word)
        if term is not None:
            terms.setdefault(term.text, term)
        if len(terms) == MAX_TERMS:
            break
    return tuple(terms.values())


def _phrase(words: list[str]) -> Term:
    expression = f'"{" ".join(words)}"'
    return Term(fold(" ".join(words)), expression, expression)


def _word(word: str) -> Term:
    # Twice, so that who has the very word comes before who has a longer one.
    return Term(fold(word), f'"{word}" OR "{word}" *', f'"{word}" *')


def _run(run: str) -> Term:
    pairs = _pairs(run)
    if not pairs:
        return Term(run, f'"{run}" *', f'"{run}" *')
    strictly = f'"{" ".join(pairs)}"'
    loosely = strictly
    if len(run) > _LONG_RUN:
        loosely += "".join(f' OR "{pair}"' for pair in pairs)
    return Term(run, loosely, strictly)


class _Folded(dict[int, str]):
    """What each character is folded to, one for one: places stay what they are."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        base = unicodedata.normalize("NFD", character)[0].lower()
        self[code] = folded = base if len(base) == 1 else character
        return folded


_FOLDED = _Folded()


def fold(text: str) -> str:
    """Return *text* without regard to case and accents, as long as before."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)
