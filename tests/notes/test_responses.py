"""Responses: made once, sent in the encoding and with the answer that is asked for."""

from __future__ import annotations

import gzip
import pickle
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notes.responses import (
    BROTLI,
    GZIP,
    IDENTITY,
    SHARED_HEADERS,
    Response,
    is_unmodified,
    make_response,
    negotiate,
    send,
)

LONG = b"<p>words and words</p>\n" * 100


def _send(
    response: Response, **environ: str
) -> tuple[str, list[tuple[str, str]], bytes]:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Any:
        started.append((status, headers))

    body = b"".join(
        send(
            response,
            SHARED_HEADERS[response.kind],
            {"REQUEST_METHOD": "GET", **environ},
            start_response,
        )
    )
    return (*started[0], body)


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", IDENTITY),
        ("identity", IDENTITY),
        ("deflate, zstd", IDENTITY),
        ("gzip", GZIP),
        ("x-gzip", GZIP),
        ("br", BROTLI),
        ("gzip, deflate, br, zstd", BROTLI),
        ("BR;Q=1", BROTLI),
        ("br;q=0, gzip", GZIP),
        ("br;q=0,gzip;q=0", IDENTITY),
        ("br;q=0.5, gzip;q=0.8", GZIP),
        ("gzip;q=0.5, identity", IDENTITY),
        ("gzip;q=0.5, identity;q=0.5", GZIP),
        ("*", BROTLI),
        ("*;q=0", IDENTITY),
        ("br;q=0, *", GZIP),
        ("*;q=0.1, gzip;q=0.2", GZIP),
        ("gzip;q=nonsense", IDENTITY),
        ("br;q=nan", IDENTITY),
        ("br;level=9", BROTLI),
        (",,;=;", IDENTITY),
    ],
)
def test_the_encoding_that_the_reader_likes_best_is_chosen(
    accept_encoding: str, expected: int
) -> None:
    assert negotiate(accept_encoding) == expected


@given(st.text())
def test_no_accept_encoding_is_too_odd(text: str) -> None:
    assert negotiate(text) in {IDENTITY, GZIP, BROTLI}


