"""Hosts: which names of this site a request may use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from notes.conf import conf

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")

# Bounds what a client that makes names up can have remembered.
_MAX_REMEMBERED = 1000


class AllowedHosts:
    """
    A WSGI layer that lets requests pass whose Host is one of ALLOWED_HOSTS.

    On any port, and the local ones always. It stands in front of what Django never
    sees; Django's own check answers with a page for developers, or none.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._patterns = (*LOCAL_HOSTS, *settings.ALLOWED_HOSTS)
        self._known: set[str] = set()
        self._refusal = (
            f"This host is not served here. The site is at {conf.public_url}, "
            "its PUBLIC_URL.\n"
        ).encode()

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request."""
        host = environ.get("HTTP_HOST", "")
        if host in self._known or self._learn(host):
            return self._application(environ, start_response)
        start_response(
            "400 Bad Request",
            [
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(self._refusal))),
                ("Cache-Control", "no-store"),
            ],
        )
        return () if environ["REQUEST_METHOD"] == "HEAD" else (self._refusal,)

    def _learn(self, host: str) -> bool:
        """Return whether *host* is allowed, and remember it if so."""
        domain, _ = split_domain_port(host)
        if not domain or not validate_host(domain, self._patterns):
            return False
        if len(self._known) < _MAX_REMEMBERED:
            self._known.add(host)
        return True
