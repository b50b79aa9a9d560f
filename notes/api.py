"""
The API: notes are put, read and deleted one at a time, as Markdown.

    PUT, GET, DELETE /api/notes/PATH

Whoever shows a token may do all of it, and sees drafts. Every answer is JSON. In an
instance a PUT or DELETE runs in one transaction, in whatever instance writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.csrf import csrf_exempt

from notes import site as sites
from notes.addresses import quote
from notes.authoring import put_note, remove_note
from notes.conf import conf
from notes.exceptions import UnreadableFileError
from notes.looking import catch_up
from notes.models import Note
from notes.sources import load_note
from notes.tokens import find_token
from notes.vault import note_path

# What a body of Markdown may be called. curl calls everything a form.
_MEDIA_TYPES = (
    "text/",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
)


class _RefusalError(Exception):
    """Carries the answer, which says why nothing was done."""

    def __init__(self, answer: HttpResponse) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


@csrf_exempt  # a token is shown on purpose; no browser sends one by itself
def note(request: HttpRequest, path: str) -> HttpResponse:
    """Answer a request for the note at *path*."""
    try:
        _authorise(request)
        return _method_of(request)(request, _path_of(path))
    except _RefusalError as exc:
        return exc.answer


def problem(status: int, error: str) -> HttpResponse:
    """Return an answer that says in one line what is wrong."""
    return _answer({"error": error}, status)


def _refusal(status: int, error: str) -> _RefusalError:
    return _RefusalError(problem(status, error))


def _authorise(request: HttpRequest) -> None:
    shown = request.headers.get("Authorization", "")
    if find_token(shown) is None:
        answer = problem(
            401,
            "Show a token that `manage.py token create` made: "
            "'Authorization: Bearer TOKEN'.",
        )
        # RFC 6750, 3.1: no error code for who has not tried.
        answer["WWW-Authenticate"] = (
            'Bearer error="invalid_token"' if shown else "Bearer"
        )
        raise _RefusalError(answer)


def _method_of(request: HttpRequest) -> Callable[[HttpRequest, str], HttpResponse]:
    do = _METHODS.get(request.method or "")
    if do is None:
        answer = problem(405, f"Use one of {', '.join(_METHODS)}.")
        answer["Allow"] = ", ".join(_METHODS)
        raise _RefusalError(answer)
    return do


def _path_of(path: str) -> str:
    """Return the path of the note that is asked for."""
    try:
        return note_path(path)
    except UnreadableFileError as exc:
        raise _refusal(422, f"The path cannot be a note's: {exc}.") from exc


def _get(request: HttpRequest, path: str) -> HttpResponse:
    found = _find(path)
    _check_conditions(request, found)
    if found is None:
        raise _refusal(404, f"There is no note {path!r}.")
    return _answer(
        {
            "path": found.path,
            "source": found.source,
            "hash": found.content_hash,
            "modified_at": found.modified_at.isoformat(),
            "published": load_note(found) is not None,
            "url": _page_of(found),
        },
        etag=_etag(found),
    )


def _put(request: HttpRequest, path: str) -> HttpResponse:
    _refuse_beside_vault()
    if request.content_type and not request.content_type.startswith(_MEDIA_TYPES):
        raise _refusal(
            415, f"Send the note itself, as text/markdown, not {request.content_type}."
        )
    data = request.read(conf.max_note_size + 1)
    if len(data) > conf.max_note_size:
        raise _refusal(413, f"A note has at most {conf.max_note_size:,} bytes.")
    _check_conditions(request, _find(path))
    try:
        written = put_note(path, data)
    except UnreadableFileError as exc:
        raise _refusal(422, f"The note {path!r} cannot be taken in: {exc}.") from exc
    return _answer(
        {
            "path": path,
            "hash": written.note.content_hash,
            "epoch": conf.epoch(),
            "sequence": written.sequence,
            "url": _page_of(written.note),
        },
        201 if written.is_new else 200,
        etag=_etag(written.note),
    )


def _delete(request: HttpRequest, path: str) -> HttpResponse:
    _refuse_beside_vault()
    found = _find(path)
    _check_conditions(request, found)
    if found is None:
        raise _refusal(404, f"There is no note {path!r}.")
    sequence = remove_note(found)
    return _answer({"path": path, "epoch": conf.epoch(), "sequence": sequence})


_METHODS: dict[str, Callable[[HttpRequest, str], HttpResponse]] = {
    "GET": _get,
    "HEAD": _get,
    "PUT": _put,
    "DELETE": _delete,
}


def _find(path: str) -> Note | None:
    return Note.objects.filter(path=path).first()


def _refuse_beside_vault() -> None:
    if conf.vault_dir is not None:
        raise _refusal(
            409,
            "This site shows the vault that VAULT_DIR names, and its next sync would "
            "undo what is written here. Write into the vault instead.",
        )


def _check_conditions(request: HttpRequest, found: Note | None) -> None:
    """Obey If-Match and If-None-Match, with the hash for an ETag."""
    etag = _etag(found) if found else None
    answer = get_conditional_response(request, etag=etag)
    if answer is None:
        return
    if answer.status_code == 412:
        state = f"has the ETag {etag}" if found else "does not exist"
        raise _refusal(412, f"Nothing was done: the note {state}.")
    answer["Cache-Control"] = "no-store"
    raise _RefusalError(answer)


def _etag(found: Note) -> str:
    return f'"{found.content_hash}"'


def _page_of(found: Note) -> str | None:
    """Return the URL of the note's page; None when it has none."""
    source = load_note(found)
    if source is None:
        return None
    # Only a process that nobody warmed has no Site: a test's.
    site = sites.current() or catch_up(None)
    return conf.public_url + quote(site.foresee_address(source))


def _answer(
    values: dict[str, Any], status: int = 200, *, etag: str = ""
) -> HttpResponse:
    answer = JsonResponse(
        values, status=status, json_dumps_params={"ensure_ascii": False}
    )
    answer["Cache-Control"] = "no-store"
    if etag:
        answer["ETag"] = etag
    return answer
