"""A write on its way to the holder: sent, refused, lost, asked for again."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection

from lifecycle import forward, gate
from lifecycle.forward import NOT_SENT
from lifecycle.models import AppliedMigration
from lifecycle.page import SharedPage, WorkerSlot
from lifecycle.peers import RunDir
from lifecycle.worker_state import WorkerState, set_state
from lifecycle.writes import WriteGate, make_seats
from tests.lifecycle.guarded import begin_epoch, names, outsider, row, save_twice

Script = Callable[[socket.socket], None]
Application = Callable[[dict[str, Any], Any], list[bytes]]


def answering(text: str) -> Script:
    """Answer with *text*, whose lines end as HTTP's do."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(text.replace("\n", "\r\n").encode())

    return answer


def silent(connection: socket.socket) -> None:
    """Close without a word, as a process that died."""


MISDIRECTED = answering("HTTP/1.1 421 Misdirected Request\nContent-Length: 0\n\n")
DONE = answering(
    "HTTP/1.1 201 Created\nContent-Type: text/plain\nContent-Length: 4\n"
    "Connection: close\nServer: gunicorn\nDate: now\nX-Lifecycle-Sequence: 41\n\ndone"
)


class Holder:
    """What listens where a holder's workers would; it follows a script."""

    def __init__(self, run_dir: RunDir) -> None:
        run_dir.create()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.scripts: list[Script] = []
        self._listener = run_dir.listen("holder.fwd")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                line = stream.readline().decode("latin-1").strip()
                headers: dict[str, str] = {}
                while field := stream.readline().decode("latin-1").strip():
                    name, _, value = field.partition(": ")
                    assert name.lower() not in headers, name
                    headers[name.lower()] = value
                if "content-length" not in headers:
                    continue  # its sender gave up before it began
                body = stream.read(int(headers["content-length"]))
                self.requests.append((line, headers, body))
                with contextlib.suppress(BrokenPipeError):  # or gave up by now
                    self.scripts.pop(0)(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def run_dir(data_dir: Path) -> RunDir:
    return RunDir(data_dir)


@pytest.fixture
def holder(run_dir: RunDir) -> Iterator[Holder]:
    made = Holder(run_dir)
    yield made
    made.close()


def environ(body: bytes = b"body", **changes: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": "/api/notes/a",
        "RAW_URI": "/api/notes/a?x=%20",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "text/markdown",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_HOST": "notes.example",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        **changes,
    }


def send(run_dir: RunDir, seconds: float = 10.0, **changes: Any) -> forward.Outcome:
    request = environ(**changes)
    return forward.send(
        run_dir, "holder", request, request["wsgi.input"], "the-id", seconds
    )


# -- one sending --------------------------------------------------------------


def test_a_write_comes_to_the_holder_as_its_client_sent_it(
    run_dir: RunDir, holder: Holder
) -> None:
    holder.scripts = [DONE]
    outcome = send(
        run_dir,
        HTTP_AUTHORIZATION="Bearer t",
        HTTP_IF_MATCH='"1"',
        HTTP_IDEMPOTENCY_KEY="k",
        # Of this hop, or not for a client to say.
        HTTP_CONNECTION="keep-alive",
        HTTP_KEEP_ALIVE="5",
        HTTP_TE="trailers",
        HTTP_TRAILER="X",
        HTTP_TRANSFER_ENCODING="chunked",
        HTTP_UPGRADE="h2c",
        HTTP_EXPECT="100-continue",
        HTTP_PROXY_AUTHORIZATION="Basic x",
        HTTP_X_FORWARDED_FOR="198.51.100.9",
        HTTP_X_FORWARDED_PROTO="gopher",
        HTTP_X_LIFECYCLE_INTERNAL="guess",
        HTTP_X_LIFECYCLE_WRITE_ID="guess",
        HTTP_X_LIFECYCLE_REMAINING_MS="1",
    )
    ((line, headers, body),) = holder.requests
    assert (line, body) == ("PUT /api/notes/a?x=%20 HTTP/1.1", b"body")
    # The holder gives up a little sooner, and says so.
    assert int(headers.pop("x-lifecycle-remaining-ms")) == 9750
    assert headers == {
        "host": "notes.example",
        "accept-encoding": "identity",
        "authorization": "Bearer t",
        "if-match": '"1"',
        "idempotency-key": "k",
        "content-length": "4",
        "content-type": "text/markdown",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-proto": "https",
        "x-lifecycle-write-id": "the-id",
    }
    assert outcome.answer is not None
    assert outcome.answer.status == "201 Created"
    assert outcome.answer.body == b"done"
    assert ("Content-Type", "text/plain") in outcome.answer.headers
    assert {name for name, _ in outcome.answer.headers} == {
        "Content-Type",
        "Content-Length",
    }
    assert (outcome.may_have_run, outcome.sequence) == (False, 41)


@pytest.mark.parametrize(
    ("raw", "sent"),
    [
        ("/api/notes/Zo\xc3\xab", "/api/notes/Zo%C3%AB"),  # UTF-8, as curl sends it
        ("/api/notes/Zo%C3%AB?q=%2F", "/api/notes/Zo%C3%AB?q=%2F"),
        ("*", "*"),
    ],
)
def test_a_target_is_sent_in_ascii(
    run_dir: RunDir, holder: Holder, raw: str, sent: str
) -> None:
    holder.scripts = [DONE]
    assert send(run_dir, RAW_URI=raw).answer is not None
    assert holder.requests[0][0] == f"PUT {sent} HTTP/1.1"


def test_who_is_not_the_holder_has_run_nothing(run_dir: RunDir, holder: Holder) -> None:
    holder.scripts = [MISDIRECTED]
    assert send(run_dir) == NOT_SENT


def test_where_nobody_listens_nothing_was_sent(run_dir: RunDir) -> None:
    run_dir.create()
    assert send(run_dir) == NOT_SENT


def test_one_whose_body_was_not_taken_to_its_end_has_not_run(run_dir: RunDir) -> None:
    run_dir.create()
    with contextlib.closing(run_dir.listen("holder.fwd")) as listener:

        def take_a_part() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=take_a_part)
        thread.start()
        body = b"x" * 10_000_000
        request = environ(body)
        outcome = forward.send(
            run_dir, "holder", request, request["wsgi.input"], "the-id", 10
        )
        thread.join()
    assert outcome == NOT_SENT


