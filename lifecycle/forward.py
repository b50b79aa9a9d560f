"""
Sending a write to the instance that holds the slot, over its socket.

The request carries an id and how long it may take, and makes one hop. A receiver
that is not the holder answers 421 (Misdirected Request, RFC 9110, 15.5.20) and
runs nothing. Id and answer are stored in the write's own transaction, so the
request may be sent again: it runs at most once.
"""

from __future__ import annotations

import dataclasses
import http.client
import string
from typing import IO, Any
from urllib.parse import quote

from lifecycle.answers import WriteAnswer
from lifecycle.peers import RunDir, UnixConnection

Environ = dict[str, Any]

ID_HEADER = "HTTP_X_LIFECYCLE_WRITE_ID"
REMAINING_HEADER = "HTTP_X_LIFECYCLE_REMAINING_MS"
SEQUENCE_HEADER = "X-Lifecycle-Sequence"

# Hop-by-hop, or made anew for this hop; RFC 9110, 7.6.1.
_NOT_FORWARDED = {
    "HTTP_CONNECTION",
    "HTTP_KEEP_ALIVE",
    "HTTP_PROXY_AUTHORIZATION",
    "HTTP_TE",
    "HTTP_TRAILER",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_UPGRADE",
    "HTTP_EXPECT",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_LIFECYCLE_INTERNAL",
    ID_HEADER,
    REMAINING_HEADER,
}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}
# How much sooner than the sender the receiver gives up, in seconds.
_LAST_WORD = 0.25
# What stays as it is in a request's target.
_ASCII = string.ascii_letters + string.digits + string.punctuation


@dataclasses.dataclass(frozen=True)
class Outcome:
    """
    What became of one sending.

    Attributes:
        answer: the holder's; None when there is none (yet).
        may_have_run: the request was sent, and its fate is not known.
        sequence: the state of the data that the answer acknowledges.
    """

    answer: WriteAnswer | None
    may_have_run: bool
    sequence: int = 0


NOT_SENT = Outcome(None, may_have_run=False)


def remaining(environ: Environ, limit: float) -> float:
    """Return how long a forwarded request may take, in seconds, at most *limit*."""
    text = environ.get(REMAINING_HEADER, "")
    return min(int(text) / 1000, limit) if text.isdigit() else limit


def send(
    run_dir: RunDir,
    holder: str,
    environ: Environ,
    body: IO[bytes],
    write_id: str,
    seconds: float,
) -> Outcome:
    """Send the write to the instance *holder* once; wait at most *seconds*."""
    if seconds <= 0:
        return NOT_SENT
    connection = UnixConnection(run_dir, f"{holder}.fwd", timeout=seconds)
    body.seek(0)
    try:
        connection.request(
            environ["REQUEST_METHOD"],
            _target(environ),
            body=body,
            headers=_headers(environ, write_id, seconds),
        )
    except OSError:
        # Nobody was there, or left in the middle of the body: a part of one never runs.
        connection.close()
        return NOT_SENT
    try:
        response = connection.getresponse()
        content = response.read()
    except (TimeoutError, OSError, http.client.HTTPException):
        # It may have committed and died before the answer: only asking again,
        # with the same id, tells.
        return Outcome(None, may_have_run=True)
    finally:
        connection.close()
    if response.getheader("Content-Length") is None and response.status != 204:
        return Outcome(None, may_have_run=True)  # its head was cut off
    if response.status == 421:
        return NOT_SENT
    sequence = response.getheader(SEQUENCE_HEADER) or "0"
    headers = [
        (name, value)
        for name, value in response.getheaders()
        if name.lower() not in _HOP_BY_HOP and name != SEQUENCE_HEADER
    ]
    answer = WriteAnswer(f"{response.status} {response.reason}", headers, content)
    return Outcome(answer, may_have_run=False, sequence=int(sequence))


def _target(environ: Environ) -> str:
    """Return the request's target as it came, but in ASCII, as a client has to send it."""
    raw = environ.get("RAW_URI") or environ["PATH_INFO"]
    return quote(raw.encode("latin-1"), safe=_ASCII)


def _headers(environ: Environ, write_id: str, seconds: float) -> dict[str, str]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and name not in _NOT_FORWARDED
    }
    headers["Content-Length"] = environ["CONTENT_LENGTH"]
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    # The receiver's lifecycle.proxies believes what comes over a unix socket.
    headers["X-Forwarded-For"] = environ.get("REMOTE_ADDR", "")
    headers["X-Forwarded-Proto"] = environ.get("wsgi.url_scheme", "http")
    headers["X-Lifecycle-Write-Id"] = write_id
    # Less than is left here: so the last word, that nothing was written, still comes.
    remaining = seconds - min(_LAST_WORD, seconds / 4)
    headers["X-Lifecycle-Remaining-Ms"] = str(int(remaining * 1000))
    return headers
