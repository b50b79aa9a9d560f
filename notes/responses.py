"""
Answers that are made once and sent many times.

A Response holds its body in every encoding, with the headers of each, so that
a request costs a look-up and no work on the body.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import brotli

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Headers: TypeAlias = tuple[tuple[str, str], ...]

IDENTITY, GZIP, BROTLI = range(3)
_ENCODING_NAMES = {"identity": IDENTITY, "gzip": GZIP, "x-gzip": GZIP, "br": BROTLI}
_CONTENT_ENCODING: tuple[Headers, Headers, Headers] = (
    (),
    (("Content-Encoding", "gzip"),),
    (("Content-Encoding", "br"),),
)
_ETAG_SUFFIX = ("", "-gzip", "-br")
_SQUEEZED_SUFFIX = "-br11"
"""What is compressed otherwise is other bytes, and has another strong ETag."""

# Below this many bytes a body fits one packet either way.
_MIN_COMPRESSED_SIZE = 512
# Brotli 5 and gzip 6 take 0.3 ms each for a page of 12 KB; Brotli 11 takes 16 ms
# for a sixth less.
_GZIP_LEVEL = 6
_BROTLI_QUALITY = 5
_SQUEEZED_QUALITY = 11
# A list of thousands of notes is compressed again whenever one of them comes or goes:
# for an eighth more of bytes it takes less than half of the time.
_LARGE_SIZE = 1 << 17
_LARGE_GZIP_LEVEL = 1
_LARGE_BROTLI_QUALITY = 2

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
# Mermaid writes styles into what it draws. The sanitiser lets no style of an author
# through, so that there is none of theirs for this to allow.
_DIAGRAM_POLICY = PAGE_POLICY.replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
_REVALIDATED = ("Cache-Control", "public, max-age=0, must-revalidate")
_NOT_STORED = ("Cache-Control", "no-store")
_NOSNIFF = ("X-Content-Type-Options", "nosniff")
_NOT_INDEXED = ("X-Robots-Tag", "noindex")
_VARY = ("Vary", "Accept-Encoding")
_TYPE = ("Content-Type", "text/html; charset=utf-8")
_REFERRER = ("Referrer-Policy", "strict-origin-when-cross-origin")
_HTML = (_TYPE, ("Content-Security-Policy", PAGE_POLICY), _REFERRER)

SHARED_HEADERS: dict[str, Headers] = {
    "page": (*_HTML, _REVALIDATED, _VARY, _NOSNIFF),
    # A page with a diagram.
    "diagrams": (
        _TYPE,
        ("Content-Security-Policy", _DIAGRAM_POLICY),
        _REFERRER,
        _REVALIDATED,
        _VARY,
        _NOSNIFF,
    ),
    "problem": (*_HTML, _NOT_STORED, _VARY, _NOSNIFF),
    # What was made for one request, and is no page of the site's.
    "found": (*_HTML, _REVALIDATED, _VARY, _NOSNIFF, _NOT_INDEXED),
    "busy": (*_HTML, _NOT_STORED, _VARY, _NOSNIFF, ("Retry-After", "2")),
    "json": (
        ("Content-Type", "application/json"),
        _REVALIDATED,
        _VARY,
        _NOSNIFF,
        _NOT_INDEXED,
    ),
    # A reader's own: kept a day, and no longer than the cookies are the same.
    "look": (
        ("Content-Type", "text/css; charset=utf-8"),
        ("Cache-Control", "private, max-age=86400"),
        ("Vary", "Accept-Encoding, Cookie"),
        _NOSNIFF,
    ),
    # The style sheet of the author, at an address that names its content, or not.
    "style": (
        ("Content-Type", "text/css; charset=utf-8"),
        ("Cache-Control", "public, max-age=31536000, immutable"),
        _VARY,
        _NOSNIFF,
    ),
    "changing style": (
        ("Content-Type", "text/css; charset=utf-8"),
        _REVALIDATED,
        _VARY,
        _NOSNIFF,
    ),
    # A picture that was drawn, at an address that names what is on it.
    "card": (
        ("Content-Type", "image/png"),
        ("Cache-Control", "public, max-age=86400"),
        _NOSNIFF,
    ),
    "text": (
        ("Content-Type", "text/plain; charset=utf-8"),
        _REVALIDATED,
        _VARY,
        _NOSNIFF,
    ),
    # The page says the same, and is the one to be found.
    "markdown": (
        ("Content-Type", "text/markdown; charset=utf-8"),
        _REVALIDATED,
        _VARY,
        _NOSNIFF,
        _NOT_INDEXED,
    ),
    "xml": (
        ("Content-Type", "application/xml; charset=utf-8"),
        _REVALIDATED,
        _VARY,
        _NOSNIFF,
    ),
    "atom": (
        ("Content-Type", "application/atom+xml; charset=utf-8"),
        _REVALIDATED,
        _VARY,
        _NOSNIFF,
    ),
}
"""The headers that all responses of a kind share."""


class Response:
    """
    An immutable answer, with its body in each encoding.

    Responses are equal when they would be sent as the same bytes. There is one for
    each page, so it holds few objects: headers are put together as they are sent.
    """

    __slots__ = (
        "_packed",
        "_zipped",
        "body",
        "digest",
        "is_squeezed",
        "kind",
        "status",
    )

    kind: str
    """A key of SHARED_HEADERS; 'file' where the headers come from elsewhere."""
    status: str
    """As WSGI has it: '200 OK'."""
    digest: str
    """A hash of the body."""
    body: bytes
    """The body as it is without an encoding."""
    is_squeezed: bool
    """Whether Brotli has done all that it can, which takes its time."""

    def __init__(
        self,
        kind: str,
        status: str,
        digest: str,
        body: bytes,
        zipped: bytes | None,
        packed: bytes | None,
        is_squeezed: bool = False,
    ) -> None:
        # Interned: thousands of pages have the same few, also after a pickle.
        self.kind = sys.intern(kind)
        self.status = sys.intern(status)
        self.digest = digest
        self.body = body
        self._zipped = zipped
        self._packed = packed
        self.is_squeezed = is_squeezed

    def variant(self, encoding: int) -> tuple[bytes, str, Headers]:
        """
        Return the body in *encoding*, its strong ETag, and its own headers.

        Where the encoding saves nothing, those of the plain body.
        """
        body = (self.body, self._zipped, self._packed)[encoding]
        if body is None:
            encoding, body = IDENTITY, self.body
        etag = self._etags(encoding)[0]
        own = (("Content-Length", str(len(body))), ("ETag", etag))
        return body, etag, own + _CONTENT_ENCODING[encoding]

    def _etags(self, encoding: int) -> tuple[str, ...]:
        """Return the ETag of the body in *encoding*, and those that it may have had."""
        suffixes = [_ETAG_SUFFIX[encoding]]
        if encoding == BROTLI:
            suffixes.insert(0 if self.is_squeezed else 1, _SQUEEZED_SUFFIX)
        return tuple(f'"{self.digest}{suffix}"' for suffix in suffixes)

    def known_as(self, encoding: int, if_none_match: str) -> str | None:
        """
        Return the ETag that a reader has whose copy is still right; None without one.

        It may be that of a copy which another snapshot or instance compressed
        otherwise: what it says is the same.
        """
        if (self.body, self._zipped, self._packed)[encoding] is None:
            encoding = IDENTITY
        for etag in self._etags(encoding):
            if is_unmodified(if_none_match, etag):
                return etag
        return None

    def squeezed(self) -> Response:
        """Return this response as small as Brotli makes it: 3 ms for 3 KB."""
        packed = self._packed
        if len(self.body) >= _MIN_COMPRESSED_SIZE:
            smallest: bytes = brotli.compress(
                self.body, mode=brotli.MODE_TEXT, quality=_SQUEEZED_QUALITY
            )
            if len(smallest) < len(self.body if packed is None else packed):
                packed = smallest
        return Response(
            self.kind,
            self.status,
            self.digest,
            self.body,
            self._zipped,
            packed,
            is_squeezed=True,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Response):
            return NotImplemented
        return (
            self.status == other.status
            and self.kind == other.kind
            and self.digest == other.digest
            and self.body == other.body
            and self._zipped == other._zipped
            and self._packed == other._packed
            and self.is_squeezed == other.is_squeezed
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.kind} {len(self.body)} bytes>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Response, (
            self.kind,
            self.status,
            self.digest,
            self.body,
            self._zipped,
            self._packed,
            self.is_squeezed,
        )


def make_response(kind: str, body: bytes, status: str = "200 OK") -> Response:
    """Return *body* as a Response, compressed where that makes it smaller."""
    return Response(kind, status, digest_of(body), body, *compress(body))


def digest_of(body: bytes) -> str:
    """Return the hash of a body."""
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def compress(body: bytes) -> tuple[bytes | None, bytes | None]:
    """Return *body* as gzip and as Brotli; None where that saves nothing."""
    if len(body) < _MIN_COMPRESSED_SIZE:
        return None, None
    level, quality = _GZIP_LEVEL, _BROTLI_QUALITY
    if len(body) >= _LARGE_SIZE:
        level, quality = _LARGE_GZIP_LEVEL, _LARGE_BROTLI_QUALITY
    zipped = gzip.compress(body, level, mtime=0)
    packed: bytes = brotli.compress(body, mode=brotli.MODE_TEXT, quality=quality)
    return (
        zipped if len(zipped) < len(body) else None,
        packed if len(packed) < len(body) else None,
    )


def send(
    response: Response,
    shared: Iterable[tuple[str, str]],
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterable[bytes]:
    """
    Answer a GET or HEAD with *response*, or with 304 when the reader has it.

    Args:
        shared: the headers that do not depend on the encoding.
    """
    accept_encoding = environ.get("HTTP_ACCEPT_ENCODING")
    encoding = IDENTITY if accept_encoding is None else _choose(accept_encoding)
    if_none_match = environ.get("HTTP_IF_NONE_MATCH")
    if if_none_match is not None and response.status == "200 OK":
        etag = response.known_as(encoding, if_none_match)
        if etag is not None:
            start_response(
                "304 Not Modified", unmodified_headers((*shared, ("ETag", etag)))
            )
            return ()
    body, _, headers = response.variant(encoding)
    # A list of its own: a server may add to it.
    start_response(response.status, [*shared, *headers])
    return () if environ["REQUEST_METHOD"] == "HEAD" else (body,)


# Browsers send a handful of different headers; a dict answers for those without
# the lock that functools.lru_cache takes.
_choices: dict[str, int] = {}
_MAX_CHOICES = 1000


def _choose(accept_encoding: str) -> int:
    choice = _choices.get(accept_encoding)
    if choice is None:
        choice = negotiate(accept_encoding)
        if len(_choices) < _MAX_CHOICES and len(accept_encoding) < 200:
            _choices[accept_encoding] = choice
    return choice


def negotiate(accept_encoding: str) -> int:
    """
    Return the encoding that *accept_encoding* likes best.

    Of equally liked ones Brotli is taken before gzip, and gzip before none. With
    nothing acceptable the plain body is sent, as without the header.
    """
    liking: dict[int, float] = {}
    anything: float | None = None
    for part in accept_encoding.lower().split(","):
        name, _, parameter = part.partition(";")
        name = name.strip()
        quality = _quality(parameter)
        if name == "*":
            anything = quality
        elif name in _ENCODING_NAMES:
            liking[_ENCODING_NAMES[name]] = quality
    if anything is not None:
        liking = {BROTLI: anything, GZIP: anything, **liking}
    best = max((liking.get(encoding, 0.0), encoding) for encoding in (GZIP, BROTLI))
    # Without a word on it, plain is acceptable but never the first choice.
    if best[0] > 0 and best[0] >= liking.get(IDENTITY, 0.0):
        return best[1]
    return IDENTITY


def _quality(parameter: str) -> float:
    """Return the 'q' of an Accept-Encoding part; 1 without one, 0 for nonsense."""
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0


def is_unmodified(if_none_match: str, etag: str) -> bool:
    """
    Return whether *if_none_match* names *etag*.

    The comparison is the weak one: a proxy that compresses marks the ETag weak.
    """
    return if_none_match.strip() == "*" or any(
        candidate.strip().removeprefix("W/") == etag
        for candidate in if_none_match.split(",")
    )


_NOT_MODIFIED_HEADERS = frozenset({"cache-control", "vary", "etag"})


def unmodified_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of *headers* that a 304 carries."""
    return [pair for pair in headers if pair[0].lower() in _NOT_MODIFIED_HEADERS]
