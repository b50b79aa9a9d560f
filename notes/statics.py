"""
Static files, served by WhiteNoise from memory under STATIC_URL.

While two releases serve side by side, a page of one gets its stylesheet from the
other. So a file's URL says which content it means (`?v=hash`), whoever is asked
answers 200 with what it has, and only the very content that was asked for may be
kept for ever. Files are read once: replacing them under a running process does not
change what it sends.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.headers import Headers as HeadersOfOneFile

from django.conf import settings
from django.contrib.staticfiles import finders
from whitenoise import WhiteNoise
from whitenoise.responders import MissingFileError

from notes.rendering import pygments_css
from notes.responses import Headers, Response, digest_of, make_response, send

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_FOR_EVER = ("Cache-Control", f"public, max-age={365 * 24 * 60 * 60}, immutable")
_REVALIDATED = ("Cache-Control", "public, max-age=0, must-revalidate")


class StaticFile:
    """A file's content in every encoding, and the version that names the content."""

    def __init__(self, path: str, content_type: str) -> None:
        self._response: Response = _read(Path(path))
        self._headers: Headers = (
            ("Content-Type", content_type),
            ("Vary", "Accept-Encoding"),
            ("X-Content-Type-Options", "nosniff"),
        )

    @property
    def version(self) -> str:
        """A hash of the content."""
        return self._response.digest

    def answer(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request for this file, whatever version it asks for."""
        is_wanted = environ.get("QUERY_STRING", "") == f"v={self.version}"
        headers = (*self._headers, _FOR_EVER if is_wanted else _REVALIDATED)
        return send(self._response, headers, environ, start_response)


class StaticFiles(WhiteNoise):  # type: ignore[misc]
    """
    A WSGI layer that answers for the static files of all apps.

    In development files are looked for, and read, at every request.
    """

    def __init__(self, application: WSGIApplication) -> None:
        super().__init__(application, autorefresh=settings.DEBUG)
        self._prefix = urlsplit(settings.STATIC_URL).path
        if not self.autorefresh:
            self.files = {
                self._prefix + name: file for name, file in _held_files().items()
            }

    def candidate_paths_for_url(self, url: str) -> Iterator[str]:
        """Yield the file of *url*, if an app has one; in development only."""
        if url.startswith(self._prefix):
            path = finders.find(url.removeprefix(self._prefix))
            if path:
                yield path

    def get_static_file(self, path: str, url: str, stat_cache: Any = None) -> Any:
        """Return the file at *path*, read now."""
        if not Path(path).is_file():
            raise MissingFileError(path)
        return StaticFile(path, _content_type(self, path, url))

    @staticmethod
    def serve(
        static_file: StaticFile, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer with *static_file*; 405 for a method that would change it."""
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            start_response(
                "405 Method Not Allowed",
                [
                    ("Allow", "GET, HEAD"),
                    ("Content-Type", "text/plain; charset=utf-8"),
                    ("Content-Length", "0"),
                ],
            )
            return ()
        return static_file.answer(environ, start_response)


def _read(path: Path) -> Response:
    """Return a file, with its compressed copies where it was given some."""
    body = path.read_bytes()
    zipped, packed = (path.with_name(path.name + suffix) for suffix in (".gz", ".br"))
    if not (zipped.exists() and packed.exists()):
        return make_response("file", body)
    copies = zipped.read_bytes(), packed.read_bytes()
    return Response("file", "200 OK", digest_of(body), body, *copies)


def url(name: str) -> str:
    """
    Return the URL of a static file, with its version.

    Raises:
        KeyError: no app has the file.
    """
    return f"{settings.STATIC_URL}{name}?v={_held_files()[name].version}"


def code_css() -> str:
    """
    Return what notes/code.css holds: the colours of code, in light and in dark.

    Which of the two is `color-scheme`'s to say, as in notes/site.css. Bold and italic
    are what the light one has.
    """
    light, dark = (dict(_rules(css)) for css in pygments_css())
    lines = []
    for selector in sorted(light.keys() | dark.keys()):
        ours, theirs = light.get(selector, {}), dark.get(selector, {})
        parts = [
            f"{name}: light-dark({ours.get(name, other)}, {theirs.get(name, other)})"
            for name, other in (
                ("color", "var(--text)"),
                ("background-color", "transparent"),
            )
            if name in ours or name in theirs
        ]
        parts += [
            f"{name}: {ours[name]}"
            for name in ("font-weight", "font-style")
            if name in ours
        ]
        if parts:
            lines.append(f"{selector} {{ {'; '.join(parts)} }}\n")
    return "".join(lines)


def _rules(css: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the selector and the declarations of each rule for a kind of code."""
    # Not the background: code has the site's own.
    for match in re.finditer(r"^(\.highlight \.\S+) \{(.*?)\}", css, re.MULTILINE):
        pairs = (part.split(":", 1) for part in match[2].split(";") if ":" in part)
        yield match[1], {name.strip(): value.strip() for name, value in pairs}


@functools.cache
def _held_files() -> dict[str, StaticFile]:
    """Return the static files of all apps, by name."""
    whitenoise = WhiteNoise(None)
    found: dict[str, StaticFile] = {}
    for finder in finders.get_finders():
        for path, storage in finder.list([]):
            # Of two files of a name the first finder's is the one; as collectstatic.
            name = str(Path(getattr(storage, "prefix", None) or "", path))
            if name not in found and not name.endswith((".br", ".gz")):
                full = storage.path(path)
                found[name] = StaticFile(full, _content_type(whitenoise, full, name))
    return found


def _content_type(whitenoise: WhiteNoise, path: str, url: str) -> str:
    headers = HeadersOfOneFile([])
    whitenoise.add_mime_headers(headers, path, url)
    return headers["Content-Type"] or "application/octet-stream"
