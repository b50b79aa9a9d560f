"""Sites made of a few notes, and what a reader gets of them, without a server."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, NamedTuple
from wsgiref.validate import validator

from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from notes import site as sites
from notes.building import build_site
from notes.frontmatter import split
from notes.links import is_sheet
from notes.publishing import published_from
from notes.site import Site
from notes.sources import AttachmentSource, NoteSource, Sources
from notes.team import Crew

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
NOW = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)
"""When the notes of these sites are read."""


class Reply(NamedTuple):
    """An answer: the status as a number, headers by name, the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Asks a WSGI application, in this process, and checks that it keeps to WSGI."""

    def __init__(self, application: Any) -> None:
        self._application = validator(application)

    def get(self, url: str, **headers: str) -> Reply:
        return self.request("GET", url, **headers)

    def request(self, method: str, url: str, **headers: str) -> Reply:
        """Ask for *url*, a path and perhaps a query, percent-encoded or not."""
        path, mark, query = url.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquoted(path),
            "QUERY_STRING": query if mark else "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8080",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost:8080",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(),
            "wsgi.errors": _Errors(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        environ |= {
            f"HTTP_{name.upper()}": value for name, value in headers.items() if value
        }
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, fields: Any, exc_info: Any = None) -> Any:
            started.append((status, fields))

        chunks = self._application(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            chunks.close()  # type: ignore[attr-defined]
        status, fields = started[0]
        names = [name for name, _ in fields]
        assert len(names) == len(set(names)), names
        return Reply(int(status.split()[0]), dict(fields), body)


class _Errors:
    def write(self, text: str) -> None:
        raise AssertionError(text)

    def writelines(self, lines: list[str]) -> None:
        raise AssertionError(lines)

    def flush(self) -> None:
        pass


def unquoted(path: str) -> str:
    """Return a URL path as a server puts it into PATH_INFO."""
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")


def note(path: str, source: str) -> NoteSource | None:
    """Return a note as it comes from the database; None for a draft."""
    found = _load(path, source, NOW)
    return found if isinstance(found, NoteSource) else None


def _load(
    path: str, source: str, now: datetime.datetime
) -> NoteSource | datetime.datetime | None:
    """Return a note; what is held back at *now* is told by when it is published."""
    properties, body = split(source)
    start = published_from(properties)
    if start is None or start > now:
        return start
    content_hash = hashlib.sha256(source.encode()).hexdigest()
    return NoteSource(path, properties, body, content_hash, NOON)


def attachment(path: str, content: bytes = b"") -> AttachmentSource:
    """Return an attachment as it comes from the database."""
    content_hash = hashlib.sha256(content).hexdigest()
    return AttachmentSource(path, content_hash, len(content), NOON)


def make_site(
    files: Mapping[str, str | bytes], crew: Crew | None = None, sequence: int = 1
) -> Site:
    """Return the site of *files*, by path: text of notes, bytes of attachments."""
    notes, attachments, _ = sort_files(files)
    return build_site(notes, attachments, sequence, crew)


def sort_files(
    files: Mapping[str, str | bytes], now: datetime.datetime = NOW
) -> Sources:
    """Return what the rows of *files* are at *now*."""
    found = {
        path: _load(path, content, now)
        for path, content in files.items()
        if isinstance(content, str)
    }
    notes = [made for made in found.values() if isinstance(made, NoteSource)]
    held = {
        path: start
        for path, start in found.items()
        if isinstance(start, datetime.datetime)
    }
    attachments = [
        attachment(path, content)
        for path, content in files.items()
        if isinstance(content, bytes)
    ]
    notes += [
        NoteSource(path, {}, content.decode(), file.content_hash, NOON)
        for path, content in files.items()
        if is_sheet(path) and isinstance(content, bytes)
        for file in [attachment(path, content)]
    ]
    return Sources(tuple(notes), tuple(attachments), held)


@contextlib.contextmanager
def served(site: Site) -> Iterator[Client]:
    """Serve *site* inside."""
    from trip2g_site.wsgi import application

    before = sites.current()
    sites.publish(site)
    # A connection that an earlier test has left is not this one's to look at; Django's
    # own client does the same.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield Client(application)
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)
        sites.publish(before)
