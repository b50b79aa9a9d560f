"""Whole responses of the probes, byte by byte."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from lifecycle.probes import Check, ProbeApplication, json_answer, text_answer

GOOD = [Check("phase", True, "ready"), Check("workers", True, "workers: 2 of 2 answer")]
BAD = [
    Check("phase", False, "warming: 4312/10000 notes"),
    Check("workers", False, "workers: 0/2 booted"),
    Check("slot", True),
]


def get(
    path: str,
    checks: Iterable[Check] = GOOD,
    *,
    method: str = "GET",
    accept: str = "",
    query: str = "",
) -> tuple[str, dict[str, str], str]:
    """Return status, headers and body of a request to an application with /readyz."""
    application = ProbeApplication(
        {"/readyz": lambda: checks},
        {"/healthz": lambda environ: text_answer("200 OK", environ["QUERY_STRING"])},
    )
    started: list[Any] = []
    body = application(
        {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "HTTP_ACCEPT": accept,
        },
        lambda status, headers: started.append((status, dict(headers))),
    )
    status, headers = started[0]
    return status, headers, b"".join(body).decode()


def test_all_good_is_ok() -> None:
    assert get("/readyz") == (
        "200 OK",
        {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": "3",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
        "ok\n",
    )


def test_every_reason_is_named_in_one_line() -> None:
    status, _, body = get("/readyz", BAD)
    assert status == "503 Service Unavailable"
    assert body == "warming: 4312/10000 notes; workers: 0/2 booted\n"


def test_a_failed_check_without_a_reason_is_named() -> None:
    assert get("/readyz", [Check("loop", False)])[2] == "loop\n"


def test_verbose_gives_a_line_a_check() -> None:
    status, _, body = get("/readyz", BAD, query="verbose")
    assert status == "503 Service Unavailable"
    assert body == (
        "[-]phase warming: 4312/10000 notes\n"
        "[-]workers workers: 0/2 booted\n"
        "[+]slot ok\n"
        "readyz check failed\n"
    )
    assert get("/readyz", query="verbose=1")[2] == (
        "[+]phase ok ready\n[+]workers ok workers: 2 of 2 answer\nreadyz check passed\n"
    )


def test_exclude_leaves_checks_out_and_says_so() -> None:
    status, _, body = get(
        "/readyz", BAD, query="verbose&exclude=phase&exclude=workers&exclude=fase"
    )
    assert status == "200 OK"
    assert body == (
        "[+]phase excluded: ok\n"
        "[+]workers excluded: ok\n"
        "[+]slot ok\n"
        "warning: no check is named 'fase'\n"
        "readyz check passed\n"
    )
    assert get("/readyz", BAD, query="exclude=phase")[2] == "workers: 0/2 booted\n"


def test_json_comes_by_accept() -> None:
    status, headers, body = get(
        "/readyz", BAD, accept="application/json, */*", query="exclude=workers"
    )
    assert status == "503 Service Unavailable"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "status": "failed",
        "checks": [
            {"name": "phase", "ok": False, "text": "warming: 4312/10000 notes"},
            {"name": "workers", "ok": True, "text": "excluded"},
            {"name": "slot", "ok": True, "text": ""},
        ],
    }
    assert json.loads(get("/readyz", accept="application/json")[2])["status"] == "ok"


def test_head_has_the_headers_of_get_and_no_body() -> None:
    status, headers, body = get("/readyz", BAD, method="HEAD")
    assert (status, body) == ("503 Service Unavailable", "")
    assert headers == get("/readyz", BAD)[1]


@pytest.mark.parametrize("path", ["/", "", "/readyz/", "/livez", "/status", "//readyz"])
def test_another_path_is_404_and_names_those_that_are_there(path: str) -> None:
    status, _, body = get(path)
    assert status == "404 Not Found"
    assert body == "not found; here are /healthz, /readyz\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X"])
@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
def test_another_method_is_405(path: str, method: str) -> None:
    status, headers, body = get(path, method=method)
    assert status == "405 Method Not Allowed"
    assert headers["Allow"] == "GET, HEAD"
    assert body == "GET and HEAD only\n"


def test_a_page_gets_the_request_and_answers_as_it_likes() -> None:
    assert get("/healthz", query="a=b")[2] == "a=b\n"
    assert get("/healthz", method="HEAD", query="a=b")[2] == ""


def test_a_json_answer_is_one_line() -> None:
    answer = json_answer("200 OK", {"a": [1, None]})
    assert (answer.content_type, answer.body) == (
        "application/json",
        b'{"a": [1, null]}\n',
    )
