"""Functions: those that expressions call on values; none raises, whatever they get."""

from __future__ import annotations

import datetime
import html
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from notes.bases.values import (
    MAX_NUMBER,
    MAX_TEXT,
    Duration,
    File,
    Link,
    as_moment,
    is_empty,
    is_equal,
    is_truthy,
    order_key,
    read_date,
    read_duration,
    to_text,
)

Arguments = Sequence[Any]

MAX_ITEMS = 10_000
"""Of a list that an expression makes."""
_MAX_EXACT = 2**53
"""From here on a float is a whole number."""

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
_DAYS = (
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
)
_FORMAT = re.compile(
    r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|DD|D|dddd|ddd|HH|H|hh|h|mm|ss|A"
)
_FORMATS: dict[str, Callable[[datetime.datetime], str]] = {
    "YYYY": lambda moment: f"{moment.year:04}",
    "YY": lambda moment: f"{moment.year % 100:02}",
    "MMMM": lambda moment: _MONTHS[moment.month - 1],
    "MMM": lambda moment: _MONTHS[moment.month - 1][:3],
    "MM": lambda moment: f"{moment.month:02}",
    "M": lambda moment: str(moment.month),
    "DD": lambda moment: f"{moment.day:02}",
    "D": lambda moment: str(moment.day),
    "dddd": lambda moment: _DAYS[moment.weekday()],
    "ddd": lambda moment: _DAYS[moment.weekday()][:3],
    "HH": lambda moment: f"{moment.hour:02}",
    "H": lambda moment: str(moment.hour),
    "hh": lambda moment: f"{moment.hour % 12 or 12:02}",
    "h": lambda moment: str(moment.hour % 12 or 12),
    "mm": lambda moment: f"{moment.minute:02}",
    "ss": lambda moment: f"{moment.second:02}",
    "A": lambda moment: "AM" if moment.hour < 12 else "PM",
}


def call_global(name: str, given: Arguments) -> Any:
    """Return what the function *name* makes of *given*; see `evaluation` for others."""
    first = given[0] if given else None
    match name:
        case "date":
            return (
                first if isinstance(first, datetime.date) else read_date(to_text(first))
            )
        case "duration":
            return read_duration(to_text(first))
        case "empty":
            return is_empty(first)
        case "not":
            return not is_truthy(first)
        case "escapeHTML":
            return html.escape(to_text(first))
        case "image":
            return first
        case "list":
            if first is None:
                return []
            return first if isinstance(first, list) else [first]
        case "max" | "min":
            numbers = [
                number for value in given if (number := _number(value)) is not None
            ]
            return (max if name == "max" else min)(numbers, default=None)
        case "number":
            return _number(first)
    return None


def call_method(name: str, on: Any, given: Arguments) -> Any:
    """Return what the function *name* of *on* gives; None where there is no such."""
    match name:
        case "isEmpty":
            return is_empty(on)
        case "isTruthy":
            return is_truthy(on)
        case "isType":
            return bool(given) and _type(on) == to_text(given[0])
        case "toString":
            return to_text(on)
    if isinstance(on, bool) or on is None:
        return None
    if isinstance(on, str | Link):
        return _of_text(name, on if isinstance(on, str) else to_text(on), given)
    if isinstance(on, int | float):
        return _of_number(name, on, given)
    if isinstance(on, datetime.date):
        return _of_date(name, on, given)
    if isinstance(on, list):
        return _of_list(name, on, given)
    if isinstance(on, dict):
        return {"keys": list(on), "values": list(on.values())}.get(name)
    return None


def member(name: str, on: Any) -> Any:
    """Return the member *name* of a value that is no file."""
    if isinstance(on, dict):
        return on.get(name)
    if name == "length" and isinstance(on, str | list):
        return len(on)
    if isinstance(on, datetime.date) and name in (
        *("year", "month", "day", "hour", "minute", "second"),
    ):
        return getattr(as_moment(on), name)
    return None


def contains(on: Any, value: Any) -> bool:
    """Return whether a text or a list has *value* in it."""
    if isinstance(on, list):
        return any(is_equal(item, value) for item in on)
    if isinstance(on, str | Link):
        return to_text(value) in to_text(on)
    return False


