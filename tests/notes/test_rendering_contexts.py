"""Contexts: the words around a link."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notes.rendering.parts import is_balanced
from tests.notes.rendering_vault import Vault


def context(body: str) -> str:
    note = Vault({"Note.md": body, "a.md": "", "b.md": ""}).render("Note.md")
    return dict(zip(note.links, note.contexts, strict=True))["a.md"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[[a]]", ""),
        ("- [[a]]\n- [[b]]", ""),
        ("See [[a]].", "See <b>a</b>."),
        ("See [[a|this *one*]] & *that*.", "See <b>this one</b> &amp; that."),
        ("first\n\nSee [it](a.md)\n\nlast", "See <b>it</b>"),
        ("- one\n- two [[a]]\n- three", "two <b>a</b>"),
        ("| x | y |\n|---|---|\n| [[a]] now | z |", "<b>a</b> now"),
        ("[[b]] and [[a]] and [[b]]", "b and <b>a</b> and b"),
        ("[[a]]\n\nLater [[a]] again", "Later <b>a</b> again"),
        (
            "`[[x]]` is [[a]] `<b>`",
            "<code>[[x]]</code> is <b>a</b> <code>&lt;b&gt;</code>",
        ),
        ("%% secret [[a]] secret %%", ""),
        ("%% secret %% open [[a]]", "open <b>a</b>"),
        ("$x^2$ in [[a]]", "x^2 in <b>a</b>"),
        ("![[a]]", ""),
        ("\ue0c0 x [[a]]", "x <b>a</b>"),
    ],
)
def test_the_words_around_a_link(body: str, expected: str) -> None:
    assert context(body) == expected


def test_long_texts_are_cut_at_words() -> None:
    found = context(f"{'before ' * 50}[[a]]{' after' * 50}")
    front, _, back = found.partition("<b>a</b>")
    assert front.startswith("…before")
    assert back.endswith("after…")
    assert len(found) < 230
    assert context("字" * 300 + "[[a]]").startswith("…字")


def test_code_that_is_cut_is_code_still() -> None:
    found = context(f"`{'word ' * 60}` [[a]] `{'word ' * 60}`")
    assert found.startswith("<code>…")
    assert found.endswith("</code>")
    assert is_balanced(found)


_PARTS = [
    "[[a]]",
    "[[b|x]]",
    "`c`",
    "*",
    "**",
    "<b>",
    "</b>",
    "<code>",
    "$x$",
    "-",
    "&lt;",
    "==m==",
    "%%",
    "<p>",
    "字字",
    "word",
]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([*_PARTS, " ", "\n"]), max_size=40))
def test_a_context_is_balanced_whatever_the_note(parts: list[str]) -> None:
    note = Vault({"Note.md": "".join(parts), "a.md": "", "b.md": ""}).render("Note.md")
    assert len(note.contexts) == len(note.links)
    for found in note.contexts:
        assert is_balanced(found)
        assert "<p" not in found
