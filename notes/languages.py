"""Languages: how notes and sites name the one that they are written in."""

from __future__ import annotations

import re
from typing import TypeGuard

_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,5}")


def is_language(value: object) -> TypeGuard[str]:
    """Return whether *value* is a language tag, and not 'English' in words."""
    return isinstance(value, str) and _TAG.fullmatch(value) is not None
