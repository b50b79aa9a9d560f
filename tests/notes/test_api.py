"""The API: what it takes, what it refuses and how, and what it never tells."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from notes import authoring
from notes import site as sites
from notes.building import build_site
from notes.loading import load_everything
from notes.looking import catch_up
from notes.models import Change, Note
from notes.sync import sync_vault
from notes.tokens import create_token, revoke_token
from tests.notes.sites import NOON, make_site, served
from tests.notes.trees import write_tree

pytestmark = pytest.mark.django_db

HELLO = b"# Hello\n\nA text.\n"
DRAFT = b"---\ndraft: true\n---\nTop secret.\n"


@pytest.fixture(autouse=True)
def _site(settings: Any) -> Iterator[None]:
    settings.NOTES_PUBLIC_URL = "https://example.org"
    before = sites.current()
    sites.publish(None)
    yield
    sites.publish(before)


class Author:
    """Somebody with a token; each request gives back status and JSON."""

    def __init__(self, token: str) -> None:
        self.token = token
        self._client = Client(raise_request_exception=False)
        self.answer: Any = None

    def ask(
        self, method: str, path: str, body: bytes | str = b"", **headers: str
    ) -> tuple[int, Any]:
        shown = {"authorization": f"Bearer {self.token}"} if self.token else {}
        self.answer = self._client.generic(
            method,
            f"/api/notes/{path}",
            body,
            content_type=headers.pop("content_type", "text/markdown"),
            headers={**shown, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )
        if self.answer.status_code == 304:
            return 304, None
        assert self.answer["Content-Type"] == "application/json"
        assert self.answer["Cache-Control"] == "no-store"
        return self.answer.status_code, self.answer.json()

    def put(
        self, path: str, body: bytes | str = HELLO, **headers: str
    ) -> tuple[int, Any]:
        return self.ask("PUT", path, body, **headers)

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return self.ask("GET", path, **headers)

    def delete(self, path: str, **headers: str) -> tuple[int, Any]:
        return self.ask("DELETE", path, **headers)


@pytest.fixture
def author() -> Author:
    return Author(create_token("author"))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _error(answer: tuple[int, Any]) -> tuple[int, str]:
    status, said = answer
    assert set(said) == {"error"}
    assert "\n" not in said["error"]
    return status, said["error"]


def test_a_note_is_made_replaced_read_and_taken_away(author: Author) -> None:
    assert author.put("a/My note.md") == (
        201,
        {
            "path": "a/My note.md",
            "hash": _hash(HELLO),
            "epoch": 0,
            "sequence": 1,
            "url": "https://example.org/a/My-note",
        },
    )
    assert author.answer["ETag"] == f'"{_hash(HELLO)}"'
    status, said = author.get("a/My note.md")
    written_at = datetime.datetime.fromisoformat(said.pop("modified_at"))
    now = datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta() <= now - written_at < datetime.timedelta(minutes=1)
    assert (status, said) == (
        200,
        {
            "path": "a/My note.md",
            "source": HELLO.decode(),
            "hash": _hash(HELLO),
            "published": True,
            "url": "https://example.org/a/My-note",
        },
    )
    status, said = author.put("a/My note.md", b"Other.")
    assert (status, said["hash"], said["sequence"]) == (200, _hash(b"Other."), 2)
    assert author.get("a/My note.md")[1]["source"] == "Other."
    assert author.delete("a/My note.md") == (
        200,
        {"path": "a/My note.md", "epoch": 0, "sequence": 3},
    )
    assert _error(author.get("a/My note.md")) == (
        404,
        "There is no note 'a/My note.md'.",
    )
    assert _error(author.delete("a/My note.md"))[0] == 404
    assert list(Change.objects.values_list("sequence", "path")) == [
        (1, "a/My note.md"),
        (2, "a/My note.md"),
        (3, "a/My note.md"),
    ]


def test_what_is_the_same_is_not_written_again(author: Author) -> None:
    author.put("a")
    author.put("b")
    before = list(Note.objects.values())
    status, said = author.put("a")
    assert (status, said["sequence"], said["hash"]) == (200, 2, _hash(HELLO))
    assert list(Note.objects.values()) == before
    assert Change.objects.count() == 2


def test_a_change_carries_the_epoch_it_was_written_under(
    author: Author, settings: Any, tmp_path: Path
) -> None:
    settings.NOTES_EPOCH = lambda: 7
    assert author.put("a")[1]["epoch"] == 7
    settings.NOTES_EPOCH = lambda: 8
    assert author.delete("a")[1]["epoch"] == 8
    settings.NOTES_EPOCH = "lifecycle.gate.transaction_epoch"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lifecycle_epoch (epoch, holder, taken_by, version, since, next,"
            " until) VALUES (9, 'x', 'x', '', 0, '', 0)"
        )
    assert author.put("a")[1]["epoch"] == 9
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    write_tree(tmp_path / "vault", {"b.md": "text"})
    sync_vault(tmp_path / "vault", exclude=())
    assert list(Change.objects.values_list("sequence", "path", "epoch")) == [
        (1, "a.md", 7),
        (2, "a.md", 8),
        (3, "a.md", 9),
        (4, "b.md", 9),
        (4, "a.md", 9),
    ]


def test_a_note_is_what_a_sync_of_the_same_file_would_make(
    author: Author, settings: Any, tmp_path: Path
) -> None:
    files = {
        "cafe\u0301/x.MD": "\ufeffone\r\ntwo\rthree\n".encode(),
        "plain.md": HELLO,
        "draft.md": DRAFT,
    }
    for path, data in files.items():
        assert author.put(path, data)[0] == 201
    fields = ("path", "source", "content_hash")
    by_api = sorted(Note.objects.values_list(*fields))
    Note.objects.all().delete()
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    write_tree(tmp_path / "vault", files)
    sync_vault(tmp_path / "vault", exclude=())
    assert sorted(Note.objects.values_list(*fields)) == by_api
    assert by_api[0][0] == "caf\u00e9/x.md"


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("a", "a.md"),
        ("a.MD", "a.md"),
        ("a.txt", "a.txt.md"),
        ("deep/er/a b.md", "deep/er/a b.md"),
        ("%D0%81%D0%B6", "Ёж.md"),
        ("cafe%CC%81", "café.md"),
        ("Well...", "Well....md"),
        ("100%25", "100%.md"),
        ("what%3F", "what?.md"),
        # Bytes that are not UTF-8 come from Django as they were written.
        ("a%FFb", "a%FFb.md"),
    ],
)
def test_the_path_may_lack_its_ending(author: Author, asked: str, path: str) -> None:
    assert author.put(asked)[1]["path"] == path
    assert author.get(asked)[1]["path"] == path
    assert Note.objects.get().path == path


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("", "a part of the path has no name"),
        ("a/", "a part of the path has no name"),
        ("a//b", "a part of the path has no name"),
        ("../a", "the name has '..' for a folder"),
        ("a/../b", "the name has '..' for a folder"),
        ("a/..%5Cb", "the name has '..' for a folder"),
        (".obsidian/a", "'.obsidian' is a system file's name"),
        ("_drafts/a", "'_drafts' is a system file's name"),
        ("a/.md", "'.md' is a system file's name"),
        ("a%0Ab", "the name has a control character"),
        ("a%00b", "the name has a control character"),
        ("a" * 1022, "the path is over 1024 characters long"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_a_path_that_no_vault_has_is_refused(
    author: Author, method: str, asked: str, reason: str
) -> None:
    answer = author.ask(method, asked, HELLO)
    assert _error(answer) == (422, f"The path cannot be a note's: {reason}.")
    assert not Note.objects.exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"a\xffb", "not UTF-8 (byte 0xff at offset 1)"),
        (b"---\na: [\n---\n", "line 3: broken YAML"),
        (b"---\n- a\n---\n", "line 2: "),
    ],
)
def test_a_text_that_no_sync_takes_in_is_refused(
    author: Author, body: bytes, reason: str
) -> None:
    author.put("a", b"Before.")
    status, error = _error(author.put("a", body))
    assert status == 422
    assert error.startswith(f"The note 'a.md' cannot be taken in: {reason}")
    assert Note.objects.get().source == "Before."
    assert Change.objects.count() == 1


def test_a_note_over_the_limit_is_refused(author: Author, settings: Any) -> None:
    settings.NOTES_MAX_NOTE_SIZE = 10
    assert author.put("a", b"x" * 10)[0] == 201
    assert _error(author.put("a", b"x" * 11)) == (413, "A note has at most 10 bytes.")
    assert Note.objects.get().source == "x" * 10


def test_a_note_over_djangos_own_limit_is_taken(author: Author) -> None:
    body = b"x" * 3 * 1024**2
    status, said = author.put("a", body)
    assert (status, said["hash"]) == (201, _hash(body))


def test_what_the_site_leaves_out_is_refused(author: Author, settings: Any) -> None:
    settings.NOTES_EXCLUDE = ["Templates/"]
    status, error = _error(author.put("x/Templates/a"))
    assert status == 422
    assert "'x/Templates/a.md'" in error
    assert "leave notes of this path out" in error


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "image/png"]
)
def test_what_is_no_text_is_refused(author: Author, content_type: str) -> None:
    answer = author.put("a", HELLO, content_type=content_type)
    media_type = content_type.partition(";")[0]
    assert _error(answer) == (
        415,
        f"Send the note itself, as text/markdown, not {media_type}.",
    )


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain; charset=utf-8", "application/x-www-form-urlencoded"],
)
def test_what_clients_call_a_text_is_taken(author: Author, content_type: str) -> None:
    assert author.put("a", b"a=1&b=2", content_type=content_type)[0] == 201
    assert Note.objects.get().source == "a=1&b=2"


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(author: Author, method: str) -> None:
    status, _ = _error(author.ask(method, "a"))
    assert (status, author.answer["Allow"]) == (405, "GET, HEAD, PUT, DELETE")


def test_conditions_are_obeyed(author: Author) -> None:
    missing = '"' + "0" * 64 + '"'
    assert author.put("a", if_match="*")[0] == 412
    assert author.put("a", if_match=missing)[0] == 412
    assert not Note.objects.exists()
    assert author.put("a", if_none_match="*")[0] == 201
    etag = author.answer["ETag"]
    assert _error(author.put("a", b"x", if_none_match="*")) == (
        412,
        f"Nothing was done: the note has the ETag {etag}.",
    )
    assert author.put("a", b"x", if_match=missing)[0] == 412
    assert author.delete("a", if_match=missing)[0] == 412
    assert Note.objects.get().source == HELLO.decode()
    assert author.get("a", if_none_match=etag) == (304, None)
    assert author.answer["Cache-Control"] == "no-store"
    assert author.get("a", if_none_match=missing)[0] == 200
    assert author.put("a", b"x", if_match=f"{missing}, {etag}")[0] == 200
    assert author.put("a", b"y", if_match=etag)[0] == 412
    author.get("a")
    assert author.delete("a", if_match=author.answer["ETag"])[0] == 200
    assert _error(author.delete("a", if_match="*")) == (
        412,
        "Nothing was done: the note does not exist.",
    )


def test_who_has_no_token_is_told_nothing(author: Author) -> None:
    author.put("draft", DRAFT)
    author.put("a")
    revoked = Author(create_token("revoked"))
    assert revoked.get("draft")[1]["source"] == DRAFT.decode()
    revoke_token("revoked")
    for stranger, challenge in (
        (Author(""), "Bearer"),
        (Author("guess"), 'Bearer error="invalid_token"'),
        (revoked, 'Bearer error="invalid_token"'),
    ):
        answers = {
            json.dumps(stranger.ask(method, path, b"x"))
            for method in ("GET", "PUT", "DELETE", "POST")
            for path in ("draft", "a", "nowhere", "..", "_x")
        }
        assert len(answers) == 1
        status, said = json.loads(answers.pop())
        assert _error((status, said))[0] == 401
        assert "secret" not in said["error"]
        assert stranger.answer["WWW-Authenticate"] == challenge
    assert Note.objects.count() == 2


def test_a_draft_has_no_page_and_is_told_with_a_token(author: Author) -> None:
    status, said = author.put("draft", DRAFT)
    assert (status, said["url"]) == (201, None)
    _, said = author.get("draft")
    assert (said["published"], said["url"]) == (False, None)
    # Once it is published, and back.
    assert author.put("draft", HELLO)[1]["url"] == "https://example.org/draft"
    assert author.put("draft", DRAFT)[1]["url"] is None


def test_a_watched_vault_is_the_only_author(
    author: Author, settings: Any, tmp_path: Path
) -> None:
    author.put("a")
    settings.NOTES_VAULT_DIR = tmp_path
    for answer in (author.put("a", b"x"), author.put("b"), author.delete("a")):
        status, error = _error(answer)
        assert status == 409
        assert "VAULT_DIR" in error
    assert author.get("a")[1]["source"] == HELLO.decode()


def test_a_bug_is_told_in_json_too(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(data: bytes, max_size: int) -> None:
        raise ValueError("Something private")

    monkeypatch.setattr(authoring, "read_text", fail)
    status, error = _error(author.put("a"))
    assert status == 500
    assert "private" not in error


ADDRESSES = {
    "a.md": "",
    "b/index.md": "",
    "c/readme.md": "",
    "taken.md": "---\npermalink: /zz\n---\n",
    "d e/f.md": "",
    "api/notes.md": "",
    "api/notes/x.md": "",
}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("new.md", ""),
        ("new folder/new.md", ""),
        ("new/index.md", ""),
        ("new/README.md", ""),
        ("index.md", ""),
        ("c/index.md", ""),
        ("b/readme.md", ""),
        ("d-e/f.md", ""),
        ("d-e/index.md", ""),
        ("zz.md", ""),
        ("z.md", "---\npermalink: /a\n---\n"),
        ("z.md", "---\nslug: a\n---\n"),
        ("0.md", "---\npermalink: /zz\n---\n"),
        ("z.md", "---\npermalink: /zz\n---\n"),
        ("z.md", "---\npermalink: /feed.xml\n---\n"),
        ("a.md", "---\npermalink: /zz\n---\n"),
        ("taken.md", ""),
        ("p.png.md", ""),
        ("z.md", "---\npermalink: /p.png\n---\n"),
        ("api/notes/y/index.md", ""),
        ("z.md", "---\npermalink: /api/notes/z\n---\n"),
        ("api/notes-2/x.md", ""),
    ],
)
def test_the_address_that_is_told_is_the_one_that_it_gets(
    author: Author, path: str, source: str
) -> None:
    site = make_site({**ADDRESSES, "p.png": b""})
    for name, text in ADDRESSES.items():
        Note.objects.create(path=name, source=text, content_hash=name, modified_at=NOON)
    sites.publish(site)
    told = author.put(path, source)[1]["url"]
    everything = load_everything()
    after = build_site(everything.notes, site.attachments.values(), 1)
    assert told == "https://example.org" + after.addresses.notes[path].replace(
        " ", "%20"
    )


def test_no_page_has_an_address_of_the_api() -> None:
    site = make_site(
        {
            **ADDRESSES,
            "api/notes/index.md": "",
            "api/notes/deep/x.md": "",
            "w.md": "---\npermalink: /api/notes/w\n---\n",
            "s.md": "---\nslug: /api/notes/s\n---\n",
        }
    )
    assert [path for path in site.pages if path.startswith("/api/notes/")] == []
    assert "/api/notes" in site.pages
    for path in ("", "x", "deep/", "deep/x", "w", "s"):
        assert f"/api/notes-2/{path}" in site.pages


@pytest.mark.django_db(transaction=True)
def test_the_pages_leave_the_api_alone() -> None:
    """Nothing of the site answers there, whatever is published under such a name."""
    files: dict[str, str | bytes] = {
        "api/notes/x.md": "A text. ![[api/notes/p.png]]",
        "api/notes/p.png": b"\x89PNG",
        "y.md": "---\naliases: [api/notes/y]\n---\n",
    }
    with served(make_site(files)) as reader:
        for path in ("x", "p.png", "y", "", "nowhere"):
            reply = reader.get(f"/api/notes/{path}")
            assert reply.status == 401
            assert reply.headers["Content-Type"] == "application/json"
            assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.django_db(transaction=True)
def test_a_write_goes_through_the_layers_of_the_site(author: Author) -> None:
    site = catch_up(None)
    with served(site) as reader:
        reply = reader.request("DELETE", "/api/notes/a", authorization="Bearer x")
        assert (reply.status, json.loads(reply.text).keys()) == (401, {"error"})
        reply = reader.request(
            "DELETE", "/api/notes/a", authorization=f"Bearer {author.token}"
        )
        assert (reply.status, json.loads(reply.text).keys()) == (404, {"error"})
