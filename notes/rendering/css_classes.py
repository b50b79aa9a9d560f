"""Classes that a note asks for, as `cssclasses` in its frontmatter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notes.frontmatter import named

MAX_CLASSES = 20

_CLASS = re.compile(r"-?[^\W\d-][\w-]{0,99}")


def classes_of(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes in a note's frontmatter that are names, none twice."""
    found: dict[str, None] = {}
    for key in ("cssclasses", "cssclass"):
        value = named(properties, key)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str):
                names = part.replace(",", " ").split()
                found.update(dict.fromkeys(filter(_CLASS.fullmatch, names)))
    return tuple(found)[:MAX_CLASSES]