def test_without_time_nothing_is_sent(run_dir: RunDir, holder: Holder) -> None:
    assert send(run_dir, seconds=0) == NOT_SENT
    assert holder.requests == []


@pytest.mark.parametrize(
    "script",
    [
        silent,
        answering("HTTP/1.1 201 Cre"),
        answering("HTTP/1.1 201 Created\nContent-Length: 9\n\ndone"),
        answering("what\n\n"),
    ],
    ids=["no answer", "half a line", "half a body", "no HTTP"],
)
def test_a_lost_answer_leaves_the_fate_open(
    run_dir: RunDir, holder: Holder, script: Script
) -> None:
    holder.scripts = [script]
    outcome = send(run_dir)
    assert (outcome.answer, outcome.may_have_run) == (None, True)


def test_a_holder_that_does_not_answer_in_time_leaves_the_fate_open(
    run_dir: RunDir, holder: Holder
) -> None:
    until = threading.Event()

    def wait(connection: socket.socket) -> None:
        until.wait(10)

    holder.scripts = [wait]
    outcome = send(run_dir, seconds=0.1)
    assert (outcome.answer, outcome.may_have_run) == (None, True)
    until.set()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 10.0), ("1500", 1.5), ("99000", 10.0), ("-1", 10.0), ("x", 10.0)],
)
def test_a_receiver_takes_no_longer_than_the_sender_waits(
    text: str, seconds: float
) -> None:
    assert forward.remaining({forward.REMAINING_HEADER: text}, 10.0) == seconds


# -- the whole way of a write, in a worker that does not hold the slot --------


@pytest.fixture
def worker(guarded: Path, run_dir: RunDir) -> Iterator[WorkerState]:
    """Be a worker of an instance that stands by; `holder` has epoch 7."""
    begin_epoch(guarded, 7, "holder")
    page = SharedPage()
    made = WorkerState("me", page, WorkerSlot(page, 0), run_dir, make_seats(4))
    gate.set_authority(gate.WorkerAuthority(page))
    set_state(made)
    yield made
    set_state(None)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    row(environ["wsgi.input"].read().decode()).save()
    start_response("200 OK", [])
    return [b"here"]


def put(
    settings: Any,
    hold: float = 10.0,
    body: bytes = b"body",
    application: Application = application,
    sequence: str = "",
    **changes: Any,
) -> tuple[str, dict[str, str], bytes]:
    settings.LIFECYCLE_WRITE_HOLD_TIMEOUT = hold
    settings.LIFECYCLE_WRITE_PATHS = ["/"]
    settings.LIFECYCLE_WRITE_AUTHORITY = ""
    settings.LIFECYCLE_SEQUENCE = sequence
    started: list[Any] = []
    chunks = WriteGate(application)(
        environ(body, **changes), lambda *args: started.extend(args)
    )
    return started[0], dict(started[1]), b"".join(chunks)


