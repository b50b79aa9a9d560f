"""Classes of a note's article: names, and nothing that is not one."""

from __future__ import annotations

import pytest

from notes.rendering import parse
from tests.notes.rendering_vault import source


@pytest.mark.parametrize(
    ("properties", "classes"),
    [
        ({"cssclasses": ["wide", "a-b"]}, ("wide", "a-b")),
        ({"cssclasses": "wide cards, wide"}, ("wide", "cards")),
        ({"cssclass": "wide"}, ("wide",)),
        ({"cssclasses": ["a b"], "cssclass": ["c"]}, ("a", "b", "c")),
        ({"cssclasses": ['a"b', "<b>", "1", "-", "é", "a" * 101]}, ("é",)),
        ({"cssclasses": [None, 1, ["x"], {"y": 1}]}, ()),
        ({"cssclasses": None}, ()),
        (
            {"cssclasses": [f"c{n}" for n in range(99)]},
            tuple(f"c{n}" for n in range(20)),
        ),
        ({}, ()),
    ],
)
def test_classes(properties, classes):
    assert parse(source("x", properties=properties)).classes == classes
