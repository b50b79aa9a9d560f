"""
Values: what expressions work on.

None, bool, int, float, str, date, datetime (without a zone), list and dict, and the
kinds below. None of the functions raises for any of them.
"""

from __future__ import annotations

import contextlib
import datetime
import re
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 10_000
"""Characters; a longer text that an expression makes is cut."""
MAX_NUMBER = 1e300
"""Nothing is calculated with a larger one: whole numbers of YAML have no end."""
_MAX_DEPTH = 4
"""Of lists in lists: each may have the next many times over."""
WIKILINK = re.compile(r"!?\[\[([^\[\]|#]*)(#[^\[\]|]*)?(?:\|([^\[\]]*))?\]\]")
_COMMENT = re.compile(r"%%.*?%%", re.DOTALL)
_DURATION = re.compile(r"\s*([+-]?\d{1,9}(?:\.\d{1,6})?)\s*([A-Za-z]+)")
_UNITS = {
    "y": (12, 0),
    "year": (12, 0),
    "M": (1, 0),
    "month": (1, 0),
    "w": (0, 604_800),
    "week": (0, 604_800),
    "d": (0, 86_400),
    "day": (0, 86_400),
    "h": (0, 3_600),
    "hour": (0, 3_600),
    "m": (0, 60),
    "minute": (0, 60),
    "s": (0, 1),
    "second": (0, 1),
}
"""Months and seconds of each unit of time."""
_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?"
    r"(?:Z|[+-]\d{2}:?\d{2})?"
)


@dataclass(frozen=True, slots=True)
class File:
    """A file of the vault that readers can see, by its path."""

    path: str


@dataclass(frozen=True, slots=True)
class Row(File):
    """A file whose members are its properties: `note` and `this`."""


@dataclass(frozen=True, slots=True)
class Link:
    """
    A link in a property.

    Attributes:
        target: as written, without fragment.
        display: the words; '' without.
        path: what it means, of what readers can see; None for nothing.
    """

    target: str
    display: str
    path: str | None


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time."""

    months: int
    seconds: float


def read_link(text: str) -> tuple[str, str] | None:
    """Return the target and the words of *text*, if it is a wikilink and no more."""
    match = WIKILINK.fullmatch(text.strip())
    if match is None or not (match[1].strip() or match[2]):
        return None
    return match[1].strip().removesuffix("\\"), (match[3] or "").strip()


def read_duration(text: str) -> Duration | None:
    """Return *text*, as '1d' or '2 weeks', as a duration."""
    months = seconds = 0.0
    end = 0
    while match := _DURATION.match(text, end):
        unit = match[2] if match[2] in _UNITS else match[2].removesuffix("s")
        if unit not in _UNITS:
            return None
        amount = float(match[1])
        months += amount * _UNITS[unit][0]
        seconds += amount * _UNITS[unit][1]
        end = match.end()
    if not end or text[end:].strip():
        return None
    return Duration(int(months), seconds)


def read_date(text: str) -> datetime.date | None:
    """Return *text* as a date, or a date with a time."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    numbers = [int(part) for part in match.groups() if part is not None]
    try:
        if len(numbers) == 3:
            return datetime.date(*numbers)
        return datetime.datetime(*numbers)  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None


def as_moment(value: datetime.date) -> datetime.datetime:
    """Return *value* as a moment without a zone; a day is its midnight."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            # Not on the first or the last day of the calendar.
            with contextlib.suppress(OverflowError):
                value = value.astimezone(datetime.UTC)
        return value.replace(tzinfo=None)
    return datetime.datetime(value.year, value.month, value.day)  # noqa: DTZ001


def shifted(value: datetime.date, by: Duration, sign: int) -> datetime.date | None:
    """Return *value* later by *by*, or earlier when *sign* is -1; None off the calendar."""
    moment = as_moment(value)
    months = moment.year * 12 + moment.month - 1 + sign * by.months
    year, month = divmod(months, 12)
    day = moment.day
    while True:
        try:
            moment = moment.replace(year=year, month=month + 1, day=day)
            moment += datetime.timedelta(seconds=sign * by.seconds)
            break
        except (ValueError, OverflowError):
            # 31 January and a month is the last of February.
            if day <= 28:
                return None
            day -= 1
    is_day = not isinstance(value, datetime.datetime)
    return moment.date() if is_day and moment.time() == datetime.time() else moment


def is_empty(value: Any) -> bool:
    """Return whether there is nothing in *value*."""
    return value is None or (isinstance(value, str | list | dict) and not value)


def is_truthy(value: Any) -> bool:
    """Return whether *value* counts as true."""
    if isinstance(value, str | bool | int | float):
        return bool(value)
    return value is not None and not (isinstance(value, list) and not value)


def is_equal(left: Any, right: Any, depth: int = 0) -> bool:
    """Return whether two values are the same; links and files by what they mean."""
    if left is right or depth > _MAX_DEPTH:
        return left is right
    if isinstance(left, Link | File) or isinstance(right, Link | File):
        return _meant(left) == _meant(right)
    if isinstance(left, datetime.date) and isinstance(right, datetime.date):
        return as_moment(left) == as_moment(right)
    if isinstance(left, datetime.date) and isinstance(right, str):
        return is_equal(right, left)
    if isinstance(left, str) and isinstance(right, datetime.date):
        read = read_date(left)
        return read is not None and is_equal(read, right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(
            is_equal(one, other, depth + 1)
            for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _meant(value: Any) -> tuple[str, str] | None:
    """Return what a link, file or name means, for comparison."""
    if isinstance(value, File):
        return "path", value.path
    if isinstance(value, Link):
        if value.path is not None:
            return "path", value.path
        return "name", value.target.casefold()
    if isinstance(value, str):
        read = read_link(value)
        return "name", (read[0] if read else value).casefold()
    return None


def order_key(value: Any) -> tuple[int, Any]:
    """Return what *value* is sorted by among values of any kind."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, bool | int | float):
        return 0, value
    if isinstance(value, datetime.date):
        return 1, as_moment(value)
    if isinstance(value, Duration):
        return 2, value.months * 2_629_746 + value.seconds
    text = to_text(value)
    return 3, (text.casefold(), text)


def to_text(value: Any, depth: int = 0) -> str:
    """Return *value* as text; what nests too deep is '…'."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.10g}"
    if isinstance(value, datetime.datetime):
        moment = as_moment(value)
        return moment.strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list | dict) and depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, list):
        texts = [to_text(part, depth + 1) for part in value[:1000]]
        return ", ".join(texts)[:MAX_TEXT]
    if isinstance(value, dict):
        items = list(value.items())[:1000]
        texts = [f"{key}: {to_text(part, depth + 1)}" for key, part in items]
        return ", ".join(texts)[:MAX_TEXT]
    if isinstance(value, File):
        return file_name(value.path)
    if isinstance(value, Link):
        return value.display or value.target
    if isinstance(value, Duration):
        days = value.seconds / 86_400
        months = f"{value.months} months " if value.months else ""
        return f"{months}{to_text(days)} days"
    return str(value)[:MAX_TEXT]


def without_comments(text: str) -> str:
    """Return *text*, of one line or property, without what is for its author alone."""
    return _COMMENT.sub("", text)


def file_name(path: str) -> str:
    """Return the name of a file as its author sees it: a note's has no '.md'."""
    return path.rpartition("/")[2].removesuffix(".md")
