"""The write gate in one process: what is kept, told again, refused, left alone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from django.db import connection

from lifecycle import gate
from lifecycle.models import Epoch, StoredAnswer
from lifecycle.page import SharedPage, WorkerSlot
from lifecycle.peers import RunDir
from lifecycle.worker_state import WorkerState, set_state
from lifecycle.writes import WriteGate, make_seats

pytestmark = pytest.mark.django_db(transaction=True)

StartResponse = Callable[..., Any]


class Application:
    """Answers each request with *status* and its body, and writes when told to."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.bodies: list[bytes] = []
        self.writes = False

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        self.bodies.append(body)
        if self.writes:
            Epoch.objects.create(epoch=1000 + len(self.bodies), since=0)
        start_response(self.status, [("Content-Type", "text/plain")])
        return [b"%d " % len(self.bodies), body]


class Reply:
    def __init__(self) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_closed = False


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def worker(data_dir: Any) -> Iterator[WorkerState]:
    """Make this process a worker of an instance that holds the slot."""
    page = SharedPage()
    page.epoch = 1
    before = gate.authority()
    made = WorkerState(
        "one", page, WorkerSlot(page, 0), RunDir(data_dir), make_seats(4)
    )
    gate.set_authority(gate.WorkerAuthority(page))
    set_state(made)
    yield made
    set_state(None)
    gate.set_authority(before)


@pytest.fixture(autouse=True)
def _any_path(settings: Any) -> None:
    settings.LIFECYCLE_WRITE_PATHS = ["/"]
    settings.LIFECYCLE_WRITE_AUTHORITY = ""
    settings.LIFECYCLE_SEQUENCE = ""


def ask(
    application: Any, method: str = "PUT", body: bytes = b"body", **environ: Any
) -> Reply:
    reply = Reply()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        reply.status, reply.headers = status, dict(headers)

    def close() -> None:
        reply.is_closed = True

    chunks = application(
        {
            "REQUEST_METHOD": method,
            "PATH_INFO": "/a",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "lifecycle.close_connection": close,
            **environ,
        },
        start_response,
    )
    reply.body = b"".join(chunks)
    return reply


@pytest.mark.parametrize("is_worker", [False, True])
def test_a_body_over_the_limit_never_reaches_the_view(
    application: Application, settings: Any, request: Any, is_worker: bool
) -> None:
    if is_worker:
        request.getfixturevalue("worker")
    settings.LIFECYCLE_MAX_BODY_BYTES = 4
    gated = WriteGate(application)
    assert ask(gated, body=b"1234").body == b"1 1234"
    reply = ask(gated, body=b"12345")
    assert (reply.status[:3], reply.is_closed) == ("413", True)
    # Without a length, as chunks come: it is noticed on the way.
    reply = ask(gated, body=b"12345", CONTENT_LENGTH="")
    assert (reply.status[:3], reply.is_closed) == ("413", True)
    assert ask(gated, body=b"123", CONTENT_LENGTH="4").status[:3] == "400"
    assert application.bodies == [b"1234"]


def test_the_same_key_gets_the_same_answer(
    application: Application, worker: WorkerState
) -> None:
    gated = WriteGate(application)
    first = ask(gated, HTTP_IDEMPOTENCY_KEY="k")
    again = ask(gated, HTTP_IDEMPOTENCY_KEY="k")
    assert (again.status, again.headers, again.body) == (
        first.status,
        first.headers,
        first.body,
    )
    assert len(application.bodies) == 1
    assert ask(gated, body=b"other", HTTP_IDEMPOTENCY_KEY="k").status[:3] == "422"
    others: list[dict[str, Any]] = [
        {"HTTP_AUTHORIZATION": "Bearer x"},
        {"PATH_INFO": "/b"},
        {"REQUEST_METHOD": "POST"},
    ]
    for other in others:
        assert ask(gated, HTTP_IDEMPOTENCY_KEY="k", **other).status == "200 OK"
    assert len(application.bodies) == 4


