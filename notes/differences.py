"""
Differences: what makes the next Site of the last one, in another process too.

A difference holds only what is not equal in both; what it leaves alone is, in the
Site that `apply` returns, the very object that was there before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

from notes.bases.selecting import Answers
from notes.layers import Layers, difference, replaced
from notes.links import Resolver
from notes.site import Site

Difference: TypeAlias = tuple[Any, ...]
"""Its kind, and what belongs to that; () where nothing differs. Can be pickled."""

_WHOLE, _ITEMS, _FIELDS, _PATHS = range(4)

# Made by each process when it is asked for.
_NOT_TOLD = frozenset({"documents", "answers"})


def find_difference(old: Site, new: Site) -> Difference:
    """Return what makes *new* of *old*."""
    return _find(old, new)


def apply_difference(site: Site, found: Difference) -> Site:
    """Return the Site that *found* makes of *site*, which must be what it began from."""
    if not found:
        return site
    made: Site = _apply(site, found)
    return dataclasses.replace(made, documents={}, answers=Answers())


def _find(old: Any, new: Any) -> Difference:
    if new is old:
        return ()
    if isinstance(new, Mapping):
        gone, changed = difference(old, new)
        return (_ITEMS, gone, changed) if gone or changed else ()
    if isinstance(new, Resolver):
        gone, added = old.difference(new)
        return (_PATHS, gone, added) if gone or added else ()
    if dataclasses.is_dataclass(new) and type(new) is type(old):
        found = {
            field.name: below
            for field in dataclasses.fields(new)
            if field.name not in _NOT_TOLD
            and (below := _find(getattr(old, field.name), getattr(new, field.name)))
        }
        return (_FIELDS, found) if found else ()
    return () if new == old else (_WHOLE, new)


def _apply(old: Any, found: Difference) -> Any:
    if not found:
        return old
    kind, *rest = found
    if kind == _WHOLE:
        (made,) = rest
    elif kind == _PATHS:
        made = old.changed(*rest)
    elif kind == _FIELDS:
        fields = {
            name: _apply(getattr(old, name), below) for name, below in rest[0].items()
        }
        made = dataclasses.replace(old, **fields)
    elif isinstance(old, Layers):
        made = replaced(old, *rest)
    else:
        gone, changed = rest
        made = old | changed
        for key in gone:
            del made[key]
    return made
