"""
Layers: a mapping of thousands of items, and the next one that differs by a few.

A copy would touch each item, which takes its time, and in a forked worker more
memory than the copy: what a process touches it no longer shares with the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

# An upper layer of more than this part of the lower one is not worth keeping apart.
_MAX_PART = 8
_ALWAYS_KEPT = 100

_GONE: Any = object()
_BELOW: Any = object()


class Layers(Mapping[K, V]):
    """A mapping that never changes: a lower layer, and what differs from it above."""

    __slots__ = ("_length", "_lower", "_upper")

    def __init__(self, items: Mapping[K, V]) -> None:
        self._lower: dict[K, V] = dict(items)
        self._upper: dict[K, V] = {}
        self._length = len(self._lower)

    def changed(self, gone: Iterable[K], new: Mapping[K, V]) -> Layers[K, V]:
        """Return what this is without *gone* and with *new*."""
        upper = dict(self._upper)
        length = self._length
        for key in gone:
            if upper.get(key, self._lower.get(key, _GONE)) is not _GONE:
                upper[key] = _GONE
                length -= 1
        for key, value in new.items():
            if upper.get(key, self._lower.get(key, _GONE)) is _GONE:
                length += 1
            upper[key] = value
        result: Layers[K, V] = Layers.__new__(Layers)
        result._lower = self._lower
        result._upper = upper
        result._length = length
        if len(upper) > _ALWAYS_KEPT + len(self._lower) // _MAX_PART:
            return Layers(result)
        return result

    def has_base_of(self, other: Layers[K, V]) -> bool:
        """Return whether both have one and the same lower layer."""
        return self._lower is other._lower

    def upper_keys(self) -> AbstractSet[K]:
        """Return the keys of the upper layer, also of what is gone."""
        return self._upper.keys()

    def __getitem__(self, key: K) -> V:
        value: V = self._upper.get(key, _BELOW)
        if value is _BELOW:
            return self._lower[key]
        if value is _GONE:
            raise KeyError(key)
        return value

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V | T, /) -> V | T: ...
    def get(self, key: K, default: Any = None, /) -> Any:
        """Return the value of *key*, or *default*."""
        value = self._upper.get(key, _BELOW)
        if value is _BELOW:
            return self._lower.get(key, default)
        return default if value is _GONE else value

    def __contains__(self, key: object) -> bool:
        return self._upper.get(key, self._lower.get(key, _GONE)) is not _GONE  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[K]:
        for key in self._lower:
            if key not in self._upper:
                yield key
        for key, value in self._upper.items():
            if value is not _GONE:
                yield key

    def __len__(self) -> int:
        return self._length

    def __reduce__(self) -> tuple[Any, ...]:
        return Layers, (dict(self),)


def difference(old: Mapping[K, V], new: Mapping[K, V]) -> tuple[list[K], dict[K, V]]:
    """
    Return the keys that *new* lacks, and the items that it has otherwise.

    What `replaced` makes *new* of, again. Of two layers above one and the same it
    looks at what differs only.
    """
    if old is new:
        return [], {}
    if isinstance(old, Layers) and isinstance(new, Layers) and old.has_base_of(new):
        keys = old.upper_keys() | new.upper_keys()
    else:
        keys = old.keys() | new.keys()
    gone: list[K] = []
    changed: dict[K, V] = {}
    for key in keys:
        before, after = old.get(key, _GONE), new.get(key, _GONE)
        if after is before:
            continue
        if after is _GONE:
            gone.append(key)
        elif after != before:
            changed[key] = after
    return gone, changed


def replaced(
    old: Mapping[K, V], gone: Iterable[K], new: Mapping[K, V]
) -> Mapping[K, V]:
    """Return what *old* is without *gone* and with *new*."""
    layers = old if isinstance(old, Layers) else Layers(old)
    return layers.changed(gone, new)


def differing(old: Mapping[K, V], new: Mapping[K, V]) -> set[K]:
    """Return the keys whose values are not equal in both; quick for layers."""
    gone, changed = difference(old, new)
    return {*gone, *changed}
