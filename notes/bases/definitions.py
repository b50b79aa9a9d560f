"""Definitions: the YAML of a base, to filters, formulas and views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notes.bases.expressions import ExpressionError, Node, parse_expression
from notes.exceptions import FrontmatterError
from notes.frontmatter import load_mapping

MAX_VIEWS = 30
MAX_COLUMNS = 50
_MAX_DEPTH = 20
"""Of filters in filters."""
_MAX_NAME = 200

_KNOWN = frozenset({"filters", "formulas", "properties", "display", "views"})
_KNOWN_OF_VIEW = frozenset(
    {"type", "name", "filters", "order", "sort", "limit", "groupBy", "image"}
    # These are of how it looks, and change nothing of what is shown.
    | {"columnSize", "rowHeight", "cardSize", "imageFit", "imageAspectRatio"}
    | {"markers", "indentProperties", "separator"}
)
SHOWN_TYPES = frozenset({"table", "cards", "list"})


@dataclass(frozen=True, slots=True)
class Filter:
    """
    What a row must be to be shown.

    Attributes:
        kind: 'and', 'or', 'not' (none of *inner*), or 'expression'.
    """

    kind: str
    inner: tuple[Filter, ...] = ()
    expression: Node | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A property that rows are ordered or grouped by."""

    property: str
    is_descending: bool


@dataclass(frozen=True, slots=True)
class View:
    """
    One way of showing the rows.

    Attributes:
        type: 'table', 'cards', 'list', or what the author calls it.
        columns: properties, as 'file.name', 'note.x' and 'formula.x'.
        limit: how many rows at most; 0 is all.
        image: the property with a card's picture; '' for none.
        problems: what of it is not supported, a line each.
        is_broken: whether a filter of it cannot be read: which rows were meant is
            not known, so none are shown.
    """

    type: str
    name: str
    filter: Filter | None
    columns: tuple[str, ...]
    sort: tuple[Order, ...]
    group: Order | None
    limit: int
    image: str
    problems: tuple[str, ...]
    is_broken: bool


@dataclass(frozen=True, slots=True)
class Base:
    """
    A base, read.

    Attributes:
        formulas: by name; None for one that cannot be read.
        names: what columns are called, by property.
        problems: what of it is not supported, a line each.
    """

    filter: Filter | None
    formulas: Mapping[str, Node | None]
    names: Mapping[str, str]
    views: tuple[View, ...]
    problems: tuple[str, ...]


def read_base(text: str) -> Base:
    """Return the base that *text* is; never raises: what is wrong is in its problems."""
    try:
        document = load_mapping(text)
    except FrontmatterError as exc:
        reason = exc.reason.replace("the frontmatter", "it")
        problem = f"The base cannot be read: line {exc.line - 1}: {reason}."
        return Base(None, {}, {}, (), (problem,))
    return _Reader(document).read()


def property_id(name: Any) -> str:
    """Return the whole name of a property: 'note.rating' for 'rating'."""
    text = str(name)[:_MAX_NAME]
    if text.startswith(("file.", "note.", "formula.")):
        return text
    return f"note.{text.removeprefix('property.')}"


class _Reader:
    """One base being read; *problems* are those of what is being read."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._problems: list[str] = []
        self._is_broken = False

    def read(self) -> Base:
        document = self._document
        self._name_unknown("The base has", document, _KNOWN)
        formulas = {
            str(name): self._formula(name, text)
            for name, text in _mapping(document.get("formulas")).items()
        }
        filter_ = self._filter(document.get("filters"))
        is_broken = self._is_broken
        problems = tuple(self._problems)
        views = document.get("views")
        views = views if isinstance(views, list) else []
        read = [
            self._view(view, number, is_broken=is_broken)
            for number, view in enumerate(views[:MAX_VIEWS], 1)
            if isinstance(view, dict)
        ]
        if not read:
            read = [self._view({}, 1, is_broken=is_broken)]
        if len(views) > MAX_VIEWS:
            problems += (f"Only the first {MAX_VIEWS} views are shown.",)
        return Base(filter_, formulas, self._names(), tuple(read), problems)

    def _names(self) -> dict[str, str]:
        names = {
            property_id(key): str(name)
            for key, name in _mapping(self._document.get("display")).items()
        }
        for key, settings in _mapping(self._document.get("properties")).items():
            name = _mapping(settings).get("displayName")
            if name is not None:
                names[property_id(key)] = str(name)
        return names

    def _name_unknown(
        self, subject: str, mapping: Mapping[str, Any], known: frozenset[str]
    ) -> None:
        unknown = sorted(str(key) for key in mapping if key not in known)
        if unknown:
            listed = ", ".join(key[:40] for key in unknown[:10])
            self._problems.append(f"{subject} what is not supported: {listed}.")

    def _formula(self, name: Any, text: Any) -> Node | None:
        try:
            return parse_expression(str(text))
        except ExpressionError as exc:
            self._problems.append(f"The formula {name} is empty: {exc}.")
            return None

    def _filter(self, value: Any, depth: int = 0) -> Filter | None:
        if value is None or value == {} or value == "":
            return None
        if depth > _MAX_DEPTH:
            self._break(f"filters nest over {_MAX_DEPTH} deep")
            return None
        if isinstance(value, dict) and len(value) == 1:
            kind, inner = next(iter(value.items()))
            if kind in ("and", "or", "not"):
                inner = inner if isinstance(inner, list) else [inner]
                read = [self._filter(part, depth + 1) for part in inner]
                return Filter(kind, tuple(part for part in read if part is not None))
        if isinstance(value, dict | list):
            self._break("a filter is one of 'and', 'or' and 'not'")
            return None
        try:
            return Filter("expression", expression=parse_expression(str(value)))
        except ExpressionError as exc:
            self._break(f"in the filter {str(value)[:100]!r} {exc}")
            return None

    def _break(self, reason: str) -> None:
        self._is_broken = True
        self._problems.append(f"No rows are shown: {reason}.")

    def _view(self, view: Mapping[str, Any], number: int, *, is_broken: bool) -> View:
        self._problems, self._is_broken = [], is_broken
        type_ = str(view.get("type") or "table")[:_MAX_NAME]
        if type_ not in SHOWN_TYPES:
            self._problems.append(f"A view of the type {type_} is shown as a table.")
        known = _KNOWN_OF_VIEW
        if type_ == "map":
            known |= {"coordinates", "markerIcon", "markerColor", "defaultZoom"}
        self._name_unknown("The view has", view, known)
        filter_ = self._filter(view.get("filters"))
        order = view.get("order")
        columns = order if isinstance(order, list) and order else ["file.name"]
        limit = view.get("limit")
        sort = view.get("sort")
        image = view.get("image")
        return View(
            type=type_,
            name=str(view.get("name") or f"View {number}")[:_MAX_NAME],
            filter=filter_,
            columns=tuple(dict.fromkeys(map(property_id, columns[:MAX_COLUMNS]))),
            sort=tuple(map(_order, sort[:20])) if isinstance(sort, list) else (),
            group=_order(view["groupBy"]) if view.get("groupBy") else None,
            limit=limit if type(limit) is int and limit > 0 else 0,
            image=property_id(image) if isinstance(image, str) and image else "",
            problems=tuple(self._problems),
            is_broken=self._is_broken,
        )


def _order(value: Any) -> Order:
    settings = value if isinstance(value, dict) else {"property": value}
    name = settings.get("property", settings.get("column", ""))
    return Order(property_id(name), str(settings.get("direction")).upper() == "DESC")


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}
