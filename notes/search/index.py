"""The index: FTS5 in memory, of the Site that is served."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from notes import site as sites
from notes.exceptions import SearchNotReadyError
from notes.layers import differing
from notes.packing import unpack
from notes.search.words import Term, fold, split_runs, text_of
from notes.site import Site

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a search waits for the index to be made."""
MAX_WAITING = 8
"""Searches at a time in a process: those who read pages want threads too."""

# A match in a title is worth more than one in a text; a Site has one of each.
_TABLE = """
CREATE VIRTUAL TABLE notes USING fts5(
    title, names, headings, tags, text,
    content='', prefix='1 2 3', tokenize='unicode61 remove_diacritics 2'
)
"""
_WEIGHTS = "bm25(12.0, 8.0, 4.0, 4.0, 1.0)"
_INSERT = (
    "INSERT INTO notes(rowid, title, names, headings, tags, text) VALUES (?,?,?,?,?,?)"
)
# What a row without content holds is told when it goes.
_DELETE = (
    "INSERT INTO notes(notes, rowid, title, names, headings, tags, text) "
    "VALUES ('delete',?,?,?,?,?,?)"
)
_SELECT = "SELECT rowid, rank FROM notes WHERE notes MATCH ? ORDER BY rank LIMIT ?"
_CANDIDATES = 100

Row = tuple[int, str, str, str, str, str]


class Found(NamedTuple):
    """
    What a search found.

    Attributes:
        site: the one that it was found in.
        paths: of the notes, the best first.
    """

    site: Site
    paths: tuple[str, ...]


class Index:
    """
    The index of one Site at a time.

    A search brings it up to the Site that is served first. One thread at a time is
    in it, and each change and search is short; only the first making takes long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_WAITING)
        self._clear()

    def _clear(self) -> None:
        self._database: sqlite3.Connection | None = None
        self._site: Site | None = None
        self._paths: dict[int, str] = {}
        self._rows: dict[str, int] = {}
        self._next = 1

    def follow(self) -> None:
        """Bring the index up to the Site that is served, however long it takes."""
        with self._lock:
            self._follow()

    def search(self, terms: Sequence[Term], limit: int) -> Found:
        """
        Return the notes that have *terms*, those that have them all first.

        Raises:
            SearchNotReadyError: the index is still being made.
        """
        with self._entered():
            site = self._follow()
            rows = self._search(terms)
            ranked = sorted(
                (-_score(site, self._paths[row], score, terms), self._paths[row])
                for row, score in rows.items()
            )
        paths = (path for _, path in ranked if site.rendered[path].error is None)
        return Found(site, tuple(paths)[:limit])

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise SearchNotReadyError
        try:
            if not self._lock.acquire(timeout=PATIENCE):
                raise SearchNotReadyError
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def _search(self, terms: Sequence[Term]) -> dict[int, float]:
        """Return scores by row."""
        if not terms or self._database is None:
            return {}
        loosely = " OR ".join(f"({term.loosely})" for term in terms)
        strictly = " AND ".join(f"({term.strictly})" for term in terms)
        scores: dict[int, float] = {}
        for expression, weight in (
            (loosely, 1.0),
            (strictly, 2.0),
            (f"{{title names}} : ({strictly})", 3.0),
        ):
            for row, rank in self._database.execute(
                _SELECT, (expression, _CANDIDATES)
            ).fetchall():
                scores[row] = max(scores.get(row, 0.0), -rank * weight)
        return scores

    def _follow(self) -> Site:
        """Bring the index up to the Site that is served, and return that."""
        site = sites.current()
        if site is None:
            raise SearchNotReadyError
        if site is self._site:
            return site
        try:
            self._change(site)
        except BaseException:
            # Made anew by the next search: half of a change is of no Site.
            self._clear()
            raise
        return site

    def _change(self, site: Site) -> None:
        began = time.monotonic()
        before = self._site
        if self._database is None:
            self._database = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            self._database.execute(_TABLE)
            self._database.execute(
                "INSERT INTO notes(notes, rank) VALUES ('rank', ?)", (_WEIGHTS,)
            )
        changed = differing({} if before is None else before.packed, site.packed)
        self._database.execute("BEGIN")
        if before is not None:
            self._remove(before, changed)
        self._add(site, changed)
        self._database.execute("COMMIT")
        self._site = site
        logger.info(
            "event=search_indexed sequence=%d notes=%d changed=%d seconds=%.3f",
            site.sequence,
            len(self._rows),
            len(changed),
            time.monotonic() - began,
        )

    def _remove(self, site: Site, paths: Iterable[str]) -> None:
        assert self._database is not None  # noqa: S101 - _change made it
        for path in paths & self._rows.keys():
            number = self._rows.pop(path)
            del self._paths[number]
            row = _row(site, path, number)
            if row is not None:
                self._database.execute(_DELETE, row)

    def _add(self, site: Site, paths: Iterable[str]) -> None:
        assert self._database is not None  # noqa: S101 - _change made it
        for path in sorted(paths & site.packed.keys()):
            row = _row(site, path, self._next)
            if row is None:
                continue
            self._database.execute(_INSERT, row)
            self._paths[self._next] = path
            self._rows[path] = self._next
            self._next += 1


def _row(site: Site, path: str, number: int) -> Row | None:
    """Return what the index holds of a note; None for one that cannot be parsed."""
    packed = site.packed[path]
    # A sheet is packed, too, also one that no published note shows.
    if packed is None or path not in site.facts:
        return None
    note = unpack(packed)
    names = (path.removesuffix(".md"), *site.facts[path].wish.aliases)
    return (
        number,
        split_runs(note.title),
        split_runs("\n".join(names)),
        split_runs("\n".join(heading.text for heading in note.headings)),
        split_runs("\n".join(note.tags)),
        split_runs(text_of(note)),
    )


def _score(site: Site, path: str, score: float, terms: Sequence[Term]) -> float:
    """Return *score*, or more for a note that is called just what was asked for."""
    asked = " ".join(term.text for term in terms)
    names = (site.rendered[path].title, *site.facts[path].wish.aliases)
    is_named = any(" ".join(fold(name).split()) == asked for name in names)
    return score + 1000.0 if is_named else score


_index = Index()
_of_the_parent: list[Index] = []
"""Neither used nor closed in a child: SQLite's connections do not cross a fork."""


def index() -> Index:
    """Return this process's index."""
    return _index


def start() -> None:
    """
    Make the index in the background, before the first search; for a worker.

    Called after the fork, once there is a Site.
    """
    thread = threading.Thread(target=_make, name="notes-search", daemon=True)
    thread.start()


def _make() -> None:
    try:
        _index.follow()
    except Exception:  # the first search tries again
        logger.exception("event=search_not_indexed")


def _begin_anew() -> None:
    global _index
    _of_the_parent.append(_index)
    _index = Index()


os.register_at_fork(after_in_child=_begin_anew)
