"""Evaluation: what an expression says of one row."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from notes.bases.definitions import Filter
from notes.bases.expressions import Node
from notes.bases.functions import call_global, call_method, member
from notes.bases.values import (
    MAX_NUMBER,
    MAX_TEXT,
    Duration,
    File,
    Link,
    Row,
    as_moment,
    file_name,
    is_equal,
    is_truthy,
    read_date,
    read_duration,
    read_link,
    shifted,
    to_text,
)

MAX_STEPS = 3_000_000
"""For all bases of a page together; some seconds."""


class TooMuchError(Exception):
    """The expressions of a page take too many steps."""


@dataclass(slots=True)
class Asked:
    """
    What was asked for, of which something else may be told another time.

    Not what was asked of the row itself: who has a row knows when it is another.

    Attributes:
        files: those of which something was asked.
        names: the lookup keys of targets.
        urls: the files whose URL was asked for.
        is_fleeting: whether it was the time, or what leads to a file.
    """

    files: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    urls: set[str] = field(default_factory=set)
    is_fleeting: bool = False

    def joined(self, other: Asked) -> Asked:
        """Return what was asked for in both; neither is changed."""
        if (
            self.files.issuperset(other.files)
            and self.names.issuperset(other.names)
            and self.urls.issuperset(other.urls)
            and self.is_fleeting >= other.is_fleeting
        ):
            return self
        return Asked(
            self.files | other.files,
            self.names | other.names,
            self.urls | other.urls,
            self.is_fleeting or other.is_fleeting,
        )


class World(Protocol):
    """The files that readers can see, as expressions ask for them."""

    def begin(self, row: str, /) -> None:
        """Take what is asked next as asked for the file at *row*."""

    def listening(self) -> AbstractContextManager[Asked]:
        """Note what is asked for inside, and nowhere else."""

    def is_seen(self, path: str, /) -> bool:
        """Return whether there is such a file."""

    @property
    def now(self) -> datetime.datetime:
        """The moment at which the page is made."""

    def properties(self, path: str, /) -> Mapping[str, Any]:
        """Return the frontmatter of a note; of any other file, nothing."""

    def resolve(self, target: str, source_path: str, /) -> str | None:
        """Return the file that *target* means there, if readers can see it."""

    def tags(self, path: str, /) -> Sequence[str]:
        """Return the tags of a note, without '#'."""

    def links(self, path: str, /) -> Sequence[str]:
        """Return the paths that a file leads to."""

    def embeds(self, path: str, /) -> Sequence[str]:
        """Return the paths that a file shows."""

    def backlinks(self, path: str, /) -> Sequence[str]:
        """Return the paths of the notes that lead to a file."""

    def size(self, path: str, /) -> int | None:
        """Return the size of a file in bytes; None for one that is not known."""

    def times(self, path: str, /) -> tuple[datetime.datetime, datetime.datetime]:
        """Return when a file was written, and when it last changed."""


@dataclass(slots=True)
class Budget:
    """
    The steps that are left.

    Attributes:
        paid: what was taken at once, by what it was for.
    """

    steps: int = MAX_STEPS
    paid: dict[str, int] = field(default_factory=dict, init=False)

    def pay(self, key: str, steps: int) -> None:
        """
        Take *steps* at once for *key*, unless that was done.

        Raises:
            TooMuchError: there are not as many.
        """
        if key not in self.paid:
            self.paid[key] = steps
            self.steps -= steps
        if self.steps < 0:
            raise TooMuchError


class Evaluator:
    """Evaluates the expressions of one base on one page."""

    def __init__(
        self,
        world: World,
        this: str,
        formulas: Mapping[str, Node | None],
        budget: Budget,
    ) -> None:
        self._world = world
        self._this = this
        self._formulas = formulas
        self._budget = budget
        self._row = ""
        self._known: dict[str, Any] = {}
        """The formulas of the row, as far as they are known."""
        self._names: list[Mapping[str, Any]] = []
        """What 'value' and 'index' are, in functions that go through a list."""
        self._kinds: dict[str, Callable[[Node], Any]] = {
            "constant": lambda node: node.value,
            "name": self._name,
            "list": lambda node: [self._value(part) for part in node.parts],
            "not": lambda node: not is_truthy(self._value(node.parts[0])),
            "negative": self._negative,
            "member": self._member,
            "index": self._index,
            "call": self._call,
            "method": self._method,
            "operator": self._operator,
        }

    def begin(self, path: str) -> None:
        """Let what is asked next be of the file at *path*."""
        self._row = path
        self._world.begin(path)
        self._known = {}
        self._names = []

    def matches(self, filter_: Filter | None) -> bool:
        """
        Return whether the row is what *filter_* says.

        Raises:
            TooMuchError: it takes too many steps to find out.
        """
        if filter_ is None:
            return True
        if filter_.kind == "and":
            return all(map(self.matches, filter_.inner))
        if filter_.kind == "or":
            # An 'or' with nothing in it is one that its author has not filled in.
            return not filter_.inner or any(map(self.matches, filter_.inner))
        if filter_.kind == "not":
            return not any(map(self.matches, filter_.inner))
        return filter_.expression is None or is_truthy(self._value(filter_.expression))

    def property(self, name: str) -> Any:
        """
        Return the property *name* of the row, as 'note.x', 'file.x' or 'formula.x'.

        Raises:
            TooMuchError: it takes too many steps to find out.
        """
        kind, _, rest = name.partition(".")
        if kind == "file":
            return self._of_file(self._row, rest)
        if kind == "formula":
            return self._formula(rest)
        return self._of_note(self._row, rest)

    def _value(self, node: Node) -> Any:
        self._budget.steps -= 1
        if self._budget.steps < 0:
            raise TooMuchError
        return self._kinds[node.kind](node)

    def _name(self, node: Node) -> Any:
        name = node.value
        for names in reversed(self._names):
            if name in names:
                return names[name]
        if name == "this":
            return Row(self._this)
        if name == "file":
            return File(self._row)
        if name in ("note", "formula"):
            return Row(self._row) if name == "note" else None
        return self._of_note(self._row, name)

    def _member(self, node: Node) -> Any:
        of, name = node.parts[0], node.value
        if of.kind == "name" and of.value == "formula":
            return self._formula(name)
        return self._member_of(self._value(of), name)

    def _index(self, node: Node) -> Any:
        of = node.parts[0]
        index = self._value(node.parts[1])
        if of.kind == "name" and of.value == "formula":
            return self._formula(to_text(index))
        value = self._value(of)
        if isinstance(value, list | str):
            if _is_number(index) and 0 <= index < len(value):
                return value[int(index)]
            return None
        return self._member_of(value, to_text(index))

    def _member_of(self, value: Any, name: str) -> Any:
        if isinstance(value, Row):
            if name == "file":
                return File(value.path)
            return self._of_note(value.path, name)
        if isinstance(value, File):
            return self._of_file(value.path, name)
        if isinstance(value, dict):
            return self._read(value.get(name), self._row)
        return member(name, value)

    def _of_note(self, path: str, name: str) -> Any:
        return self._read(self._world.properties(path).get(name), path)

    def _read(self, value: Any, path: str) -> Any:
        """Return a value of the frontmatter of *path* with its links as links."""
        if isinstance(value, str):
            if "[[" in value:
                read = read_link(value)
                return value if read is None else self._link(*read, path)
            # YAML knows no time without seconds, and no date in quotes.
            return (read_date(value) or value) if value[:1].isdigit() else value
        if isinstance(value, list):
            return [self._read(item, path) for item in value]
        if isinstance(value, bytes | set | tuple):
            return to_text(value)
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            return to_text(value)
        return value

    def _link(self, target: str, display: str, path: str) -> Link:
        found = self._world.resolve(target, path) if target else path
        return Link(target, display, found)

    def _of_file(self, path: str, name: str) -> Any:
        world = self._world
        match name:
            case "name":
                return file_name(path)
            case "basename":
                return path.rpartition("/")[2].rpartition(".")[0]
            case "path":
                return path
            case "folder":
                return path.rpartition("/")[0]
            case "ext":
                return path.rpartition(".")[2]
            case "file":
                return File(path)
            case "properties":
                return dict(world.properties(path))
            case "tags":
                return list(world.tags(path))
            case "links":
                return self._files(world.links(path))
            case "embeds":
                return self._files(world.embeds(path))
            case "backlinks":
                return self._files(world.backlinks(path))
            case "size":
                return world.size(path)
            case "ctime" | "mtime":
                return as_moment(world.times(path)[name == "mtime"])
        return None

    def _files(self, paths: Sequence[str]) -> list[Any]:
        return [Link(file_name(path), "", path) for path in paths]

    def _formula(self, name: str) -> Any:
        if name not in self._known:
            # One that asks for itself gets nothing.
            self._known[name] = None
            tree = self._formulas.get(name)
            if tree is not None:
                names, self._names = self._names, []
                self._known[name] = self._value(tree)
                self._names = names
        return self._known[name]

    def _call(self, node: Node) -> Any:
        name, parts = node.value, node.parts
        if name == "if":
            if not parts:
                return None
            chosen = 1 if is_truthy(self._value(parts[0])) else 2
            return self._value(parts[chosen]) if len(parts) > chosen else None
        if name == "now":
            return self._world.now
        if name == "today":
            return self._world.now.date()
        given = [self._value(part) for part in parts]
        if name in ("file", "link"):
            first = given[0] if given else None
            link = self._as_link(first)
            if name == "file":
                return None if link is None or link.path is None else File(link.path)
            if link is not None and len(given) > 1:
                return Link(link.target, to_text(given[1]), link.path)
            return link
        return call_global(name, given)

    def _as_link(self, value: Any) -> Link | None:
        if isinstance(value, Link):
            return value
        if isinstance(value, File):
            return Link(file_name(value.path), "", value.path)
        text = to_text(value)
        read = read_link(text) or (text, "")
        return self._link(*read, self._row) if read[0] else None

    def _method(self, node: Node) -> Any:
        name = node.value
        on = self._value(node.parts[0])
        if name in ("filter", "map"):
            return self._through(name, on, node.parts[1:])
        given = [self._value(part) for part in node.parts[1:]]
        if name == "relative" and isinstance(on, datetime.date):
            return _relative(as_moment(on), self._world.now)
        if name in ("asFile", "linksTo") and isinstance(on, Link):
            on = None if on.path is None else File(on.path)
            return on if name == "asFile" else self._has_link(on, given)
        if isinstance(on, File):
            return self._method_of_file(name, on, given)
        result = call_method(name, on, given)
        if isinstance(on, list | str):
            self._budget.steps -= len(on) // 10
        return result

    def _through(self, name: str, on: Any, parts: Sequence[Node]) -> Any:
        if not isinstance(on, list) or not parts:
            return None
        results = []
        for index, value in enumerate(on):
            self._names.append({"value": value, "index": index})
            result = self._value(parts[0])
            self._names.pop()
            if name == "map":
                results.append(result)
            elif is_truthy(result):
                results.append(value)
        return results

    def _method_of_file(self, name: str, on: File, given: Sequence[Any]) -> Any:
        match name:
            case "asLink":
                display = to_text(given[0]) if given else ""
                return Link(file_name(on.path), display, on.path)
            case "hasLink":
                return self._has_link(on, given)
            case "hasProperty":
                return bool(given) and to_text(given[0]) in self._world.properties(
                    on.path
                )
            case "hasTag":
                wanted = [to_text(tag).lstrip("#").casefold() for tag in given]
                return any(
                    tag.casefold() == other or tag.casefold().startswith(f"{other}/")
                    for tag in self._world.tags(on.path)
                    for other in wanted
                )
            case "inFolder":
                folder = to_text(given[0]).strip("/") if given else ""
                return not folder or on.path.startswith(f"{folder}/")
            case "isEmpty":
                return False
        return call_method(name, on, given)

    def _has_link(self, on: File | None, given: Sequence[Any]) -> bool:
        link = self._as_link(given[0]) if given and on is not None else None
        if link is None or link.path is None or on is None:
            return False
        return link.path in self._world.links(on.path)

    def _negative(self, node: Node) -> Any:
        value = self._value(node.parts[0])
        return -value if _is_number(value) else None

    def _operator(self, node: Node) -> Any:
        sign = node.value
        left = self._value(node.parts[0])
        if sign == "&&":
            return self._value(node.parts[1]) if is_truthy(left) else left
        if sign == "||":
            return left if is_truthy(left) else self._value(node.parts[1])
        right = self._value(node.parts[1])
        if sign == "==":
            return is_equal(left, right)
        if sign == "!=":
            return not is_equal(left, right)
        if sign in ("<", ">", "<=", ">="):
            return _compare(sign, left, right)
        return _calculate(sign, left, right)


def _is_number(value: Any) -> bool:
    """Return whether *value* is a number that can be calculated with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # A whole one may be too large for a float: `values` of a mapping gives any.
    return isinstance(value, float) or abs(value) <= MAX_NUMBER


