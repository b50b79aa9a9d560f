"""
Answers to writes: the refusals of the gate, and those that are stored.

A stored answer makes a write safe to send again. Its key is a client's own
Idempotency-Key (within one token, method and path), or the id under which a
write was forwarded. Models are imported inside functions: a project's wsgi.py
imports this before Django is set up.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

Environ = dict[str, Any]

# How long a stored answer is kept, in seconds: a day.
KEPT_SECONDS = 24 * 3600.0


@dataclasses.dataclass
class WriteAnswer:
    """A complete response."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def is_failure(self) -> bool:
        """Whether nothing of the request may be kept."""
        return self.status.startswith("5")

    @property
    def is_busy(self) -> bool:
        """Whether the client is told to try again."""
        return self.status.startswith("503")

    @property
    def is_refusal(self) -> bool:
        """Whether the client is told that it asked for the wrong thing."""
        return self.status.startswith("4")

    def send(self, start_response: Callable[..., Any]) -> list[bytes]:
        """Start the response and return its body."""
        headers = [(n, v) for n, v in self.headers if n.lower() != "content-length"]
        headers.append(("Content-Length", str(len(self.body))))
        start_response(self.status, headers)
        return [self.body]


def _refusal(
    environ: Environ, status: str, text: str, *headers: tuple[str, str]
) -> WriteAnswer:
    """Return an error in one line: as text for a browser, else as JSON."""
    if "text/html" in environ.get("HTTP_ACCEPT", ""):
        content_type, body = "text/plain; charset=utf-8", text + "\n"
    else:
        content_type, body = "application/json", json.dumps({"error": text}) + "\n"
    return WriteAnswer(
        status,
        [("Content-Type", content_type), ("Cache-Control", "no-store"), *headers],
        body.encode(),
    )


def busy(environ: Environ, why: str) -> WriteAnswer:
    """Return 503: nothing was written, try again."""
    return _refusal(
        environ,
        "503 Service Unavailable",
        f"Nothing was written: {why}. Try again in a moment.",
        ("Retry-After", "1"),
    )


def too_large(environ: Environ, limit: int) -> WriteAnswer:
    """Return 413; the rest of the body is not read."""
    return _refusal(
        environ,
        "413 Content Too Large",
        f"Nothing was written: the body is larger than {limit} bytes.",
    )


def too_slow(environ: Environ) -> WriteAnswer:
    """Return 408: the body did not come in time."""
    return _refusal(
        environ,
        "408 Request Timeout",
        "Nothing was written: the body did not arrive in time.",
    )


def incomplete(environ: Environ) -> WriteAnswer:
    """Return 400: the client went away in the middle of its body."""
    return _refusal(
        environ, "400 Bad Request", "Nothing was written: the body ended too early."
    )


def misdirected() -> WriteAnswer:
    """Return 421, for a peer: this is not the holder, or has no seat; nothing ran."""
    return WriteAnswer("421 Misdirected Request", [("Content-Type", "text/plain")], b"")


def undone(environ: Environ) -> WriteAnswer:
    """Return 500: the view took no notice of an error that undoes its transaction."""
    return _refusal(
        environ,
        "500 Internal Server Error",
        "Nothing was written: the application went on after an error of the database.",
    )


def unknown_outcome(environ: Environ) -> WriteAnswer:
    """Return 504: the write may have happened, and nobody answered in time."""
    return _refusal(
        environ,
        "504 Gateway Timeout",
        "The outcome is unknown: the write was sent to the writer, which did not "
        "answer in time. Look before you send it again, or use an Idempotency-Key.",
    )


def key_of(environ: Environ, write_id: str) -> str:
    """
    Return the key under which a request's answer is stored; '' for none.

    Args:
        environ: of the request, where a client's own key counts.
        write_id: under which the write was, or may have been, sent; '' for none.
    """
    own = environ.get("HTTP_IDEMPOTENCY_KEY", "")
    if own:
        parts = [
            "client",
            environ.get("HTTP_AUTHORIZATION", ""),
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", ""),
            own,
        ]
    elif write_id:
        parts = ["forwarded", write_id]
    else:
        return ""
    return hashlib.sha256(
        "\0".join(parts).encode("utf-8", "surrogateescape")
    ).hexdigest()


def find(key: str, body_hash: str, environ: Environ) -> WriteAnswer | None:
    """Return the answer stored under *key*; 422 when it was to another body."""
    from lifecycle.models import StoredAnswer

    if not key:
        return None
    row = StoredAnswer.objects.filter(
        key=key, created_at__gt=time.time() - KEPT_SECONDS
    ).first()
    if row is None:
        return None
    if row.body_hash != body_hash:
        return _refusal(
            environ,
            "422 Unprocessable Content",
            "Nothing was written: this Idempotency-Key was used with another body.",
        )
    headers = [(name, value) for name, value in row.headers]
    return WriteAnswer(row.status, headers, bytes(row.body))


def store(key: str, body_hash: str, answer: WriteAnswer) -> None:
    """Store *answer*, and forget those that are too old. Inside the write's transaction."""
    from lifecycle.models import StoredAnswer

    now = time.time()
    StoredAnswer.objects.filter(created_at__lte=now - KEPT_SECONDS).delete()
    StoredAnswer.objects.create(
        key=key,
        body_hash=body_hash,
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
        created_at=now,
    )
