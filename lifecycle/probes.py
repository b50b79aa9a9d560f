"""
The WSGI mini-app of the internal port: /livez, /readyz, /healthz.

Bodies are short and made for people ('warming: 4312/10000 notes'); machines
use the status code. `?verbose` gives a line a check and `?exclude=NAME` leaves
one out, as the z-pages of Kubernetes do; JSON comes by Accept. No exception
text, ever. GET and HEAD only.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Check:
    """
    What one check found.

    Attributes:
        name: what `?exclude=` takes.
        text: why, in a few words; a person reads it.
    """

    name: str
    ok: bool
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Answer:
    """A response: status line, content type, body."""

    status: str
    content_type: str
    body: bytes


_TEXT = "text/plain; charset=utf-8"


def text_answer(status: str, text: str) -> Answer:
    """Return a plain text response of one or more lines."""
    return Answer(status, _TEXT, text.encode() + b"\n")


def json_answer(status: str, value: object) -> Answer:
    """Return a JSON response."""
    return Answer(status, "application/json", json.dumps(value).encode() + b"\n")


def report(
    probe: str, checks: Iterable[Check], query: Mapping[str, list[str]], accept: str
) -> Answer:
    """
    Return the response of *probe* for what its *checks* found.

    Args:
        probe: 'livez' or 'readyz'.
        checks: in the order that they are shown.
        query: of the request: `verbose`, and `exclude`, which may repeat.
        accept: the request's Accept header.
    """
    excluded = set(query.get("exclude", []))
    lines: list[str] = []
    failed: list[str] = []
    shown: list[dict[str, object]] = []
    for check in checks:
        if check.name in excluded:
            excluded.discard(check.name)
            lines.append(f"[+]{check.name} excluded: ok")
            shown.append({"name": check.name, "ok": True, "text": "excluded"})
            continue
        shown.append({"name": check.name, "ok": check.ok, "text": check.text})
        reason = f" {check.text}" if check.text else ""
        lines.append(
            f"[+]{check.name} ok{reason}" if check.ok else f"[-]{check.name}{reason}"
        )
        if not check.ok:
            failed.append(check.text or check.name)
    lines.extend(f"warning: no check is named {name!r}" for name in sorted(excluded))
    status = "503 Service Unavailable" if failed else "200 OK"
    if "application/json" in accept:
        return json_answer(
            status, {"status": "failed" if failed else "ok", "checks": shown}
        )
    if "verbose" in query:
        lines.append(f"{probe} check {'failed' if failed else 'passed'}")
        return text_answer(status, "\n".join(lines))
    return text_answer(status, "; ".join(failed) or "ok")


def json_body(environ: Environ) -> Any:
    """
    Return the JSON of a request's body, at most 1 MB of it.

    Raises:
        ValueError: it is no JSON.
    """
    length = min(int(environ.get("CONTENT_LENGTH") or 0), 1 << 20)
    return json.loads(environ["wsgi.input"].read(length))


class ProbeApplication:
    """
    The WSGI application of the internal port.

    Args:
        probes: path to a function that returns the checks; it must not block.
        pages: path to a function of the request's environ that returns an answer.
        actions: the same for POST; the TCP port has none.
    """

    def __init__(
        self,
        probes: Mapping[str, Callable[[], Iterable[Check]]],
        pages: Mapping[str, Callable[[Environ], Answer]],
        actions: Mapping[str, Callable[[Environ], Answer]] | None = None,
    ) -> None:
        self._actions = dict(actions or {})
        self._probes = dict(probes)
        self._pages = dict(pages)

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        answer = self._answer(environ)
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if answer.status.startswith("405"):
            headers.append(("Allow", "GET, HEAD"))
        start_response(answer.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, environ: Environ) -> Answer:
        path = environ.get("PATH_INFO", "")
        if path in self._actions and environ["REQUEST_METHOD"] == "POST":
            return self._actions[path](environ)
        if path not in self._probes and path not in self._pages:
            known = ", ".join(sorted([*self._probes, *self._pages]))
            return text_answer("404 Not Found", f"not found; here are {known}")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return text_answer("405 Method Not Allowed", "GET and HEAD only")
        if path in self._pages:
            return self._pages[path](environ)
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        accept = environ.get("HTTP_ACCEPT", "")
        return report(path.lstrip("/"), self._probes[path](), query, accept)
