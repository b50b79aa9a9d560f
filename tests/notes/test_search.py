"""Search: what is found, in which order, and how the index follows the Site."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notes import site as sites
from notes.building import change_site
from notes.exceptions import SearchNotReadyError
from notes.search import index as indexes
from notes.search.answers import asked, find
from notes.search.index import MAX_WAITING, Index
from notes.search.snippets import LENGTH, mark, snippet
from notes.search.words import MAX_QUERY, MAX_TERMS, fold, read_query, split_runs
from notes.site import Site
from tests.notes.sites import Client, make_site, served, sort_files

TEAS = {
    "index.md": "# Tea & Co\n\nAll about tea.",
    "Green tea.md": "# Green tea\n\nSteam it, then brew at 70 degrees.",
    "black/Assam.md": "---\naliases: [Second flush]\ntags: [malty]\n---\nA tea from India.",
    "black/Earl Grey.md": "## Bergamot\n\nScented with an *ora*nge's oil.",
    "日本/煎茶.md": "煎茶は日本で最も飲まれている緑茶です。",
    "formula.md": "$$\\alpha_{tea}$$\n\nÉtagère `code_word` <b>bo</b>ld",
}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = make_site(TEAS)
    monkeypatch.setattr(indexes, "_index", Index())
    with served(made):
        yield made


def paths_for(query: str) -> list[str]:
    return list(indexes.index().search(read_query(query), 50).paths)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("green tea", "Green tea.md"),
        ("GREEN", "Green tea.md"),
        ("degr", "Green tea.md"),
        ("second flush", "black/Assam.md"),
        ("assam", "black/Assam.md"),
        ("malty", "black/Assam.md"),
        ("bergamot", "black/Earl Grey.md"),
        ("orange", "black/Earl Grey.md"),
        ("earl grey", "black/Earl Grey.md"),
        ("日本", "日本/煎茶.md"),
        ("茶", "日本/煎茶.md"),
        ("緑茶です", "日本/煎茶.md"),
        ("飲まれている紅茶", "日本/煎茶.md"),
        ("etagere", "formula.md"),
        ("étagère", "formula.md"),
        ("code_word", "formula.md"),
        ("bold", "formula.md"),
        ("alpha", "formula.md"),
        ('"then brew"', "Green tea.md"),
    ],
)
def test_a_note_is_found_by_its_words(site: Site, query: str, first: str) -> None:
    assert paths_for(query)[:1] == [first]


@pytest.mark.parametrize(
    "query", ["", "nothing", '"brew then"', "日茶", '""', "*", "("]
)
def test_what_is_nowhere_is_not_found(site: Site, query: str) -> None:
    assert paths_for(query) == []


def test_those_that_have_all_words_come_before_those_that_have_one(site: Site) -> None:
    assert paths_for("tea India") == [
        "black/Assam.md",
        *(path for path in paths_for("tea India") if path != "black/Assam.md"),
    ]
    assert set(paths_for("tea India")) >= {"Green tea.md", "index.md"}


@given(st.text(max_size=300))
@settings(deadline=None)
def test_no_query_breaks_the_search(text: str) -> None:
    with served(make_site(TEAS)):
        index = Index()
        terms = read_query(text)
        assert len(terms) <= MAX_TERMS
        index.search(terms, 50)


def test_text_that_is_marked_is_the_text_and_no_html() -> None:
    terms = read_query("tea <b>")
    assert mark("Teatime & <b>tea</b>", terms) == (
        "<mark>Teatime</mark> &amp; &lt;<mark>b</mark>&gt;<mark>tea</mark>&lt;/<mark>b</mark>&gt;"
    )
    assert mark("x", ()) == "x"
    assert mark("THÉÂTRE", read_query("theatre")) == "<mark>THÉÂTRE</mark>"
    # Words are found by their beginnings, in every script that has them.
    assert mark("ведомость Дома", read_query("дом")) == "ведомость <mark>Дома</mark>"
    assert mark("日本語", read_query("本")) == "日<mark>本</mark>語"


def test_a_snippet_is_where_most_of_the_words_are() -> None:
    text = f"tea {'x ' * 300}green tea here {'y ' * 300}"
    found = snippet(text, read_query("green tea"))
    assert "<mark>green</mark> <mark>tea</mark> here" in found
    assert found.startswith("…")
    assert found.endswith("…")
    assert len(found) < LENGTH + 60
    assert snippet("short", read_query("nothing")) == "short"
    assert snippet("茶" * 500, read_query("茶"))[-1] == "…"


def test_folding_keeps_places() -> None:
    for text in ("İstanbul", "ﬁne", "ÀÉ", "ǅ", "한글", "ß", "각"):
        assert len(fold(text)) == len(text)


def test_runs_are_split_into_pairs() -> None:
    assert split_runs("a日本語b") == "a 日本 本語 語 b"
    assert split_runs("plain") == "plain"


def test_the_index_follows_what_is_served() -> None:
    files: dict[str, str | bytes] = {**TEAS}
    edits: list[dict[str, str | None]] = [
        {"Green tea.md": "# Matcha\n\npowder"},
        {"new.md": "brand new", "index.md": None},
        {"black/Assam.md": "---\ndraft: true\n---\nA tea from India."},
        {"black/Assam.md": "back again"},
        {},
    ]
    site = make_site(files)
    index = Index()
    with served(site):
        for sequence, edit in enumerate(edits, 2):
            index.search(read_query("tea"), 50)
            for path, content in edit.items():
                files.pop(path, None)
                if content is not None:
                    files[path] = content
            changed = {path: files[path] for path in edit if path in files}
            notes, attachments, _ = sort_files(changed)
            site = change_site(site, sequence, edit, notes, attachments)
            sites.publish(site)
            fresh = Index()
            for query in (
                "tea",
                "matcha powder",
                "new",
                "India",
                "back",
                "煎茶",
                "brew",
            ):
                terms = read_query(query)
                found = index.search(terms, 50)
                assert found.site is site
                assert sorted(found.paths) == sorted(fresh.search(terms, 50).paths)


def test_an_index_that_could_not_follow_is_made_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index()

    def fail(*args: object) -> None:
        raise sqlite3.OperationalError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(index, "_add", fail)
        with pytest.raises(sqlite3.OperationalError):
            index.follow()
    assert index.search(read_query("assam"), 5).paths[:1] == ("black/Assam.md",)


def test_a_note_that_cannot_be_parsed_or_rendered_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from notes import making

    original = making.parse  # type: ignore[attr-defined]

    def parse(source):
        if source.path == "bad.md":
            raise ValueError
        return original(source)

    monkeypatch.setattr(making, "parse", parse)
    with served(make_site({"bad.md": "word", "good.md": "word"})):
        index = Index()
        assert index.search(read_query("word"), 5).paths == ("good.md",)


def test_a_canvas_is_not_found_and_hinders_no_search() -> None:
    canvas = '{"nodes": [{"id": "a", "type": "text", "text": "secret word"}]}'
    files = {
        "shown.canvas": canvas,
        "hidden.canvas": canvas,
        "a.md": "![[shown.canvas]] word",
    }
    with served(make_site(files)):
        assert Index().search(read_query("word"), 5).paths == ("a.md",)


def test_who_searches_too_early_is_told_so_and_pages_are_served(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index()
    monkeypatch.setattr(indexes, "_index", index)
    monkeypatch.setattr(indexes, "PATIENCE", 0.01)
    from trip2g_site.wsgi import application

    client = Client(application)
    with index._lock:
        for url in ("/search?q=tea", "/-/search?q=tea"):
            reply = client.get(url)
            assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
        assert client.get("/").status == 200
        assert client.get("/search").status == 200
    assert client.get("/search?q=tea").status == 200
    places = [index._places.acquire() for _ in range(MAX_WAITING)]
    with pytest.raises(SearchNotReadyError):
        index.search(read_query("tea"), 5)
    for _ in places:
        index._places.release()


def test_a_process_without_a_site_finds_nothing_yet() -> None:
    before = sites.current()
    sites.publish(None)
    try:
        with pytest.raises(SearchNotReadyError):
            Index().search(read_query("tea"), 5)
    finally:
        sites.publish(before)


def test_a_worker_makes_the_index_in_the_background(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="notes.search.index")
    indexes.start()
    for thread in threading.enumerate():
        if thread.name == "notes-search":
            thread.join()
    assert "notes=6 changed=6" in caplog.messages[0]
    indexes.index().follow()
    assert len(caplog.messages) == 1
    monkeypatch.setattr(indexes, "_index", Index())
    sites.publish(None)
    indexes._make()
    assert caplog.messages[-1] == "event=search_not_indexed"


def test_a_forked_process_makes_an_index_of_its_own(site: Site) -> None:
    index = indexes.index()
    index.follow()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        own = indexes.index()
        is_new = own is not index and own._database is None
        found = own.search(read_query("assam"), 5).paths[0]
        os.write(write, f"{is_new} {found}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"True black/Assam.md"
    os.close(read)
    os.close(write)


def test_the_page_of_search_works_by_itself(site: Site) -> None:
    from trip2g_site.wsgi import application

    client = Client(application)
    page = client.get("/search")
    assert '<input type="search" name="q"' in page.text
    assert page.headers["X-Robots-Tag"] == "noindex"
    page = client.get("/search?q=%22then+brew%22+%3Cb%3E")
    assert 'value="&quot;then brew&quot; &lt;b&gt;"' in page.text
    assert (
        '<li><a href="/Green-tea"><span class="hit-title">Green tea</span>'
        '<span class="hit-text">Steam it, <mark>then brew</mark> at 70 degrees.</span>'
        "</a></li>"
    ) in page.text
    assert "Nothing was found" in client.get("/search?q=zzz").text
    assert client.request("POST", "/search").status == 405
    again = client.get(
        "/search?q=tea", if_none_match=client.get("/search?q=tea").headers["ETag"]
    )
    assert again.status == 304


def test_the_list_while_one_types_is_options(site: Site) -> None:
    from trip2g_site.wsgi import application

    client = Client(application)
    assert client.get("/-/search?q=assam").text == (
        '<a role="option" tabindex="-1" id="site:hit-0" aria-selected="false" '
        'href="/black/Assam"><span class="hit-title"><mark>Assam</mark></span>'
        '<span class="hit-place">black</span>'
        '<span class="hit-text">A tea from India.</span></a>\n'
    )
    assert client.get("/-/search").text == ""


def test_what_is_asked_is_read_leniently() -> None:
    assert asked("q=a+b&x=1") == "a b"
    assert asked("x=1") == ""
    assert asked("q=%ff%20" + "x" * 300)[:2] == "\ufffd "
    assert len(asked("q=" + "x" * 300)) == MAX_QUERY


def test_hits_say_where_they_are(site: Site) -> None:
    hit = find(read_query("earl"), 5)[0]
    assert (hit.address, hit.place) == ("/black/Earl-Grey", "black")


def test_a_note_called_search_or_dash_leaves_the_place_to_the_site() -> None:
    made = make_site({"search.md": "mine", "-/a.md": "x", "-/index.md": "y"})
    assert made.addresses.notes == {
        "search.md": "/search-2",
        "-/a.md": "/--2/a",
        "-/index.md": "/--2/",
    }
