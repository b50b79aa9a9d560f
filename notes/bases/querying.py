"""Querying: which rows a view of a base has, in which order, with what in its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from notes.bases.definitions import Base, Order, View
from notes.bases.evaluation import Budget, Evaluator, TooMuchError, World
from notes.bases.selecting import Selection
from notes.bases.values import file_name, is_empty, order_key, to_text

MAX_ROWS = 500
"""Shown of one view; how many more there are is said."""


class Line(NamedTuple):
    """A row: its file, what is in its cells, and its picture."""

    path: str
    cells: tuple[Any, ...]
    image: Any


class Group(NamedTuple):
    """Rows that share a value; '' is the name of all where they are not grouped."""

    name: str
    lines: tuple[Line, ...]


class Result(NamedTuple):
    """
    What a view shows.

    Attributes:
        more: how many rows are not shown.
        problems: what of the view is not supported or went wrong, a line each.
        selection: what its filters let through; None where that is not known.
    """

    view: View
    groups: tuple[Group, ...]
    more: int
    problems: tuple[str, ...]
    selection: Selection | None = None


def run(
    base: Base,
    number: int,
    world: World,
    this: str,
    budget: Budget,
    find: Callable[[Base, int, str], Selection],
) -> Result:
    """
    Return what the view *number* of *base* shows, from 0.

    Args:
        this: the path of the file that the base is shown in.
        find: as `notes.bases.selecting.Selector` does.
    """
    view = base.views[number]
    problems = (*base.problems, *view.problems)
    if view.is_broken:
        return Result(view, (), 0, problems)
    evaluator = Evaluator(world, this, base.formulas, budget)
    selection = find(base, number, this)
    try:
        selection.pay(budget)
        paths = _sorted(selection.paths, evaluator, view)
        shown = paths[: min(view.limit or MAX_ROWS, MAX_ROWS)]
        limit = min(view.limit or len(paths), len(paths))
        groups = _group(shown, evaluator, view)
    except TooMuchError:
        problem = "No rows are shown: its expressions take too many steps."
        return Result(view, (), 0, (*problems, problem), selection)
    return Result(view, groups, limit - len(shown), problems, selection)


def _sorted(paths: Iterable[str], evaluator: Evaluator, view: View) -> list[str]:
    found = sorted(paths, key=lambda path: (file_name(path).casefold(), path))
    orders = list(view.sort)
    if view.group is not None:
        orders.insert(0, view.group)
    for order in reversed(orders):
        found = _ordered(found, evaluator, order)
    return found


def _ordered(paths: list[str], evaluator: Evaluator, order: Order) -> list[str]:
    """Return *paths* by a property; those without it come last."""
    full: list[tuple[Any, str]] = []
    empty: list[str] = []
    for path in paths:
        evaluator.begin(path)
        value = evaluator.property(order.property)
        if is_empty(value):
            empty.append(path)
        else:
            full.append((order_key(value), path))
    # Sorting backwards keeps what is equal in its order, unlike reversing.
    full.sort(key=lambda pair: pair[0], reverse=order.is_descending)
    return [path for _, path in full] + empty


def _group(paths: Iterable[str], evaluator: Evaluator, view: View) -> tuple[Group, ...]:
    lines: dict[str, list[Line]] = {}
    for path in paths:
        evaluator.begin(path)
        name = ""
        if view.group is not None:
            name = to_text(evaluator.property(view.group.property)) or "None"
        cells = tuple(map(evaluator.property, view.columns))
        image = evaluator.property(view.image) if view.image else None
        lines.setdefault(name, []).append(Line(path, cells, image))
    return tuple(Group(name, tuple(found)) for name, found in lines.items())