def test_each_encoding_has_its_own_length_and_strong_etag() -> None:
    response = make_response("text", LONG)
    plain, zipped, packed = (
        _send(response, HTTP_ACCEPT_ENCODING=encoding)
        for encoding in ("", "gzip", "br")
    )
    assert (
        plain[2] == gzip.decompress(zipped[2]) == brotli.decompress(packed[2]) == LONG
    )
    shared = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "public, max-age=0, must-revalidate"),
        ("Vary", "Accept-Encoding"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    digest = response.digest
    assert plain[:2] == (
        "200 OK",
        [*shared, ("Content-Length", "2300"), ("ETag", f'"{digest}"')],
    )
    assert zipped[:2] == (
        "200 OK",
        [
            *shared,
            ("Content-Length", str(len(zipped[2]))),
            ("ETag", f'"{digest}-gzip"'),
            ("Content-Encoding", "gzip"),
        ],
    )
    assert packed[:2] == (
        "200 OK",
        [
            *shared,
            ("Content-Length", str(len(packed[2]))),
            ("ETag", f'"{digest}-br"'),
            ("Content-Encoding", "br"),
        ],
    )


def test_without_a_word_on_encodings_the_body_is_plain() -> None:
    assert _send(make_response("page", LONG))[2] == LONG


def test_what_compression_does_not_make_smaller_is_sent_as_it_is() -> None:
    for body in (b"", b"short", bytes(range(256)) * 2):
        response = make_response("page", body)
        status, headers, sent = _send(response, HTTP_ACCEPT_ENCODING="br, gzip")
        if sent != body:
            assert len(sent) < len(body)
        else:
            assert "Content-Encoding" not in dict(headers)
        assert status == "200 OK"
    assert make_response("page", b"short").variant(BROTLI)[0] == b"short"


def test_a_list_of_thousands_is_compressed_too() -> None:
    body = b"".join(b'<li><a href="/%d">Note %d</a></li>' % (n, n) for n in range(9000))
    response = make_response("page", body)
    zipped, packed = response.variant(GZIP)[0], response.variant(BROTLI)[0]
    assert gzip.decompress(zipped) == brotli.decompress(packed) == body
    assert max(len(zipped), len(packed)) < len(body) // 4
    assert make_response("page", body) == response


def test_a_head_has_the_headers_of_the_get_and_no_body() -> None:
    response = make_response("page", LONG)
    get = _send(response, HTTP_ACCEPT_ENCODING="br")
    head = _send(response, HTTP_ACCEPT_ENCODING="br", REQUEST_METHOD="HEAD")
    assert head == (*get[:2], b"")


@pytest.mark.parametrize(
    ("if_none_match", "is_match"),
    [
        ('"{0}-br"', True),
        ('W/"{0}-br"', True),
        ('"other", "{0}-br"', True),
        ('"other",W/"{0}-br" ', True),
        ("*", True),
        ('"{0}"', False),
        ('"{0}-gzip"', False),
        ("{0}-br", False),
        ("", False),
    ],
)
def test_a_reader_who_has_the_very_bytes_gets_a_304(
    if_none_match: str, is_match: bool
) -> None:
    response = make_response("page", LONG)
    digest = response.digest
    status, headers, body = _send(
        response,
        HTTP_ACCEPT_ENCODING="br",
        HTTP_IF_NONE_MATCH=if_none_match.format(digest),
    )
    assert is_unmodified(if_none_match.format(digest), f'"{digest}-br"') is is_match
    if is_match:
        assert (status, body) == ("304 Not Modified", b"")
        assert headers == [
            ("Cache-Control", "public, max-age=0, must-revalidate"),
            ("Vary", "Accept-Encoding"),
            ("ETag", f'"{digest}-br"'),
        ]
    else:
        assert status == "200 OK"


def test_a_problem_is_never_a_304() -> None:
    response = make_response("problem", LONG, "404 Not Found")
    assert _send(response, HTTP_IF_NONE_MATCH="*")[0] == "404 Not Found"


def test_a_server_may_add_to_the_headers_without_changing_the_next_answer() -> None:
    response = make_response("page", LONG)
    first = _send(response)[1]
    first.append(("Connection", "close"))
    assert _send(response)[1] == first[:-1]


@pytest.mark.parametrize("body", [b"short", LONG])
def test_a_squeezed_response_says_the_same_in_fewer_bytes(body: bytes) -> None:
    response = make_response("page", body)
    squeezed = response.squeezed()
    assert (response.is_squeezed, squeezed.is_squeezed) == (False, True)
    for encoding in (IDENTITY, GZIP):
        assert squeezed.variant(encoding) == response.variant(encoding)
    before, after = response.variant(BROTLI), squeezed.variant(BROTLI)
    if body == LONG:
        assert len(after[0]) < len(before[0])
        assert brotli.decompress(after[0]) == body
        assert (before[1], after[1]) == (
            f'"{response.digest}-br"',
            f'"{response.digest}-br11"',
        )
    else:
        assert after == before
    assert squeezed != response
    assert squeezed.squeezed() == squeezed


@pytest.mark.parametrize("was_squeezed", [False, True])
@pytest.mark.parametrize("is_squeezed", [False, True])
def test_a_reader_keeps_what_another_instance_compressed_otherwise(
    was_squeezed: bool, is_squeezed: bool
) -> None:
    plain = make_response("page", LONG)
    both = {False: plain, True: plain.squeezed()}
    etag = dict(_send(both[was_squeezed], HTTP_ACCEPT_ENCODING="br")[1])["ETag"]
    status, headers, body = _send(
        both[is_squeezed], HTTP_ACCEPT_ENCODING="br", HTTP_IF_NONE_MATCH=etag
    )
    assert (status, body) == ("304 Not Modified", b"")
    # Of what the reader has, not of what it would have got.
    assert dict(headers)["ETag"] == etag


@pytest.mark.parametrize("is_squeezed", [False, True])
@pytest.mark.parametrize("body", [b"short", LONG])
def test_a_response_survives_pickling(body: bytes, is_squeezed: bool) -> None:
    response = make_response("page", body)
    if is_squeezed:
        response = response.squeezed()
    loaded = pickle.loads(pickle.dumps(response))  # noqa: S301 - our own
    assert loaded == response
    assert all(loaded.variant(n) == response.variant(n) for n in range(3))
    assert loaded != make_response("page", body + b"!")