@pytest.mark.parametrize("forwarded", [False, True])
def test_who_is_not_let_in_any_more_is_not_told_a_stored_answer(
    application: Application, worker: WorkerState, settings: Any, forwarded: bool
) -> None:
    settings.LIFECYCLE_WRITE_AUTHORITY = f"{__name__}.shows_a_good_token"
    request: dict[str, Any] = {
        "HTTP_AUTHORIZATION": "Bearer x",
        "HTTP_IDEMPOTENCY_KEY": "k",
        "lifecycle.forwarded": forwarded,
    }
    gated = WriteGate(application)
    good_tokens.add("Bearer x")
    first = ask(gated, **request)
    assert ask(gated, **request).body == first.body == b"1 body"
    good_tokens.clear()
    application.status = "401 Unauthorized"
    for body in (b"body", b"other"):
        # The application refuses: not the gate, which would tell of the key.
        assert ask(gated, body=body, **request).status == "401 Unauthorized"
    assert len(application.bodies) == 3
    good_tokens.add("Bearer x")
    assert ask(gated, **request).body == first.body


good_tokens: set[str] = set()


def shows_a_good_token(environ: dict[str, Any]) -> bool:
    """Return whether who sent this is let in."""
    return environ["HTTP_AUTHORIZATION"] in good_tokens


@pytest.mark.parametrize(
    ("status", "writes", "kept"),
    [
        ("200 OK", False, True),
        ("303 See Other", False, True),
        ("401 Unauthorized", False, False),
        ("409 Conflict", True, True),
        ("500 Internal Server Error", True, False),
    ],
)
def test_what_was_committed_is_kept_and_refusals_are_not(
    application: Application,
    worker: WorkerState,
    status: str,
    writes: bool,
    kept: bool,
) -> None:
    application.status, application.writes = status, writes
    gated = WriteGate(application)
    for _ in range(2):
        assert ask(gated, HTTP_IDEMPOTENCY_KEY="k").status == status
    assert len(application.bodies) == (1 if kept else 2)
    assert StoredAnswer.objects.count() == int(kept)
    # An answer of 5xx undoes what the view wrote.
    assert Epoch.objects.count() == int(writes and kept)


def test_an_answer_that_is_told_again_tells_the_sequence(
    application: Application, worker: WorkerState, settings: Any
) -> None:
    settings.LIFECYCLE_SEQUENCE = f"{__name__}.sequence"
    forwarded: dict[str, Any] = {
        "lifecycle.forwarded": True,
        "HTTP_X_LIFECYCLE_WRITE_ID": "w",
    }
    gated = WriteGate(application)
    for _ in range(2):
        worker.page.integers[3] = 0  # its instance has begun anew
        reply = ask(gated, **forwarded)
        assert reply.body == b"1 body"
        assert reply.headers["X-Lifecycle-Sequence"] == "42"
        assert worker.page.sequence == 42
    assert len(application.bodies) == 1


def sequence() -> int:
    """Return the state of the data."""
    return 42


def test_whoever_comes_beyond_the_seats_is_turned_away_at_once(
    application: Application, worker: WorkerState
) -> None:
    gated = WriteGate(application)
    for _ in range(2):
        assert worker.seats.acquire(blocking=False)
    reply = ask(gated)
    assert (reply.status[:3], reply.headers["Retry-After"]) == ("503", "1")
    assert reply.is_closed
    assert set(json.loads(reply.body)) == {"error"}
    assert application.bodies == []
    # Readers need no seat.
    assert ask(gated, "GET").status == "200 OK"
    worker.seats.release()
    assert ask(gated).status == "200 OK"
    # The seat is free again, also when the application fails.
    application.status = "500 Internal Server Error"
    for _ in range(3):
        assert ask(gated).status[:3] == "500"


def test_what_may_not_write_needs_no_writer(
    application: Application, worker: WorkerState, settings: Any
) -> None:
    settings.LIFECYCLE_WRITE_PATHS = ["/api/"]
    worker.page.epoch = 0
    for _ in range(2):
        worker.seats.acquire()
    gated = WriteGate(application)
    assert ask(gated, "POST").status == "200 OK"
    assert ask(gated, PATH_INFO="/api/a").status[:3] == "503"


def test_a_large_body_is_whole_and_kept_on_disk(
    application: Application, worker: WorkerState
) -> None:
    body = b"0123456789" * 200_000
    reply = ask(WriteGate(application), body=body)
    assert application.bodies == [body]
    assert len(reply.body) == len(body) + 2
    assert not connection.in_atomic_block
