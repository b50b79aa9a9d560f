"""Expressions: the text of a filter or formula, to a tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_LENGTH = 5_000
MAX_DEPTH = 50

GLOBALS = frozenset(
    {"date", "duration", "empty", "escapeHTML", "file", "if", "image", "link", "list"}
    | {"max", "min", "not", "now", "number", "today"}
)
"""Functions that are called by their name alone."""
METHODS = frozenset(
    {"abs", "asFile", "asLink", "ceil", "contains", "containsAll", "containsAny"}
    | {"date", "endsWith", "filter", "flat", "floor", "format", "hasLink"}
    | {"hasProperty", "hasTag", "inFolder", "isEmpty", "isTruthy", "isType"}
    | {"join", "keys", "linksTo", "lower", "map", "relative", "repeat", "replace"}
    | {"reverse", "round", "slice", "sort", "split", "startsWith", "time", "title"}
    | {"toFixed", "toString", "trim", "unique", "upper", "values"}
)
"""Functions that are called on a value."""

_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<number>\d+(?:\.\d+)?)"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|'(?P<single>(?:[^'\\]|\\.)*)'"
    r"|(?P<name>[^\W\d][\w$]*)"
    r"|(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>()\[\].,])"
    r")",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t"}
_LEVELS = (
    ("||",),
    ("&&",),
    ("==", "!="),
    ("<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)
"""Operators of two values, the loosest first."""
_CONSTANTS = {"true": True, "false": False, "null": None}


class ExpressionError(Exception):
    """An expression that cannot be read, or says what is not known here."""


class Node(NamedTuple):
    """
    A node of the tree.

    Attributes:
        kind: 'constant' (value), 'name' (value), 'list', 'not', 'negative',
            'member' (value: its name), 'index', 'call' (value: a global's name),
            'method' (value: its name; the first part is what it is called on), or
            'operator' (value: its sign).
    """

    kind: str
    value: Any
    parts: tuple[Node, ...] = ()


def parse_expression(text: str) -> Node:
    """
    Return the tree of *text*.

    Raises:
        ExpressionError: it cannot be read, or calls what is not there.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"it is longer than {MAX_LENGTH} characters")
    return _Parser(text).parse()


class _Token(NamedTuple):
    kind: str
    text: str


def _tokens(text: str) -> Iterator[_Token]:
    text = text.rstrip()
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"{text[place:].strip()[:20]!r} is not understood")
        kind = match.lastgroup
        found = match[kind]
        if kind in ("double", "single"):
            kind = "text"
            found = _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[1]), found)
        yield _Token(kind, found)
        place = match.end()
    yield _Token("end", "")


class _Parser:
    """One expression being read, by descent: no level may be deeper than the limit."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._place = 0
        self._depth = 0

    def parse(self) -> Node:
        tree = self._operation(0)
        if self._next.kind != "end":
            raise ExpressionError(f"{self._next.text!r} is not expected")
        return tree

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += 1
        return token

    def _is_sign(self, *signs: str) -> bool:
        return self._next.kind == "sign" and self._next.text in signs

    def _expect(self, sign: str) -> None:
        if not self._is_sign(sign):
            raise ExpressionError(f"{sign!r} is missing")
        self._place += 1

    def _operation(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._prefixed()
        left = self._operation(level + 1)
        count = 0
        while self._is_sign(*_LEVELS[level]):
            count += 1
            if count > MAX_DEPTH:
                # Each takes the one before for its left: a tree as deep as long.
                raise ExpressionError("there are too many operators in a row")
            sign = self._take().text
            left = Node("operator", sign, (left, self._operation(level + 1)))
        return left

    def _prefixed(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"it nests over {MAX_DEPTH} deep")
        try:
            if self._is_sign("!", "-"):
                kind = "not" if self._take().text == "!" else "negative"
                return Node(kind, None, (self._prefixed(),))
            return self._followed(self._value())
        finally:
            self._depth -= 1

    def _value(self) -> Node:
        token = self._take()
        if token.kind == "number":
            value = float(token.text)
            return Node("constant", int(value) if value.is_integer() else value)
        if token.kind == "text":
            return Node("constant", token.text)
        if token.kind == "name":
            if self._is_sign("("):
                if token.text not in GLOBALS:
                    raise ExpressionError(f"the function {token.text}() is not known")
                return Node("call", token.text, self._arguments())
            if token.text in _CONSTANTS:
                return Node("constant", _CONSTANTS[token.text])
            return Node("name", token.text)
        if token == ("sign", "("):
            inner = self._operation(0)
            self._expect(")")
            return inner
        if token == ("sign", "["):
            return Node("list", None, self._items("]"))
        if token == ("sign", "/"):
            raise ExpressionError("regular expressions are not supported")
        raise ExpressionError(
            f"{token.text!r} is not expected" if token.text else "it ends too early"
        )

    def _followed(self, value: Node) -> Node:
        """Return *value* with the members, indexes and calls that come after it."""
        count = 0
        while self._is_sign(".", "["):
            count += 1
            if count > MAX_DEPTH:
                raise ExpressionError(f"it has over {MAX_DEPTH} members in a row")
            if self._take().text == "[":
                value = Node("index", None, (value, self._operation(0)))
                self._expect("]")
                continue
            name = self._take()
            if name.kind != "name":
                raise ExpressionError("a name is missing after '.'")
            if not self._is_sign("("):
                value = Node("member", name.text, (value,))
            elif name.text in METHODS:
                value = Node("method", name.text, (value, *self._arguments()))
            else:
                raise ExpressionError(f"the function {name.text}() is not known")
        return value

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        return self._items(")")

    def _items(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._is_sign(end):
            if items:
                self._expect(",")
            items.append(self._operation(0))
        self._expect(end)
        return tuple(items)
