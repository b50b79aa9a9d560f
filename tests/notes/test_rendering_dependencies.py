"""A note says what it depends on: what it does not name does not change it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from notes.links import is_note, lookup_key
from tests.notes.rendering_vault import Vault

PATHS = ["a.md", "b.md", "d/a.md", "d/b.md", "d/e/c.md", "i.png", "d/i.png"]
BODIES = st.lists(
    st.sampled_from(
        [
            *("[[a]]", "[[b|x]]", "[[d/b]]", "[[a#H]]", "[[b#^id]]", "[[#H]]", "[[c]]"),
            *("![[a]]", "![[b#H]]", "![[d/a]]", "![[c]]", "![[b#^id]]", "![[i.png]]"),
            *("[x](a.md)", "[x](../b.md#h)", "[x](e/c.md)", "![](i.png)", "[x](i.png)"),
            *(
                "# T",
                "# U",
                "## H",
                "### K",
                "text",
                "text ^id",
                "- item",
                "- item ^id",
            ),
            *("<div>", "</div>", "[^1]", "[^1]: note [[b]]"),
        ]
    ),
    max_size=8,
).map("\n\n".join)
VAULTS = st.dictionaries(st.sampled_from(PATHS), BODIES, min_size=1)


def _vault(files, urls=None):
    notes = {path: body for path, body in files.items() if is_note(path)}
    return Vault(notes, set(files) - set(notes), urls)


def _render(vault):
    return {path: vault.render(path) for path in vault.notes}


@given(VAULTS, st.sampled_from(PATHS), BODIES)
@settings(max_examples=300, deadline=None)
def test_note_that_another_does_not_read_does_not_change_it(files, changed, body):
    files = {changed: "", **files}
    before = _render(_vault(files))
    after = _render(_vault({**files, changed: body}))
    for path, note in before.items():
        if path != changed and changed not in note.contents:
            assert after[path] == note


@given(VAULTS, st.sampled_from(PATHS), BODIES)
@settings(max_examples=300, deadline=None)
def test_path_that_another_does_not_look_up_does_not_change_it(files, changed, body):
    without = {path: text for path, text in files.items() if path != changed}
    before = _render(_vault(without))
    after = _render(_vault({**without, changed: body}))
    for path, note in before.items():
        if lookup_key(changed) not in note.lookups:
            assert after[path] == note
    for path, note in after.items():
        if path != changed and lookup_key(changed) not in note.lookups:
            assert before[path] == note


@given(VAULTS, st.sampled_from(PATHS))
@settings(max_examples=300, deadline=None)
def test_address_that_another_does_not_use_does_not_change_it(files, changed):
    before = _render(_vault(files))
    after = _render(_vault(files, {changed: "elsewhere"}))
    for path, note in before.items():
        if changed not in note.addresses:
            assert after[path] == note


def test_dependencies_are_those_of_embedded_notes_too():
    vault = Vault(
        {
            "a.md": "![[b]]",
            "b.md": "[[c#H]] ![[i.png]] [[gone]]",
            "c.md": "# H",
            "d.md": "",
        },
        ["i.png"],
    )
    note = vault.render("a.md")
    assert note.lookups == {"b", "c", "i.png", "gone"}
    assert note.contents == {"b.md", "c.md", "i.png"}
    assert note.addresses == {"b.md", "c.md", "i.png"}
    assert note.dependencies == note.lookups | note.contents | note.addresses


def test_link_without_fragment_does_not_read_the_note():
    note = Vault({"a.md": "[[b]] [x](b.md)", "b.md": ""}).render("a.md")
    assert note.contents == frozenset()
    assert note.addresses == {"b.md"}
