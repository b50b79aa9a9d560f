"""Layers: as a dictionary that is copied and changed, whatever the changes."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notes import layers
from notes.layers import Layers, difference, replaced

_KEYS = st.integers(0, 8)


@given(
    st.dictionaries(_KEYS, st.none() | st.integers()),
    st.lists(
        st.tuples(st.sets(_KEYS), st.dictionaries(_KEYS, st.none() | st.integers()))
    ),
    st.sampled_from([0, 3, 100]),
)
def test_layers_are_what_a_changed_copy_would_be(
    first: dict[int, int | None],
    changes: list[tuple[set[int], dict[int, int | None]]],
    kept: int,
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layers, "_ALWAYS_KEPT", kept)
        expected = dict(first)
        made = Layers(first)
        for gone, new in changes:
            before, was = made, dict(expected)
            for key in gone:
                expected.pop(key, None)
            expected.update(new)
            made = made.changed(gone, new)
            assert dict(before) == was
            assert made == expected
            assert len(made) == len(expected)
            assert made.keys() == expected.keys()
            for key in range(9):
                assert (key in made) == (key in expected)
                assert made.get(key, "none") == expected.get(key, "none")
                if key not in expected:
                    with pytest.raises(KeyError):
                        made[key]
            for old in (before, was):
                apart = difference(old, made)
                assert replaced(old, *apart) == expected
                assert set(apart[0]) == old.keys() - expected.keys()
                # Small numbers and None are one object each.
                assert apart[1] == {
                    key: value
                    for key, value in expected.items()
                    if old.get(key, "none") != value
                }
            assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own


def test_a_small_change_leaves_the_lower_layer_where_it_is() -> None:
    first = Layers(dict.fromkeys(range(10_000), 0))
    second = first.changed([1], {2: 1})
    assert second._lower is first._lower
    many = dict.fromkeys(range(2_000), 1)
    assert second.changed((), many)._lower is not first._lower


def test_a_dictionary_is_taken_as_it_is() -> None:
    assert replaced({1: 1, 2: 2}, [2, 9], {3: 3}) == {1: 1, 3: 3}
