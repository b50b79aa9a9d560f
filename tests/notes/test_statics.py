"""Static files: whoever is asked answers, and only the right content is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

from notes import statics
from notes.statics import StaticFiles
from tests.documents import MANUAL
from tests.notes.sites import Client, make_site, served

CSS = Path(statics.__file__).parent / "static/notes/site.css"
FOR_EVER = "public, max-age=31536000, immutable"
REVALIDATED = "public, max-age=0, must-revalidate"


def _application(environ, start_response):
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"inside"]


@pytest.fixture
def client() -> Client:
    return Client(StaticFiles(_application))


def test_the_content_that_was_asked_for_is_kept_for_ever(client: Client) -> None:
    reply = client.get(statics.url("notes/site.css"))
    assert reply.status == 200
    assert reply.body == CSS.read_bytes()
    etag = reply.headers.pop("ETag")
    assert reply.headers == {
        "Content-Type": 'text/css; charset="utf-8"',
        "Content-Length": str(len(reply.body)),
        "Cache-Control": FOR_EVER,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    assert client.get("/static/notes/site.css", if_none_match=etag).status == 304


@pytest.mark.parametrize(
    "query", ["", "?", "?v=", "?v=0123456789ab", "?w={}", "?v={}&x"]
)
def test_another_version_is_answered_too_and_asked_for_again(
    client: Client, query: str
) -> None:
    version = statics.url("notes/site.css").partition("?v=")[2]
    reply = client.get("/static/notes/site.css" + query.format(version))
    assert (reply.status, reply.body) == (200, CSS.read_bytes())
    assert reply.headers["Cache-Control"] == REVALIDATED


def test_static_files_are_compressed(client: Client) -> None:
    sizes = {
        encoding: len(
            client.get("/static/notes/site.css", accept_encoding=encoding).body
        )
        for encoding in ("identity", "gzip", "br")
    }
    assert sizes["br"] < sizes["gzip"] < sizes["identity"] / 3


def test_what_is_not_there_goes_on(client: Client) -> None:
    for path in ("/static/none.css", "/static/", "/static/../manage.py", "/x"):
        assert client.get(path).body == b"inside"
    with pytest.raises(KeyError):
        statics.url("none.css")


def test_nothing_can_be_changed(client: Client) -> None:
    reply = client.request("POST", "/static/notes/site.css")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


def test_in_development_files_are_read_at_every_request(
    settings, tmp_path: Path
) -> None:
    settings.DEBUG = True
    settings.STATICFILES_DIRS = [tmp_path]
    forget = finders.get_finder.cache_clear  # type: ignore[attr-defined]
    forget()
    try:
        client = Client(StaticFiles(_application))
        for content in (b"first", b"second"):
            (tmp_path / "new.txt").write_bytes(content)
            assert client.get("/static/new.txt").body == content
        assert client.get("/static/none.txt").body == b"inside"
    finally:
        forget()


def test_files_of_a_running_process_are_those_it_started_with(tmp_path: Path) -> None:
    file = tmp_path / "a.css"
    file.write_bytes(b"before")
    held = statics.StaticFile(str(file), "text/css")
    file.write_bytes(b"after, and longer")
    sent = held.answer({"REQUEST_METHOD": "GET"}, lambda *arguments: lambda data: None)
    assert list(sent) == [b"before"]


def test_the_colours_of_code_are_those_of_the_renderer() -> None:
    assert (CSS.parent / "code.css").read_text() == statics.code_css(), (
        "Write notes.statics.code_css() to notes/static/notes/code.css."
    )


def test_the_first_page_fits_fourteen_kilobytes() -> None:
    manual: dict[str, str | bytes] = {
        path.name: path.read_text() for path in MANUAL.glob("*.md")
    }
    with served(make_site(manual)) as site:
        sent = [
            site.get(url, accept_encoding="br").body
            for url in ("/", statics.url("notes/site.css"), "/static/notes/code.css")
        ]
    assert sum(map(len, sent)) < 14 * 1024
