"""Links resolve as Obsidian resolves them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notes.links import Resolver, is_note, lookup_key

VAULT = Resolver(
    notes=[
        "Note.md",
        "a/Deep.md",
        "b/Deep.md",
        "z/Deep.md",
        "a/b/Only here.md",
        "a/README.md",
        "README.md",
        "Version 1.5.md",
        "image.png.md",
        "Crème brûlée.md",
        "ИНДЕКС.md",
        "folder/case.md",
        "folder/Case.md",
        "LICENSE.md",
    ],
    attachments=["img/image.png", "a/plan.pdf", "LICENSE"],
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("Note", "Note.md"),
        ("note", "Note.md"),
        ("Note.md", "Note.md"),
        ("NOTE.MD", "Note.md"),
        (" Note ", "Note.md"),
        ("/Note", "Note.md"),
        ("Deep", "a/Deep.md"),
        ("b/Deep", "b/Deep.md"),
        ("b/Only here", "a/b/Only here.md"),
        ("/b/Only here", None),
        ("ly here", None),
        ("b/x/../Only here", "a/b/Only here.md"),
        ("README", "README.md"),
        ("Version 1.5", "Version 1.5.md"),
        ("image.png", "img/image.png"),
        ("/image.png", "image.png.md"),
        ("img/image.png", "img/image.png"),
        ("plan.pdf", "a/plan.pdf"),
        ("plan", None),
        ("LICENSE", "LICENSE.md"),
        ("индекс", "ИНДЕКС.md"),
        (unicodedata.normalize("NFD", "crème brûlée"), "Crème brûlée.md"),
        ("folder/case", "folder/case.md"),
        ("folder/Case", "folder/Case.md"),
        ("folder/CASE", "folder/Case.md"),
        ("a/", None),
        ("", None),
        (".", None),
        ("..", None),
        ("../Note", None),
        ("../../etc/passwd", None),
    ],
)
def test_target_means(target, expected):
    assert VAULT.resolve(target, "Start.md") == expected


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [
        ("./Deep", "b/Source.md", "b/Deep.md"),
        ("./Deep", "c/Source.md", None),
        ("../b/Deep.md", "z/Source.md", "b/Deep.md"),
        ("../README", "a/Source.md", "README.md"),
        ("./README", "a/Source.md", "a/README.md"),
        ("../../README", "a/Source.md", None),
        ("../img/image.png", "a/Source.md", "img/image.png"),
    ],
)
def test_relative_target_means(target, source, expected):
    assert VAULT.resolve(target, source) == expected


def test_attachment_is_found_by_its_name_when_no_note_has_it():
    assert Resolver([], ["x/image.png"]).resolve("IMAGE.PNG", "a.md") == "x/image.png"


def test_name_of_an_attachment_means_the_attachment_before_a_note_called_so():
    vault = Resolver(["deep/image.png.md"], ["very/deep/image.png"])
    assert vault.resolve("image.png", "a.md") == "very/deep/image.png"


def test_is_note():
    assert [is_note(path) for path in ("a.md", "b/A.MD", "md", "a.md.png")] == [
        True,
        True,
        False,
        False,
    ]


NAMES = st.sampled_from(["a", "A", "b.md", "ä.md", "Ä.md", "a.md", "A.md", "c.png"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.lists(
    st.sampled_from(["a", "A", "b", "ä", "a.md", "c.png", ".", "..", ""]), max_size=4
).map("/".join)


@given(st.sets(PATHS), st.sets(PATHS), TARGETS, PATHS)
def test_only_paths_with_the_lookup_key_change_what_a_target_means(
    paths, others, target, source
):
    key = lookup_key(target)
    unrelated = {path for path in others if lookup_key(path) != key}
    before = Resolver(paths, []).resolve(target, source)
    assert Resolver(paths | unrelated, []).resolve(target, source) == before
    assert before is None or lookup_key(before) == key


@given(st.sets(PATHS), PATHS)
def test_each_path_means_itself(paths, source):
    resolver = Resolver(paths, [])
    for path in paths:
        if is_note(path):
            assert resolver.resolve("/" + path, source) == path


@given(st.sets(PATHS), TARGETS, PATHS)
def test_order_in_which_paths_are_given_does_not_matter(paths, target, source):
    forwards = Resolver(sorted(paths), [])
    backwards = Resolver(sorted(paths, reverse=True), [])
    assert forwards.resolve(target, source) == backwards.resolve(target, source)


_PATHS = st.sampled_from(
    [
        f"{folder}{name}"
        for folder in ("", "x/", "X/", "x/y/")
        for name in ("a.md", "A.md", "a.png", "é.md")
    ]
)


@given(st.sets(_PATHS), st.lists(st.tuples(st.sets(_PATHS), st.sets(_PATHS))))
def test_a_changed_resolver_is_the_one_that_is_made_anew(
    paths: set[str], changes: list[tuple[set[str], set[str]]]
) -> None:
    resolver = Resolver(paths, ())
    for gone, new in changes:
        before, old = resolver, Resolver(paths, ())
        resolver = resolver.changed(gone, new)
        paths = (paths - gone) | new
        for made, expected in ((resolver, Resolver(paths, ())), (before, old)):
            for target in ("a", "A", "x/a", "y/a", "a.png", "é", "/a", "./a"):
                assert made.resolve(target, "x/from.md") == expected.resolve(
                    target, "x/from.md"
                )
