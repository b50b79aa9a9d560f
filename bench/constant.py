"""
A WSGI application that answers everything with one body: what gunicorn can do at best.

    gunicorn 'bench.constant:make(9000)'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

StartResponse = Callable[..., Any]


def make(size: int) -> Callable[[dict[str, Any], StartResponse], list[bytes]]:
    """Return an application that answers with *size* bytes."""
    body = [b"x" * size]
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(size)),
    ]

    def application(
        environ: dict[str, Any], start_response: StartResponse
    ) -> list[bytes]:
        start_response("200 OK", headers)
        return body

    return application