def test_the_holders_answer_is_given(
    worker: WorkerState, holder: Holder, settings: Any
) -> None:
    holder.scripts = [DONE]
    status, headers, body = put(settings)
    assert (status, body) == ("201 Created", b"done")
    assert headers == {"Content-Type": "text/plain", "Content-Length": "4"}
    # Who wrote reads what was written, here too.
    assert worker.page.sequence == 41
    assert worker.slot.writes[:2] == (0, 1)


def test_one_that_is_misdirected_is_sent_again(
    worker: WorkerState, holder: Holder, settings: Any
) -> None:
    holder.scripts = [MISDIRECTED, MISDIRECTED, DONE]
    assert put(settings)[0] == "201 Created"
    assert len(holder.requests) == 3
    assert worker.slot.writes[:2] == (1, 1)


def test_one_whose_answer_is_lost_is_asked_for_under_the_same_id(
    worker: WorkerState, holder: Holder, settings: Any
) -> None:
    holder.scripts = [silent, MISDIRECTED, DONE]
    assert put(settings)[0] == "201 Created"
    ids = {headers["x-lifecycle-write-id"] for _, headers, _ in holder.requests}
    assert len(ids) == 1
    assert [body for _, _, body in holder.requests] == [b"body"] * 3


def test_each_write_has_an_id_of_its_own(
    worker: WorkerState, holder: Holder, settings: Any
) -> None:
    holder.scripts = [DONE, DONE]
    put(settings)
    put(settings)
    ids = {headers["x-lifecycle-write-id"] for _, headers, _ in holder.requests}
    assert len(ids) == 2


def test_one_whose_fate_is_open_at_the_deadline_gets_504(
    worker: WorkerState, holder: Holder, settings: Any
) -> None:
    holder.scripts = [silent] + [MISDIRECTED] * 1000
    status, headers, body = put(settings, hold=0.2)
    assert status == "504 Gateway Timeout"
    assert json.loads(body)["error"].startswith("The outcome is unknown")
    assert "Retry-After" not in headers
    assert names() == []


BUSY = answering("HTTP/1.1 503 Service Unavailable\nContent-Length: 4\n\nbusy")


def test_a_holder_that_is_busy_does_not_know_what_became_of_an_earlier_sending(
    worker: WorkerState, holder: Holder, settings: Any
) -> None:
    holder.scripts = [BUSY]
    assert put(settings)[::2] == ("503 Service Unavailable", b"busy")
    holder.scripts = [silent, BUSY]
    assert put(settings)[0] == "504 Gateway Timeout"


def test_one_that_nobody_takes_gets_503_when_it_has_waited(
    worker: WorkerState, settings: Any
) -> None:
    began = time.monotonic()
    status, headers, body = put(settings, hold=0.2)
    assert time.monotonic() - began >= 0.2
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
    assert json.loads(body) == {
        "error": "Nothing was written: there is no writer now. Try again in a moment."
    }
    assert names() == []


def test_one_that_waits_runs_here_when_the_slot_comes(
    worker: WorkerState, guarded: Path, settings: Any
) -> None:
    def take() -> None:
        begin_epoch(guarded, 8, "me")
        worker.page.epoch = 8

    timer = threading.Timer(0.1, take)
    timer.start()
    assert put(settings)[0] == "200 OK"
    timer.join()
    assert names() == ["body"]
    held, forwarded, longest = worker.slot.writes
    assert (held, forwarded) == (1, 0)
    assert longest >= 0.05


def receive(settings: Any, write_id: str, body: bytes = b"body") -> tuple[str, bytes]:
    """Let a write come that a peer forwards."""
    forwarded: dict[str, Any] = {
        "lifecycle.forwarded": True,
        forward.ID_HEADER: write_id,
    }
    status, _, answer = put(settings, body=body, **forwarded)
    return status, answer


def test_a_receiver_that_does_not_hold_the_slot_says_so_and_runs_nothing(
    worker: WorkerState, holder: Holder, settings: Any
) -> None:
    assert receive(settings, "one") == ("421 Misdirected Request", b"")
    assert (names(), holder.requests) == ([], [])


