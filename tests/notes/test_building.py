"""Building: a change ends with the site that building from nothing gives."""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import pickle
import threading
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notes import listings, making
from notes.building import change_site
from notes.differences import Difference, apply_difference, find_difference
from notes.feeds import feed, sitemap
from notes.graphs import make_graph_page, make_links
from notes.llms import llms
from notes.loading import Changes, Everything
from notes.looking import apply_changes, build_everything
from notes.making import Making
from notes.responses import Response
from notes.site import Site
from notes.team import MIN_PARALLEL, Crew
from tests.notes.sites import NOON, make_site, note, sort_files

SOAK = os.environ.get("SOAK") == "1"

_NAMES = (
    *("a.md", "b.md", "x/a.md", "x/index.md", "x/y/c d.md", "README.md", "p.png"),
    *("c.canvas", "x/d.canvas", "e.base", "_site.md", "custom.css"),
    # Beside others whose names are theirs but for the case, a space or a number, in
    # the way of a folder, and where the pages of tags are.
    *("A.md", "b-2.md", "x.md", "x y/c d.md", "x-y/c-d.md", "tags/x.md", "tags/TAG.md"),
)
_LINES = (
    "# One",
    "# Two",
    "text",
    "[[a]]",
    "[[a#One]]",
    "[[c d|see]] [[nowhere]]",
    "See [[b]], and [[x/a|there]]",
    "Or [[b]]",
    "![[b]]",
    "![[x/a]]",
    "![[p.png]] [[q.png]]",
    "#tag #x/Deep",
    "#x #x/deep/er",
    "![[c.canvas]]",
    "[[d.canvas]]",
    "![[e.base]]",
    "```base\nviews:\n  - order: [file.name, tags, file.backlinks, other]\n```",
)
_BASES = (
    b"filters: file.hasTag('tag')\n",
    b"views:\n  - filters: file.hasLink(this)\n    order: [file.name, file.links]\n",
    b"filters: file.ext != 'md'\nviews:\n  - order: [file.path, file.size]\n",
    b"views:\n  - order: [file.name, title, date, file.tags, file.mtime]\n",
)
_CARDS = (
    {"type": "file", "file": "a.md"},
    {"type": "file", "file": "x/a.md", "subpath": "#One"},
    {"type": "file", "file": "p.png"},
    {"type": "file", "file": "x/d.canvas"},
    {"type": "file", "file": "c.canvas"},
    {"type": "text", "text": "[[b]] #tag ![[q.png]]"},
    {"type": "text", "text": "![[c d]]"},
    {"type": "file", "file": "e.base"},
)
_PROPERTIES = (
    "title: Named",
    "permalink: b",
    "permalink: /",
    "slug: c",
    "aliases: [other, a]",
    "tags: [TAG, x]",
    "tags: [a b, a-b, Tag/x]",
    "permalink: tags/x",
    "draft: true",
    "date: 2026-01-02",
    "date: 2026-03-02",
    "date: 2026-03-03 12:00",
    "lang: de",
    "related: '[[c d]] [[b]]'",
    "colors: {accent: red, text: nothing}",
    "nav: ['[[a]]', '[[c d|see]]', '[[c.canvas]]', /b]",
    "logo: p.png",
    "description: Of all",
)


@st.composite
def _sources(draw: st.DrawFn) -> str:
    properties = draw(st.lists(st.sampled_from(_PROPERTIES), max_size=3, unique=True))
    lines = draw(st.lists(st.sampled_from(_LINES), max_size=4))
    head = "---\n" + "\n".join({p.split(":")[0]: p for p in properties}.values())
    return (head + "\n---\n" if properties else "") + "\n\n".join(lines)


def _contents(path: str) -> st.SearchStrategy[str | bytes | None]:
    """Return what may be done to a file: a new content, or None to remove it."""
    if path.endswith(".md"):
        return st.none() | _sources()
    if path.endswith(".base"):
        return st.none() | st.sampled_from(_BASES)
    if path.endswith(".canvas"):
        cards = st.lists(st.sampled_from(_CARDS), max_size=3)
        return st.none() | cards.map(_canvas)
    return st.none() | st.binary(max_size=2)


def _canvas(cards: list[dict[str, str]]) -> bytes:
    nodes = [card | {"id": str(number)} for number, card in enumerate(cards)]
    return json.dumps({"nodes": nodes, "edges": []}).encode()


_EDIT = st.dictionaries(st.sampled_from((*_NAMES, "q.png")), st.none()).flatmap(
    lambda paths: st.fixed_dictionaries({path: _contents(path) for path in paths})
)
_DAYS = st.integers(0, 2)
"""That pass before an edit."""


def _differences(left: Site, right: Site) -> list[str]:
    pages = {
        path
        for path in left.pages.keys() | right.pages.keys()
        if left.pages.get(path) != right.pages.get(path)
    }
    documents = [
        make.__name__
        for make in (
            sitemap,
            llms,
            make_links,
            _graph,
            *([feed] if right.facts else []),
        )
        if make(left) != make(right)
    ]
    more = [] if left.is_equal_to(right) else ["more"]
    return [*sorted(pages), *documents, *more]


def _graph(site: Site) -> Response:
    return make_graph_page(site, "/")


