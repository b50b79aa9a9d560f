"""Safe requests only read: the gate is shut while one runs."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from lifecycle import gate

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class ReadOnlyMiddleware:
    """
    Refuse a write in a GET, also where the database has no gate: in tests.

    In an instance every connection is query-only outside the gate anyway; this
    makes a test of a view fail where production would.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in SAFE_METHODS:
            return self._get_response(request)
        with gate.shut():
            return self._get_response(request)
