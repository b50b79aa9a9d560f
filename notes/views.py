"""What Django answers: documents that are made late, and everything unknown."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.http import require_safe

from notes import api, asides, feeds, llms
from notes.addresses import API, SITEMAP_PART, wsgi_path
from notes.following import ensure_site
from notes.pages import make_problem
from notes.responses import IDENTITY, SHARED_HEADERS, Response
from notes.site import current


@require_safe
def feed(request: HttpRequest) -> HttpResponse:
    """Answer with the Atom feed."""
    return _answer(request, feeds.feed(current() or ensure_site()))


@require_safe
def feed_of_part(request: HttpRequest) -> HttpResponse:
    """Answer with the Atom feed of a folder or a tag."""
    site = current() or ensure_site()
    found = feeds.feed_of_part(site, request.path_info)
    return unknown(request) if found is None else _answer(request, found)


@require_safe
def sitemap(request: HttpRequest) -> HttpResponse:
    """Answer with the sitemap, or with the index of its parts."""
    return _answer(request, feeds.sitemap(current() or ensure_site()))


@require_safe
def llms_txt(request: HttpRequest) -> HttpResponse:
    """Answer with the list of notes for language models."""
    return _answer(request, llms.llms(current() or ensure_site()))


@require_safe
def sitemap_part(request: HttpRequest, section: str) -> HttpResponse:
    """Answer with the part of the sitemap that `?p=` numbers."""
    part = request.GET.get("p", "1")
    if request.path != SITEMAP_PART or not (part.isascii() and part.isdecimal()):
        return unknown(request)
    try:
        page = feeds.sitemap(current() or ensure_site(), int(part[:9]))
    except Http404:
        return unknown(request)
    return _answer(request, page)


def unknown(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 404 with the site's own page; 405 where there is one to be read."""
    site = current() or ensure_site()
    path = wsgi_path(request.path_info)
    if request.method not in {"GET", "HEAD"} and (
        path in site.pages or path in site.files or asides.is_one(path)
    ):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    return _answer(request, site.missing)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 with a page of the site; with JSON where all answers are."""
    if request.path_info.startswith(API):
        return api.problem(500, "Something went wrong; its operator finds it logged.")
    site = current()
    if site is None:
        return HttpResponse("The site is not ready.\n", "text/plain", status=500)
    return _answer(
        request,
        make_problem(
            site.frame,
            "500 Internal Server Error",
            "Something went wrong",
            "The site could not answer this request. Its operator finds the reason "
            "in the log.",
        ),
    )


def _answer(request: HttpRequest, response: Response) -> HttpResponse:
    body, _, headers = response.variant(IDENTITY)
    answer = HttpResponse(
        b"" if request.method == "HEAD" else body,
        status=int(response.status.split()[0]),
    )
    for name, value in (*SHARED_HEADERS[response.kind], *headers):
        answer[name] = value
    return answer
