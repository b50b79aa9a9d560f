"""Answers that are stored: whose they are, and for how long."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lifecycle import answers, gate
from lifecycle.answers import KEPT_SECONDS, WriteAnswer
from lifecycle.models import StoredAnswer

REQUEST = {
    "HTTP_IDEMPOTENCY_KEY": "k",
    "HTTP_AUTHORIZATION": "Bearer t",
    "REQUEST_METHOD": "PUT",
    "PATH_INFO": "/api/notes/a",
}


@pytest.mark.parametrize(
    "change",
    [
        {"HTTP_IDEMPOTENCY_KEY": "K"},
        {"HTTP_AUTHORIZATION": "Bearer u"},
        {"HTTP_AUTHORIZATION": ""},
        {"REQUEST_METHOD": "DELETE"},
        {"PATH_INFO": "/api/notes/a/k"},
        {"PATH_INFO": "/api/notes/", "HTTP_IDEMPOTENCY_KEY": "ak"},
        {"HTTP_IDEMPOTENCY_KEY": "k" * 255 + "1"},
    ],
)
def test_a_key_is_one_tokens_for_one_method_and_path(change: dict[str, str]) -> None:
    other = answers.key_of({**REQUEST, **change}, "")
    assert other != answers.key_of(REQUEST, "")
    assert len(other) == 64


def test_two_long_keys_are_two() -> None:
    keys = [f"{'k' * 1000}{last}" for last in "ab"]
    assert (
        len({answers.key_of({**REQUEST, "HTTP_IDEMPOTENCY_KEY": k}, "") for k in keys})
        == 2
    )


def test_a_key_is_no_secret_but_its_hash() -> None:
    assert "Bearer" not in answers.key_of(REQUEST, "")
    assert answers.key_of(REQUEST, "") == answers.key_of(
        {**REQUEST, "QUERY_STRING": "x=1"}, ""
    )


def test_a_clients_own_key_is_the_same_wherever_its_write_runs() -> None:
    assert answers.key_of(REQUEST, "id of a sending") == answers.key_of(REQUEST, "")


def test_without_a_key_only_a_write_that_was_sent_has_one() -> None:
    request = {**REQUEST, "HTTP_IDEMPOTENCY_KEY": ""}
    assert answers.key_of(request, "") == ""
    assert len(answers.key_of(request, "one")) == 64
    assert answers.key_of(request, "one") != answers.key_of(request, "two")
    # A client cannot name the id of another's write.
    forged = {**REQUEST, "HTTP_IDEMPOTENCY_KEY": "one"}
    assert answers.key_of(forged, "") != answers.key_of(request, "one")


ANSWER = WriteAnswer(
    "201 Created", [("Content-Type", "text/plain"), ("ETag", '"1"')], b"\x00made"
)


def test_an_answer_is_found_as_it_was_stored(guarded: Path) -> None:
    with gate.write():
        answers.store("k", "body", ANSWER)
    assert answers.find("k", "body", {}) == ANSWER
    assert answers.find("l", "body", {}) is None
    assert answers.find("", "body", {}) is None


def test_another_body_under_the_key_is_refused(guarded: Path) -> None:
    with gate.write():
        answers.store("k", "body", ANSWER)
    found = answers.find("k", "another", {})
    assert found is not None
    assert found.status == "422 Unprocessable Content"
    assert json.loads(found.body) == {
        "error": "Nothing was written: this Idempotency-Key was used with another body."
    }


@pytest.mark.parametrize(
    ("age", "is_kept"), [(0.0, True), (KEPT_SECONDS - 1, True), (KEPT_SECONDS, False)]
)
def test_an_answer_is_kept_for_a_day(
    guarded: Path, monkeypatch: pytest.MonkeyPatch, age: float, is_kept: bool
) -> None:
    began = time.time()
    with gate.write():
        answers.store("k", "body", ANSWER)
    monkeypatch.setattr(time, "time", lambda: began + age + 0.5)
    assert (answers.find("k", "body", {}) is not None) == is_kept
    # The key of one that is too old is free, and the row goes with the next one.
    with gate.write():
        answers.store("k" if not is_kept else "l", "another", ANSWER)
    assert StoredAnswer.objects.count() == (2 if is_kept else 1)


def test_an_answer_is_gone_with_the_write_that_was_undone(guarded: Path) -> None:
    def fail() -> None:
        answers.store("k", "body", ANSWER)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), gate.write():
        fail()
    assert answers.find("k", "body", {}) is None


REFUSALS = {
    "503 Service Unavailable": answers.busy({}, "why"),
    "413 Content Too Large": answers.too_large({}, 10),
    "408 Request Timeout": answers.too_slow({}),
    "400 Bad Request": answers.incomplete({}),
    "504 Gateway Timeout": answers.unknown_outcome({}),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_is_json_that_no_cache_keeps(status: str) -> None:
    refusal = REFUSALS[status]
    assert refusal.status == status
    headers = dict(refusal.headers)
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    assert headers.get("Retry-After") == ("1" if status[:3] == "503" else None)
    assert list(json.loads(refusal.body)) == ["error"]


def test_a_browser_gets_a_line_of_text() -> None:
    refusal = answers.busy({"HTTP_ACCEPT": "text/html,*/*"}, "there is no writer now")
    assert dict(refusal.headers)["Content-Type"] == "text/plain; charset=utf-8"
    assert refusal.body == (
        b"Nothing was written: there is no writer now. Try again in a moment.\n"
    )


def test_an_unknown_outcome_is_told_as_such() -> None:
    assert json.loads(answers.unknown_outcome({}).body)["error"] == (
        "The outcome is unknown: the write was sent to the writer, which did not "
        "answer in time. Look before you send it again, or use an Idempotency-Key."
    )


def test_an_answer_is_sent_with_its_own_length() -> None:
    sent: list[Any] = []
    stored = WriteAnswer("200 OK", [("content-length", "7"), ("X-A", "b")], b"four")
    assert stored.send(lambda *args: sent.append(args)) == [b"four"]
    assert sent == [("200 OK", [("X-A", "b"), ("Content-Length", "4")])]