@settings(
    max_examples=2500 if SOAK else 250,
    derandomize=not SOAK,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    st.lists(st.tuples(_DAYS, _EDIT), min_size=1, max_size=5), st.sampled_from((0, 8))
)
def test_changes_end_with_the_site_that_building_anew_gives(
    edits: list[tuple[int, dict[str, str | bytes | None]]], few: int
) -> None:
    files: dict[str, str | bytes] = {
        "a.md": "# A\n\n[[b]] [[c d]]",
        "b.md": "![[a]]",
        "links.md": "[[a]] [[b]] [[c d]] [[README]] [[x/index]] [[x/a#One]]",
        "c.canvas": _canvas([{"type": "file", "file": "x/d.canvas"}]),
        "shows.md": "![[c.canvas]]",
        "e.base": _BASES[1],
        "lists.md": "![[e.base]]",
        "later.md": "---\ndate: 2026-03-02 12:00\n---\n[[a]] #tag",
        "x/far.md": "---\ntags: [tag, x/deep]\n---\n# One",
    }
    now = NOON
    site = told = build_everything(Everything(1, *sort_files(files, now), {}))
    for sequence, (days, edit) in enumerate(edits, 2):
        now += datetime.timedelta(days=days)
        for path, content in edit.items():
            files.pop(path, None)
            if content is not None:
                files[path] = content
        paths = site.due(now).union(edit)
        touched = {path: files[path] for path in paths if path in files}
        changes = Changes(sequence, paths, *sort_files(touched, now))
        # Few notes of a folder are sorted, whatever changed; thousands never are.
        with mock.patch.object(listings, "_FEW", few):
            before, site = site, apply_changes(site, changes)
        anew = build_everything(Everything(sequence, *sort_files(files, now), {}))
        assert _differences(site, anew) == []
        # And so it is for those who are only told of the difference, as is what they
        # would build on if they heard no more.
        told = apply_difference(told, _sent(find_difference(before, site)))
        assert _differences(told, anew) == []
        assert find_difference(told, site) == find_difference(site, told) == ()


def _sent(found: Difference) -> Difference:
    """Return *found* as another process receives it."""
    received: Difference = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    return received


def _vault_of(count: int) -> dict[str, str | bytes]:
    return {
        f"n{number}.md": f"# Note {number}\n\n[[n{number + 1}]] ![[n{number // 2}]]"
        for number in range(count)
    }


def test_a_change_of_one_note_renders_only_what_shows_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = make_site({**_vault_of(50), "e.md": "![[n7#Note 7]]"})
    changed = note("n7.md", "# Note 7\n\nnew")
    assert changed is not None
    with caplog.at_level("INFO", logger="notes.building"):
        after = change_site(site, 2, {"n7.md"}, [changed], [])
    # n14 and n15 embed it, and n28 to n31 those; n6 links to it by its name.
    assert "rendered=8 " in caplog.messages[-1]
    same = {path for path in site.pages if site.pages[path] is after.pages[path]}
    assert site.pages.keys() - same == {
        *("/n7", "/n14", "/n15", "/n28", "/n29", "/n30", "/n31", "/e"),
        "/n8",  # lost a backlink
        "/n3",
    }


def test_processes_make_the_site_that_one_makes() -> None:
    files = _vault_of(MIN_PARALLEL + 50)
    threads = set(threading.enumerate())
    prepared: list[int] = []
    reports: list[tuple[int, int, str]] = []
    crew = Crew(
        processes=3,
        prepare_child=lambda: prepared.append(1),
        report=lambda *report: reports.append(report),
    )
    assert _differences(make_site(files, crew), make_site(files)) == []
    assert prepared == []  # it ran in the children
    assert reports[-1] == (150, 150, "pages")
    assert {what for _, _, what in reports} == {"notes parsed", "notes", "pages"}
    assert multiprocessing.active_children() == []
    assert set(threading.enumerate()) == threads


def test_a_site_is_made_even_when_a_process_dies(
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = _vault_of(MIN_PARALLEL)
    here = threading.main_thread().ident
    parent = multiprocessing.current_process().pid

    def die(self):
        if multiprocessing.current_process().pid != parent:
            raise SystemExit(1)
        return original(self)

    original = Making.render
    with mock.patch.object(Making, "render", die):
        site = make_site(files, Crew(processes=2))
    assert here is not None
    assert _differences(site, make_site(files)) == []
    assert caplog.messages == [
        "event=team_lost reason='A process of the team died in render.'"
    ]


def test_one_note_that_cannot_be_rendered_shows_an_error_and_the_rest_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def render(parsed, vault):
        if parsed.path == "bad.md":
            raise ValueError("no such luck")
        return original(parsed, vault)

    original = making.render  # type: ignore[attr-defined]
    with mock.patch.object(making, "render", render):
        site = make_site({"bad.md": "[[good]]", "good.md": "[[bad]]"})
    assert site.pages["/bad"].status == "500 Internal Server Error"
    assert b"no such luck" not in site.pages["/bad"].body
    assert site.pages["/good"].status == "200 OK"
    assert site.rendered["bad.md"].error == "ValueError: no such luck"
    assert caplog.messages == ["event=note_not_rendered path='bad.md'"]


def test_one_note_that_cannot_be_parsed_shows_an_error_and_the_rest_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def parse(source):
        if source.path == "bad.md":
            raise ValueError("no such luck")
        return original(source)

    original = making.parse  # type: ignore[attr-defined]
    with mock.patch.object(making, "parse", parse):
        site = make_site({"bad.md": "", "good.md": "[[bad]] ![[bad]]"})
    assert site.pages["/bad"].status == "500 Internal Server Error"
    assert b"<h1>bad</h1>" in site.pages["/bad"].body
    assert b'href="/bad"' in site.pages["/good"].body
    assert caplog.messages == ["event=note_not_parsed path='bad.md'"]


def test_who_loses_an_address_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    files: dict[str, str | bytes] = {
        "a.md": "---\npermalink: b\n---\n",
        "b.md": "",
    }
    site = make_site(files)
    assert caplog.messages == [
        "event=address_conflict path='b.md' wanted='/b' given='/b-2'"
    ]
    other = note("c.md", "")
    assert other is not None
    change_site(site, 2, {"c.md"}, [other], [])
    assert len(caplog.messages) == 1