def test_a_receiver_without_a_seat_leaves_the_write_to_its_sender(
    worker: WorkerState, settings: Any
) -> None:
    """Its sender has a seat for it, and holds it: nobody is turned away for that."""
    worker.page.epoch = 7
    taken = 0
    while worker.seats.acquire(blocking=False):
        taken += 1
    assert taken == 2
    assert receive(settings, "one") == ("421 Misdirected Request", b"")
    # One that comes by itself is turned away, and told when to come again.
    status, headers, _ = put(settings)
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
    assert names() == []
    worker.seats.release()
    assert receive(settings, "one") == ("200 OK", b"here")


def test_a_receiver_whose_epoch_is_over_says_so_and_runs_nothing(
    worker: WorkerState, settings: Any
) -> None:
    worker.page.epoch = 6
    assert receive(settings, "one") == ("421 Misdirected Request", b"")
    assert names() == []


def test_one_that_comes_twice_under_its_id_runs_once(
    worker: WorkerState, settings: Any
) -> None:
    worker.page.epoch = 7
    assert receive(settings, "one") == ("200 OK", b"here")
    assert receive(settings, "one") == ("200 OK", b"here")
    assert AppliedMigration.objects.count() == 1
    assert receive(settings, "two", b"other") == ("200 OK", b"here")
    assert names() == ["body", "other"]


def test_one_that_ran_at_a_holder_which_died_does_not_run_again_here(
    worker: WorkerState, guarded: Path, holder: Holder, settings: Any
) -> None:
    """It was committed there with its answer; the slot comes here meanwhile."""

    def die(connection: socket.socket) -> None:
        write_id = holder.requests[-1][1]["x-lifecycle-write-id"]
        there = SharedPage()
        there.epoch = 7
        state = WorkerState(
            "holder", there, WorkerSlot(there, 0), worker.run_dir, make_seats(4)
        )
        gate.set_authority(gate.WorkerAuthority(there))
        set_state(state)
        try:
            assert receive(settings, write_id) == ("200 OK", b"here")
        finally:
            gate.set_authority(gate.WorkerAuthority(worker.page))
            set_state(worker)
        begin_epoch(guarded, 8, "me")
        worker.page.epoch = 8

    holder.scripts = [die]
    assert put(settings)[0] == "200 OK"
    assert names() == ["body"]
    assert AppliedMigration.objects.count() == 1


# -- what runs here -----------------------------------------------------------


def test_a_write_that_waited_while_admission_closed_does_not_run_here(
    worker: WorkerState, settings: Any
) -> None:
    worker.page.epoch = 7
    inside, go = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        inside.set()
        go.wait(10)
        return application(environ, start_response)

    answers: list[str] = []

    def first() -> None:
        try:
            answers.append(put(settings, body=b"first", application=slow)[0])
        finally:
            connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    # What was admitted ends; what waits for its turn goes elsewhere.

    def close() -> None:
        worker.page.is_closing = True
        go.set()

    timer = threading.Timer(0.1, close)
    timer.start()
    assert put(settings, hold=0.4, body=b"second")[0] == "503 Service Unavailable"
    thread.join()
    timer.join()
    assert answers == ["200 OK"]
    assert names() == ["first"]


def test_a_write_waits_for_a_locked_database_no_longer_than_for_a_writer(
    worker: WorkerState, guarded: Path, settings: Any
) -> None:
    worker.page.epoch = 7
    patience = connection.settings_dict["OPTIONS"]["timeout"]
    with outsider(guarded) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        status, headers, body = put(settings, hold=0.2)
        assert 0.2 <= time.monotonic() - began < patience
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
    assert b"database is locked" in body
    assert names() == []


@pytest.mark.parametrize(
    ("claims", "gets"),
    [
        ("200 OK", "500 Internal Server Error"),
        ("409 Conflict", "409 Conflict"),
        ("500 Oops", "500 Oops"),
    ],
)
def test_a_view_that_goes_on_after_an_error_claims_no_success(
    worker: WorkerState, settings: Any, claims: str, gets: str
) -> None:
    worker.page.epoch = 7

    def careless(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with contextlib.suppress(IntegrityError):
            save_twice()
        start_response(claims, [])
        return [b"fine"]

    found = put(settings, application=careless, HTTP_IDEMPOTENCY_KEY="k")[0]
    assert (found, names()) == (gets, [])
    # Nothing is kept: it may be sent again.
    assert put(settings, HTTP_IDEMPOTENCY_KEY="k")[0] == "200 OK"
    assert names() == ["body"]


def test_a_write_that_is_committed_succeeds_whatever_the_sequence_says(
    worker: WorkerState, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.page.epoch = 7

    def fail() -> int:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr("lifecycle.writes.import_string", lambda path: fail)
    assert put(settings, sequence="x.y")[0] == "200 OK"
    assert names() == ["body"]