def _of_text(name: str, on: str, given: Arguments) -> Any:
    first = to_text(given[0]) if given else ""
    match name:
        case "contains":
            return first in on
        case "containsAll":
            return all(to_text(value) in on for value in given)
        case "containsAny":
            return any(to_text(value) in on for value in given)
        case "startsWith":
            return on.startswith(first)
        case "endsWith":
            return on.endswith(first)
        case "lower":
            return on.lower()
        case "upper":
            return on.upper()
        case "title":
            return on.title()
        case "trim":
            return on.strip()
        case "reverse":
            return on[::-1]
        case "repeat":
            # No more than is shown: all of it might not fit into memory.
            count = min(max(_whole(given, 0), 0), MAX_TEXT // max(len(on), 1) + 1)
            return (on * count)[:MAX_TEXT]
        case "replace":
            new = to_text(given[1]) if len(given) > 1 else ""
            # Only a longer text makes more of it.
            count = MAX_TEXT // len(new) + 1 if len(new) > len(first) else -1
            return on.replace(first, new, count)[:MAX_TEXT] if first else on
        case "slice":
            return on[_slice(given)]
        case "split":
            words: list[Any] = on.split(first) if first else list(on)
            return words[: _whole(given, 1)] if len(given) > 1 else words
    return None


def _of_number(name: str, on: float, given: Arguments) -> Any:
    if not abs(on) <= MAX_NUMBER:
        return None
    match name:
        case "abs":
            return abs(on)
        case "ceil":
            return math.ceil(on)
        case "floor":
            return math.floor(on)
        case "round":
            digits = min(max(_whole(given, 0), 0), 15)
            scaled = abs(on) * 10**digits
            if scaled >= _MAX_EXACT:  # it has no such digits
                return on
            # Away from zero, as people do, and not to the even one.
            return math.copysign(math.floor(scaled + 0.5) / 10**digits, on)
        case "toFixed":
            return f"{on:.{min(max(_whole(given, 0), 0), 15)}f}"
    return None


def _of_date(name: str, on: datetime.date, given: Arguments) -> Any:
    moment = as_moment(on)
    match name:
        case "date":
            return moment.date()
        case "time":
            return moment.strftime("%H:%M:%S")
        case "format":
            text = to_text(given[0])[:200] if given else "YYYY-MM-DD"
            return _FORMAT.sub(
                lambda found: (
                    _FORMATS[found[0]](moment) if found[0] in _FORMATS else found[1]
                ),
                text,
            )
    return None


def _of_list(name: str, on: list[Any], given: Arguments) -> Any:
    match name:
        case "contains":
            return bool(given) and contains(on, given[0])
        case "containsAll":
            return all(contains(on, value) for value in given)
        case "containsAny":
            return any(contains(on, value) for value in given)
        case "flat":
            parts: list[Any] = []
            for item in on:
                parts += item if isinstance(item, list) else [item]
                if len(parts) > MAX_ITEMS:
                    break
            return parts[:MAX_ITEMS]
        case "join":
            sign = to_text(given[0]) if given else ", "
            return _joined(sign, on)
        case "reverse":
            return on[::-1]
        case "slice":
            return on[_slice(given)]
        case "sort":
            return sorted(on, key=order_key)
        case "unique":
            kept: list[Any] = []
            for item in on[:1000]:
                if not contains(kept, item):
                    kept.append(item)
            return kept
    return None


def _joined(sign: str, items: list[Any]) -> str:
    """Return *items* with *sign* between them, and no more than is shown."""
    parts: list[str] = []
    length = 0
    for item in items:
        parts.append(to_text(item))
        length += len(parts[-1]) + len(sign)
        if length > MAX_TEXT + len(sign):
            break
    return sign.join(parts)[:MAX_TEXT]


def _type(value: Any) -> str:
    for kinds, name in (
        (type(None), "null"),
        (bool, "boolean"),
        ((int, float), "number"),
        (str, "string"),
        (datetime.date, "date"),
        (list, "list"),
        (Link, "link"),
        (File, "file"),
        (Duration, "duration"),
    ):
        if isinstance(value, kinds):
            return name
    return "object"


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date):
        moment = as_moment(value).replace(tzinfo=datetime.UTC)
        return int(moment.timestamp() * 1000)
    try:
        number = float(to_text(value)[:100])
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def _whole(given: Arguments, place: int) -> int:
    """Return an argument as a whole number; 0 without."""
    number = _number(given[place]) if len(given) > place else 0
    return int(min(max(number or 0, -1_000_000), 1_000_000))


def _slice(given: Arguments) -> slice:
    return slice(_whole(given, 0), _whole(given, 1) if len(given) > 1 else None)
