"""Serving: a WSGI layer that answers for pages and attachments from memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db import DatabaseError

from notes import asides
from notes import site as sites
from notes.addresses import API
from notes.attachments import send_attachment
from notes.conf import conf
from notes.following import catch_up_to, ensure_site
from notes.markdown import find_markdown
from notes.responses import SHARED_HEADERS, send

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from notes.site import Site

logger = logging.getLogger(__name__)

_SAFE_METHODS = frozenset({"GET", "HEAD"})


class Pages:
    """
    A WSGI layer in front of Django: what is in the Site is answered from it.

    A page costs a look-up: no lock, no database, nothing made. Unsafe methods, and
    paths that the Site knows nothing of, go on to Django. A Site that is older than
    what this instance has acknowledged to a writer is brought up to date first.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._expected_sequence = conf.expected_sequence

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request."""
        site = sites.current()
        if site is None:
            try:
                site = ensure_site()
            except DatabaseError:
                logger.exception("event=site_not_made")
                return _answer_unready(start_response)
        if environ["REQUEST_METHOD"] in _SAFE_METHODS:
            expected = self._expected_sequence()
            if expected > site.sequence:
                site = catch_up_to(expected) or site
            page = site.pages.get(environ["PATH_INFO"])
            if page is not None:
                return send(page, SHARED_HEADERS[page.kind], environ, start_response)
            answer = _answer_rarer(site, environ, start_response)
            if answer is not None:
                return answer
        return self._application(environ, start_response)


def _answer_unready(start_response: StartResponse) -> Iterable[bytes]:
    body = b"The site is not ready: its database cannot be read.\n"
    start_response(
        "503 Service Unavailable",
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Retry-After", "5"),
        ],
    )
    return (body,)


def _answer_rarer(
    site: Site, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes] | None:
    """Answer for what is no page, if the Site has it."""
    path = environ["PATH_INFO"]
    if path.startswith(API):
        return None
    aside = asides.answer(site, path, environ)
    if aside is not None:
        return send(aside, SHARED_HEADERS[aside.kind], environ, start_response)
    attachment = site.files.get(path)
    if attachment is not None:
        return send_attachment(attachment, site.missing, environ, start_response)
    document = site.documents.get(path)
    if document is not None and not environ.get("QUERY_STRING"):
        return send(document, SHARED_HEADERS[document.kind], environ, start_response)
    markdown = find_markdown(site, path)
    if markdown is not None:
        return send(markdown, SHARED_HEADERS[markdown.kind], environ, start_response)
    target = site.redirect(path)
    if target is None:
        return None
    if query := environ.get("QUERY_STRING"):
        target = f"{target}?{query}"
    start_response(
        "301 Moved Permanently",
        [
            ("Location", target),
            ("Content-Type", "text/plain; charset=utf-8"),
            # Without this a browser would keep it for ever, and the author could
            # not give the address to another note.
            ("Cache-Control", "no-cache"),
            ("Content-Length", "0"),
        ],
    )
    return ()
