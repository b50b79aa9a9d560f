"""A small site for tests of the instance: pages, and views that hang when told to."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import django
from django.conf import settings

django.setup()

_PAGE = (
    "<!doctype html><html><head><title>{title}</title>"
    '<link rel="stylesheet" href="/static/site.css"></head>'
    '<body><img src="/files/picture.svg"><p>{text}</p></body></html>\n'
)
_TEXT = "A page of a usual size. " * 380
_NEVER = threading.Event()

StartResponse = Callable[..., Any]


def application(
    environ: dict[str, Any], start_response: StartResponse
) -> Iterable[bytes]:
    """Answer by path; an unknown one is 404."""
    path = environ["PATH_INFO"]
    kind = "text/html; charset=utf-8"
    status = "200 OK"
    if path == "/stuck":
        note("stuck")
        _NEVER.wait()
    if path == "/hung":
        note("hung")
        hang(float(environ["QUERY_STRING"]))
    if path == "/held":
        note("held")
        wait_for(Path(settings.DATA_DIR) / "let-go")
    if path == "/pid":
        body = str(os.getpid()).encode()
    elif path == "/sitemap.xml":
        places = "".join(f"<loc>http://localhost/page-{n}</loc>" for n in range(10))
        body = f"<urlset>{places}</urlset>".encode()
    elif path.startswith("/static/"):
        kind, body = "text/css", b"body { margin: 2em }\n" * 200
    elif path.startswith("/files/"):
        kind, body = "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    elif path.startswith("/page-") or path in {"/", "/held", "/hung", "/streamed"}:
        body = _PAGE.format(title=path, text=_TEXT).encode()
    else:
        status, body = "404 Not Found", b"no such page"
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return stream(body) if path == "/streamed" else [body]


def stream(body: bytes) -> Iterator[bytes]:
    """Send the first byte at once, and the rest when the test says so."""
    yield body[:1]
    wait_for(Path(settings.DATA_DIR) / "let-go")
    yield body[1:]


def hang(seconds: float) -> None:
    """Let no Python run in this process for so long, as a slow disk may."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def note(name: str) -> None:
    """Leave a file that tells the test that a request has come this far."""
    path = Path(settings.DATA_DIR) / f"{name}-{os.getpid()}-{threading.get_ident()}"
    path.touch()


def wait_for(path: Path) -> None:
    """Return once *path* is there."""
    while not path.exists():
        time.sleep(0.01)


def warm(context: Any) -> dict[str, int]:
    """Warm up: while 'hold-warmup' is in the data directory, no further than half."""
    context.report(5, 10, "notes")
    while (Path(settings.DATA_DIR) / "hold-warmup").exists():
        time.sleep(0.01)
    context.report(10, 10, "notes")
    return {"notes": 10}