def _compare(sign: str, left: Any, right: Any) -> bool:
    """Return what a comparison says; values of two kinds are in no order."""
    if isinstance(left, datetime.date) and isinstance(right, datetime.date):
        left, right = as_moment(left), as_moment(right)
    elif not (
        (_is_number(left) and _is_number(right))
        or (isinstance(left, str) and isinstance(right, str))
    ):
        return False
    if sign == "<":
        return bool(left < right)
    if sign == ">":
        return bool(left > right)
    return bool(left <= right if sign == "<=" else left >= right)


def _calculate(sign: str, left: Any, right: Any) -> Any:
    if _is_number(left) and _is_number(right):
        return _calculate_numbers(sign, float(left), float(right))
    if isinstance(left, datetime.date) and sign in "+-":
        if isinstance(right, datetime.date) and sign == "-":
            return (as_moment(left) - as_moment(right)).total_seconds() * 1000
        by = read_duration(right) if isinstance(right, str) else right
        if isinstance(by, Duration):
            return shifted(left, by, 1 if sign == "+" else -1)
    if isinstance(left, Duration) and sign == "*" and _is_number(right):
        if not abs(right) <= 1e6:  # nor what is no number at all, as YAML's .nan
            return None
        return Duration(int(left.months * right), left.seconds * right)
    if sign == "+" and (isinstance(left, str) or isinstance(right, str)):
        return (to_text(left) + to_text(right))[:MAX_TEXT]
    return None


def _calculate_numbers(sign: str, left: float, right: float) -> float | None:
    if not (math.isfinite(left) and math.isfinite(right)):
        return None
    if sign in "/%" and not right:
        return None
    if sign == "+":
        result = left + right
    elif sign == "-":
        result = left - right
    elif sign == "*":
        result = left * right
    else:
        result = left / right if sign == "/" else math.fmod(left, right)
    return result if abs(result) < MAX_NUMBER else None


def _relative(moment: datetime.datetime, now: datetime.datetime) -> str:
    days = (moment.date() - now.date()).days
    if not days:
        return "today"
    amount = abs(days)
    for size, unit in ((365, "year"), (30, "month"), (7, "week"), (1, "day")):
        if amount >= size:
            count = amount // size
            words = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"in {words}" if days > 0 else f"{words} ago"
    return ""
