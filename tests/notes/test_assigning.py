"""Assigning: where a reader finds each note, and what leads there."""

from __future__ import annotations

from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st

from notes import assigning
from notes.addresses import folders_above, quote
from notes.assigning import (
    Addresses,
    Turnover,
    Wish,
    assign_addresses,
    change_addresses,
    read_wish,
)
from tests.notes.sites import note


def _assign(files: dict[str, str], attachments: tuple[str, ...] = ()) -> Addresses:
    notes = [note(path, text) for path, text in files.items()]
    return assign_addresses(
        {made.path: read_wish(made) for made in notes if made is not None}, attachments
    )


def _with(*properties: str) -> str:
    return "---\n" + "\n".join(properties) + "\n---\n"


def test_a_note_has_the_address_of_its_path() -> None:
    assert _assign(
        {
            "a.md": "",
            "My Notes/First note.md": "",
            "заметки/Ёж.md": "",
            "100% sure?.md": "",
            "v1.2.md": "",
        }
    ).notes == {
        "a.md": "/a",
        "My Notes/First note.md": "/My-Notes/First-note",
        "заметки/Ёж.md": "/заметки/Ёж",
        "100% sure?.md": "/100%-sure?",
        "v1.2.md": "/v1.2",
    }


def test_the_index_or_readme_speaks_for_its_folder() -> None:
    found = _assign(
        {
            "README.md": "",
            "a/index.md": "",
            "a/README.md": "",
            "b/Readme.md": "",
            "c/x.md": "",
        }
    )
    assert found.notes == {
        "README.md": "/",
        "a/index.md": "/a/",
        "a/README.md": "/a/README",
        "b/Readme.md": "/b/",
        "c/x.md": "/c/x",
    }
    assert found.folders == {"": "/", "a": "/a/", "b": "/b/", "c": "/c/"}
    assert found.owners == {"": "README.md", "a": "a/index.md", "b": "b/Readme.md"}
    assert found.conflicts == ()


def test_permalink_and_slug_are_taken_as_written() -> None:
    assert _assign(
        {
            "x/a.md": _with("permalink: about"),
            "x/b.md": _with("slug: custom-name"),
            "x/c.md": _with("slug: /archive/old-post"),
            "x y/d.md": _with("slug: sub/page with spaces"),
            "e.md": _with("slug: моя-страница"),
            "f.md": _with("permalink: /deep/", "slug: ignored"),
            "g.md": _with("permalink: 2024"),
        }
    ).notes == {
        "x/a.md": "/about",
        "x/b.md": "/x/custom-name",
        "x/c.md": "/archive/old-post",
        "x y/d.md": "/x-y/sub/page with spaces",
        "e.md": "/моя-страница",
        "f.md": "/deep",
        "g.md": "/2024",
    }


def test_an_address_that_is_none_is_ignored() -> None:
    odd = ["https://elsewhere.example/a", "", "..", "//", "[a, b]", "{a: b}", "true"]
    files = {
        f"n{number}.md": _with(f"permalink: {value}")
        for number, value in enumerate(odd)
    }
    assert _assign(files).notes == {path: f"/{path[:-3]}" for path in files}


def test_an_address_never_leaves_the_site() -> None:
    found = _assign(
        {
            "a.md": _with("permalink: //evil.example/x", "aliases: ['//evil.example']"),
            "b.md": _with("permalink: '/\\evil.example'"),
            "c.md": _with("permalink: ../../etc/passwd"),
            "d.md": _with('permalink: "/a\\r\\nSet-Cookie: x"'),
        }
    ).notes
    assert found == {
        "a.md": "/evil.example/x",
        "b.md": "/\\evil.example",
        "c.md": "/etc/passwd",
        "d.md": "/aSet-Cookie: x",
    }
    assert quote(found["b.md"]) == "/%5Cevil.example"


def test_of_two_that_want_an_address_the_first_has_it() -> None:
    found = _assign(
        {
            "a b.md": "",
            "a-b.md": "",
            "b.md": _with("permalink: x"),
            "c.md": _with("permalink: x"),
            "x.md": "",
            "feed.xml.md": "",
            "p.png.md": "",
        },
        ("p.png",),
    )
    assert found.notes == {
        "a b.md": "/a-b",
        "a-b.md": "/a-b-2",
        "b.md": "/x",
        "c.md": "/c",
        "x.md": "/x-2",
        "feed.xml.md": "/feed.xml-2",
        "p.png.md": "/p.png-2",
    }
    assert tuple(map(str, found.conflicts)) == (
        "path='c.md' wanted='/x' given='/c'",
        "path='a-b.md' wanted='/a-b' given='/a-b-2'",
        "path='feed.xml.md' wanted='/feed.xml' given='/feed.xml-2'",
        "path='p.png.md' wanted='/p.png' given='/p.png-2'",
        "path='x.md' wanted='/x' given='/x-2'",
    )


def test_a_permalink_may_be_the_start_page() -> None:
    found = _assign({"README.md": "", "x/home.md": _with("permalink: /")})
    assert found.notes == {"README.md": "/README", "x/home.md": "/"}
    assert found.owners == {"": "x/home.md"}


