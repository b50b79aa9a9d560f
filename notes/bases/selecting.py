"""
Selecting: which files the filters of a view let through, and whether it is so still.

A change touches a few of thousands of files. What filters said of the others is known
from the last time, unless they were told of yet other files for it, or of the clock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from notes.bases.definitions import Base, Filter
from notes.bases.evaluation import Asked, Budget, Evaluator, TooMuchError, World
from notes.bases.expressions import Node


class Change(NamedTuple):
    """
    What is other than it was when something was asked for.

    Attributes:
        files: those of which something may be told otherwise, or that come or go.
        names: the lookup keys that may mean another file.
        urls: the files with another URL, their first or none.
    """

    files: AbstractSet[str]
    names: AbstractSet[str]
    urls: AbstractSet[str]

    def concerns(self, asked: Asked) -> bool:
        """Return whether one who *asked* may be told something else now."""
        return asked.is_fleeting or not (
            self.files.isdisjoint(asked.files)
            and self.names.isdisjoint(asked.names)
            and self.urls.isdisjoint(asked.urls)
        )


class Selection(NamedTuple):
    """
    The files that filters let through, sorted.

    Attributes:
        key: the same for all who have the same filters and mean the same by them.
        steps: that it takes to find them among those of *wider*, or more.
        is_exact: whether *steps* is just that.
        wider: what was found without the last of the filters; None without any.
    """

    key: str
    paths: tuple[str, ...]
    steps: int
    is_exact: bool
    asked: Asked
    wider: Selection | None

    def pay(self, budget: Budget) -> None:
        """
        Take the steps from *budget*, once for a page.

        So a page may take as many whether or not another has found the same before.
        """
        if self.wider is not None:
            self.wider.pay(budget)
        budget.pay(self.key, self.steps)


class Answer(NamedTuple):
    """
    What the queries of one page show.

    Attributes:
        selections: of each query, in order; None for one that shows no rows.
        steps: that were taken besides finding those.
    """

    html: tuple[str, ...]
    selections: tuple[Selection | None, ...]
    asked: Asked
    steps: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What all queries of a site found: by the keys of selections and paths of pages."""

    selections: Mapping[str, Selection] = field(default_factory=dict)
    pages: Mapping[str, Answer] = field(default_factory=dict)


class Selector:
    """
    Finds what filters let through, each once.

    Attributes:
        found: by key.
    """

    def __init__(
        self,
        world: World,
        paths: Callable[[], tuple[str, ...]],
        before: Mapping[str, Selection],
        change: Change,
    ) -> None:
        """
        Take what was found *before* a *change*, and all *paths* there are now, sorted.
        """
        self._world = world
        self._paths = paths
        self._before = before
        self._change = change
        self.found: dict[str, Selection] = {}

    def find(
        self, base: Base, number: int, this: str, known: Selection | None = None
    ) -> Selection:
        """Return what the filters of a view let through; *known* is what it was."""
        both = (base.filter, base.views[number].filter)
        filters = tuple(filter_ for filter_ in both if filter_ is not None)
        key = _key(filters, base, this) if known is None else known.key
        return self._find(key, filters, base, this)

    def forget(self) -> None:
        """Let all that is not exact be found anew."""
        self.found = {key: one for key, one in self.found.items() if one.is_exact}
        self._before = {}

    def _find(
        self, key: str, filters: Sequence[Filter], base: Base, this: str
    ) -> Selection:
        found = self.found.get(key)
        if found is None:
            found = self._find_again(key, filters, base, this)
            if found is None:
                found = self._find_anew(key, filters, base, this)
            self.found[key] = found
        return found

    def _find_again(
        self, key: str, filters: Sequence[Filter], base: Base, this: str
    ) -> Selection | None:
        """Return what was found before, changed; None where that is not possible."""
        before, files = self._before.get(key), self._change.files
        if (
            before is None
            or before.wider is None
            or max(before.steps, before.wider.steps) > Budget().steps
            or self._change.concerns(before.asked)
        ):
            return None
        wider = self._find(before.wider.key, filters[:-1], base, this)
        budget = Budget()
        evaluator = Evaluator(self._world, this, base.formulas, budget)
        try:
            with self._world.listening() as asked:
                found = [
                    path
                    for path in files
                    if self._world.is_seen(path)
                    and all(_matches(evaluator, path, filter_) for filter_ in filters)
                ]
        except TooMuchError:
            return None
        paths = before.paths
        if found or not files.isdisjoint(paths):
            paths = tuple(sorted([*found, *(p for p in paths if p not in files)]))
        steps = before.steps + Budget().steps - budget.steps
        asked = before.asked.joined(asked)
        return Selection(key, paths, steps, False, asked, wider)

    def _find_anew(
        self, key: str, filters: Sequence[Filter], base: Base, this: str
    ) -> Selection:
        if not filters:
            return Selection(key, self._paths(), 0, True, Asked(), None)
        key_of_wider = _key(filters[:-1], base, this)
        wider = self._find(key_of_wider, filters[:-1], base, this)
        budget = Budget()
        evaluator = Evaluator(self._world, this, base.formulas, budget)
        paths: tuple[str, ...] = ()
        # One that takes too many steps is too much for every page that is to pay for it.
        with self._world.listening() as asked, contextlib.suppress(TooMuchError):
            paths = tuple(
                path for path in wider.paths if _matches(evaluator, path, filters[-1])
            )
        steps = Budget().steps - budget.steps
        return Selection(key, paths, steps, True, wider.asked.joined(asked), wider)


def _matches(evaluator: Evaluator, path: str, filter_: Filter) -> bool:
    evaluator.begin(path)
    return evaluator.matches(filter_)


def _key(filters: Sequence[Filter], base: Base, this: str) -> str:
    """Return what is the same where *filters* mean the same."""
    parts = [repr(tuple(filters))]
    if any(_asks_for("this", filter_) for filter_ in filters):
        parts.append(this)
    if any(_asks_for("formula", filter_) for filter_ in filters):
        # They may ask for the page, too.
        parts += [this, repr(base.formulas)]
    return "\n".join(parts)


def _asks_for(name: str, filter_: Filter) -> bool:
    """Return whether *filter_* asks for the page, or for the base's formulas."""
    if filter_.expression is not None:
        return _names(name, filter_.expression)
    return any(_asks_for(name, inner) for inner in filter_.inner)


def _names(name: str, node: Node) -> bool:
    if node.kind == "name" and node.value == name:
        return True
    return any(_names(name, part) for part in node.parts)
