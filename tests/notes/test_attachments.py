"""Attachments: whole, in ranges, with types and policies under which nothing runs."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from notes.attachments import Part, content_type
from notes.blobs import blob_path, put_blob
from tests.notes.sites import Client, make_site, served

TEXT = b"0123456789"
FILES: dict[str, str | bytes] = {
    "index.md": "![[p.png]] [[a b.txt]] ![[s.svg]] [h](h.html) [[d.pdf]] [[none.bin]]",
    "draft.md": "---\ndraft: true\n---\n![[secret.png]]",
    "p.png": b"\x89PNG",
    "a b.txt": TEXT,
    "s.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "h.html": b"<script>alert(1)</script>",
    "d.pdf": b"%PDF",
    "none.bin": b"",
    "secret.png": b"secret",
    "unused.png": b"unused",
}
ETAG = f'"{hashlib.sha256(TEXT).hexdigest()}"'


@pytest.fixture
def store(tmp_path: Path, settings) -> Path:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path
    for content in FILES.values():
        if isinstance(content, bytes):
            put_blob(tmp_path, BytesIO(content))
    return tmp_path


@pytest.fixture
def client(store: Path) -> Iterator[Client]:
    with served(make_site(FILES)) as client:
        yield client


def test_a_file_that_a_page_uses_is_sent_whole(client: Client) -> None:
    reply = client.get("/a%20b.txt")
    assert reply.status == 200
    assert reply.body == TEXT
    assert reply.headers == {
        "ETag": ETAG,
        "Cache-Control": "public, max-age=0, must-revalidate",
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "Content-Length": "10",
    }
    head = client.request("HEAD", "/a%20b.txt")
    assert (head.status, head.headers, head.body) == (200, reply.headers, b"")


@pytest.mark.parametrize("path", ["/secret.png", "/unused.png", "/a%20b.txt/"])
def test_a_file_that_no_published_note_uses_is_nowhere(
    client: Client, path: str
) -> None:
    reply = client.get(path)
    assert reply.status == 404
    assert b"<h1>Not found</h1>" in reply.body


@pytest.mark.parametrize(
    ("wanted", "status", "content_range", "body"),
    [
        ("bytes=0-0", 206, "bytes 0-0/10", b"0"),
        ("bytes=2-4", 206, "bytes 2-4/10", b"234"),
        ("bytes=7-", 206, "bytes 7-9/10", b"789"),
        ("bytes=7-99", 206, "bytes 7-9/10", b"789"),
        ("bytes=-3", 206, "bytes 7-9/10", b"789"),
        ("bytes=-99", 206, "bytes 0-9/10", TEXT),
        ("bytes=0-9", 206, "bytes 0-9/10", TEXT),
        ("bytes=10-", 416, "bytes */10", b""),
        ("bytes=-0", 416, "bytes */10", b""),
        ("bytes=4-2", 200, None, TEXT),
        ("bytes=0-1,3-4", 200, None, TEXT),
        ("bytes=", 200, None, TEXT),
        ("bytes=-", 200, None, TEXT),
        ("lines=1-2", 200, None, TEXT),
        ("bytes=" + "9" * 5000 + "-", 200, None, TEXT),
    ],
)
def test_a_range_of_bytes_is_sent(
    client: Client, wanted: str, status: int, content_range: str | None, body: bytes
) -> None:
    reply = client.get("/a%20b.txt", range=wanted)
    assert (reply.status, reply.body) == (status, body)
    assert reply.headers.get("Content-Range") == content_range
    assert reply.headers["Content-Length"] == str(len(body))


def test_a_range_of_another_version_is_not_sent(client: Client) -> None:
    same = client.get("/a%20b.txt", range="bytes=0-1", if_range=ETAG)
    assert (same.status, same.body) == (206, b"01")
    for validator in ('"other"', f"W/{ETAG}", "Sun, 01 Mar 2026 12:00:00 GMT"):
        other = client.get("/a%20b.txt", range="bytes=0-1", if_range=validator)
        assert (other.status, other.body) == (200, TEXT)


def test_a_reader_who_has_the_file_gets_a_304(client: Client) -> None:
    reply = client.get("/a%20b.txt", if_none_match=f'"x", {ETAG}', range="bytes=0-1")
    assert (reply.status, reply.body) == (304, b"")
    assert reply.headers == {
        "ETag": ETAG,
        "Cache-Control": "public, max-age=0, must-revalidate",
    }


def test_an_empty_file_is_sent(client: Client) -> None:
    assert client.get("/none.bin").headers["Content-Length"] == "0"
    assert client.get("/none.bin", range="bytes=0-").status == 416


@pytest.mark.parametrize("path", ["/s.svg", "/h.html"])
def test_a_file_that_may_hold_scripts_runs_none(client: Client, path: str) -> None:
    assert client.get(path).headers["Content-Security-Policy"] == (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    )


@pytest.mark.parametrize("path", ["/p.png", "/d.pdf"])
def test_a_file_that_browsers_show_themselves_is_not_kept_from_it(
    client: Client, path: str
) -> None:
    assert "Content-Security-Policy" not in client.get(path).headers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PNG", "image/png"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.svg", "image/svg+xml"),
        ("a.html", "text/html"),
        ("a.xhtml", "application/xhtml+xml"),
        ("a.xml", "text/xml"),
        ("a.pdf", "application/pdf"),
        ("a.mp3", "audio/mpeg"),
        ("a.m4a", "audio/mp4"),
        ("a.opus", "audio/ogg"),
        ("a.mp4", "video/mp4"),
        ("a.webm", "video/webm"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.base", "text/plain; charset=utf-8"),
        ("a.canvas", "application/json"),
        ("a.unknown", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
    ],
)
def test_types_come_from_a_fixed_table(name: str, expected: str) -> None:
    assert content_type(name) == expected


def test_bytes_that_are_lost_are_a_404_and_a_line(
    client: Client, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = blob_path(store, ETAG.strip('"'))
    lost.unlink()
    for method in ("GET", "HEAD"):
        assert client.request(method, "/a%20b.txt").status == 404
    line = f"event=attachment_lost path='a b.txt' file={lost} "
    assert caplog.messages == [line + "reason='No such file or directory'"] * 2


def test_a_part_ends_where_it_should_however_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(TEXT)
    part = Part(path, 2, 5)
    assert part.readable()
    assert [part.read(2), part.read(99), part.read()] == [b"23", b"456", b""]
    part.close()
    part.close()
    left, right = socket.socketpair()
    with left, right, Part(path, 2, 5) as part:
        # As gunicorn does.
        assert left.sendfile(part, os.lseek(part.fileno(), 0, os.SEEK_CUR), 5) == 5
        assert right.recv(99) == b"23456"
    with Part(path, 8, 1) as part:
        assert part.read() == b"8"
        assert part.fileno() > 2
