"""The pages that a worker answers on its instance's own socket: /healthz."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from asgiref.sync import async_to_sync
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from health_check.views import HealthCheckView

from lifecycle.conf import conf

Environ = dict[str, Any]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class WorkerPages:
    """
    WSGI layer in front of the application.

    A request carries the instance's token only if it came over the instance's
    own socket: the worker adds it there, and nobody else knows it.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], token: str) -> None:
        self._application = application
        self._token = token

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in _SAFE:
            # gunicorn drops an application's own 'Connection: close'.
            environ["lifecycle.close_connection"] = start_response.__self__.force_close  # type: ignore[attr-defined]
        if environ.get("HTTP_X_LIFECYCLE_INTERNAL") != self._token:
            return self._application(environ, start_response)
        if "HTTP_X_LIFECYCLE_WRITE_ID" in environ:
            environ["lifecycle.forwarded"] = True
            return self._application(environ, start_response)
        if environ["PATH_INFO"] != "/healthz":
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        response = health(environ)
        start_response(
            f"{response.status_code} {response.reason_phrase}",
            list(response.items()),
        )
        return [response.content]


def health(environ: Environ) -> HttpResponse:
    """Run the health checks; failed is 503 here, where the library says 500."""
    request = WSGIRequest(environ)
    view = HealthCheckView.as_view(checks=conf.health_checks)
    response: HttpResponse = async_to_sync(view)(request)
    if hasattr(response, "render"):
        response.render()
    if response.status_code == 500:
        response.status_code = 503
    response["Content-Length"] = str(len(response.content))
    return response
