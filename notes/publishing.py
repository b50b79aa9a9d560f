"""The publishing rule: the one place that says whether a note is published, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from notes.dates import as_moment, not_before

_FALSE = {"false", "no", "off", "n", "0"}
_TRUE = {"true", "yes", "on", "y", "1"}

ALWAYS = datetime.min.replace(tzinfo=UTC)
"""From when on a note is published that names no time."""


def published_from(properties: Mapping[str, Any]) -> datetime | None:
    """
    Return from when on a note with these properties is published; None for never.

    `publish: false` or `draft: true` keeps it back. Names and words are compared
    without case, and quoted words and 0 and 1 count like booleans: whoever wrote
    `Draft: "yes"` meant it. `date` keeps it back till then; no other date does, since
    what `created` says of a clipped or copied text need not be true here. Anything
    else, an empty value too, publishes.
    """
    start = ALWAYS
    for name, value in properties.items():
        word = str(value).strip().casefold()
        match name.casefold():
            case "publish" if word in _FALSE:
                return None
            case "draft" if word in _TRUE:
                return None
            case "date":
                start = max(start, not_before(value) or ALWAYS)
    return start


def is_published(properties: Mapping[str, Any]) -> bool:
    """Return whether a note with these properties is published now."""
    start = published_from(properties)
    return start is not None and start <= timezone.now()


def date_problem(properties: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the `date` of a note that is not kept back anyway."""
    if published_from(properties) is None:
        return None
    for name, value in properties.items():
        if name.casefold() != "date" or value is None or value == "":
            continue
        moment = as_moment(value)
        if moment is None:
            return f"{name}: {value!r} is no date, as 2026-12-24: it keeps nothing back"
        if moment != not_before(value):
            return (
                f"{name}: {value!r} has no time, as 18:30 or 18:30+01:00, after its "
                "day: the note waits two days longer"
            )
    return None