def test_two_folders_of_one_address_are_told_apart() -> None:
    found = _assign({"a b/index.md": "", "a-b/index.md": ""})
    assert found.folders == {"": "/", "a b": "/a-b/", "a-b": "/a-b-2/"}
    assert found.notes == {"a b/index.md": "/a-b/", "a-b/index.md": "/a-b-2/"}


def test_other_spellings_redirect() -> None:
    found = _assign(
        {
            "My Notes/First note.md": "",
            "old.md": _with("permalink: new"),
            "x/y.md": _with("aliases: [Other name, /z/w, 2024, 'deep/er']"),
        }
    )
    redirects = {
        "/my notes/first_note": "/My-Notes/First-note",
        "/My+Notes/First+note": "/My-Notes/First-note",
        "/My-Notes/First-note/": "/My-Notes/First-note",
        "/My-Notes/First-note.html": "/My-Notes/First-note",
        "/my-notes": "/My-Notes/",
        "/old": "/new",
        "/Other-name": "/x/y",
        "/x/Other name": "/x/y",
        "/z/w": "/x/y",
        "/2024": "/x/y",
        "/deep/er": "/x/y",
        "/x": "/x/",
        "/First-note": None,
        "/nowhere": None,
    }
    assert {address: found.redirect(address) for address in redirects} == redirects


def test_a_note_is_not_displaced_by_an_alias() -> None:
    found = _assign({"a.md": _with("aliases: [b]"), "b.md": ""})
    assert found.redirect("/B") == "/b"


def test_aliases_may_be_written_in_one_line() -> None:
    made = note("a.md", _with("aliases: one, two words,"))
    assert made is not None
    assert read_wish(made).aliases == ("one", "two words")


_PATHS = (
    *("a.md", "b.md", "c d.md", "c-d.md", "A.md", "b-2.md", "x.md", "p.png.md"),
    *("x/a.md", "x/index.md", "x/README.md", "x/y/a.md", "x y/a.md", "x-y/b.md"),
    *("README.md", "e/f.md", "e/g.md", "h.md", "api/notes/i.md", "feed.xml.md"),
)
_WISHES = st.builds(
    Wish,
    st.sampled_from((None, None, None, "/", "/a", "/b", "/x/a", "/new", "/newer")),
    st.lists(st.sampled_from(("a", "other", "x/y", "h")), max_size=2).map(tuple),
)
_CHANGES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(_PATHS), st.none() | _WISHES, max_size=3),
        st.dictionaries(st.sampled_from(("a", "p.png", "new")), st.booleans()),
    ),
    min_size=1,
    max_size=4,
)


def _folders(wishes: dict[str, Wish]) -> set[str]:
    return {"", *(folder for path in wishes for folder in folders_above(path))}


def _changed(
    old: Addresses,
    before: tuple[dict[str, Wish], set[str]],
    after: tuple[dict[str, Wish], set[str]],
) -> Addresses:
    """Return what `change_addresses` makes of *old*; pairs of wishes and files."""
    (wishes_before, files_before), (wishes, files) = before, after
    turnover = Turnover(
        gone={p: w for p, w in wishes_before.items() if wishes.get(p) != w},
        new={p: w for p, w in wishes.items() if wishes_before.get(p) != w},
        folders_gone=_folders(wishes_before) - _folders(wishes),
        folders_come=_folders(wishes) - _folders(wishes_before),
        files_gone=files_before - files,
        files_come=files - files_before,
    )
    return change_addresses(old, turnover, wishes, files)


@settings(max_examples=500, derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from(_PATHS), _WISHES), _CHANGES)
@example({"x y/a.md": Wish(), "x-y/b.md": Wish()}, [({"x y/a.md": None}, {})])
@example({"x y/a.md": Wish()}, [({"x-y/b.md": Wish()}, {})])
def test_a_change_gives_the_addresses_that_all_notes_would_be_given(
    wishes: dict[str, Wish],
    changes: list[tuple[dict[str, Wish | None], dict[str, bool]]],
) -> None:
    files: set[str] = set()
    found = assign_addresses(wishes, files)
    for changed, file_changes in changes:
        before = dict(wishes), set(files)
        for path, wish in changed.items():
            wishes.pop(path, None)
            if wish is not None:
                wishes[path] = wish
        for path, is_there in file_changes.items():
            (files.add if is_there else files.discard)(path)
        found = _changed(found, before, (wishes, files))
        assert found == assign_addresses(wishes, files)


def test_a_note_that_is_in_nobodys_way_has_no_other_looked_at() -> None:
    wishes = {
        "a.md": Wish(),
        "b.md": Wish("/a"),  # 'a.md' has lost that
        "c/index.md": Wish(),
        "c/d.md": Wish(None, ("other",)),
    }
    site = assign_addresses(wishes, {"p.png"})
    assert [conflict.path for conflict in site.conflicts] == ["a.md"]
    for changed in (
        {**wishes, "c/new.md": Wish()},
        {**wishes, "new folder/new.md": Wish(None, ("another",))},
        {**wishes, "c/d.md": Wish("/moved")},
        {path: wish for path, wish in wishes.items() if path != "c/d.md"},
    ):
        anew = assign_addresses(changed, {"p.png"})
        with mock.patch.object(assigning, "assign_addresses") as assign_all:
            found = _changed(site, (wishes, {"p.png"}), (changed, {"p.png"}))
        assert assign_all.call_count == 0
        assert found == anew
