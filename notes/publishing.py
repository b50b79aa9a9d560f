"""The publishing rule: the one place that says whether a note is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FALSE = {"false", "no", "off", "n", "0"}
_TRUE = {"true", "yes", "on", "y", "1"}


def is_published(properties: Mapping[str, Any]) -> bool:
    """
    Return whether a note with these properties is published.

    `publish: false` or `draft: true` keeps it back. Names and words are compared
    without case, and quoted words and 0 and 1 count like booleans: whoever wrote
    `Draft: "yes"` meant it. Anything else, an empty value too, publishes.
    """
    for name, value in properties.items():
        word = str(value).strip().casefold()
        match name.casefold():
            case "publish" if word in _FALSE:
                return False
            case "draft" if word in _TRUE:
                return False
    return True
