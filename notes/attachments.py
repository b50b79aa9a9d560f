"""Attachments: files of the vault, sent from disk, whole or a range of bytes."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from wsgiref.util import FileWrapper

from whitenoise.media_types import MediaTypes

from notes.blobs import blob_path
from notes.conf import conf
from notes.responses import SHARED_HEADERS, Response, is_unmodified, send
from notes.sources import AttachmentSource

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

# A fixed table: what the machine's own says would differ from server to server.
_MEDIA_TYPES = MediaTypes(
    extra_types={
        ".apng": "image/apng",
        ".base": "text/plain",
        ".canvas": "application/json",
        ".csv": "text/csv",
        ".epub": "application/epub+zip",
        ".flac": "audio/flac",
        ".heic": "image/heic",
        ".ics": "text/calendar",
        ".jxl": "image/jxl",
        ".log": "text/plain",
        ".m4a": "audio/mp4",
        ".m4v": "video/mp4",
        ".mkv": "video/x-matroska",
        ".oga": "audio/ogg",
        ".ogv": "video/ogg",
        ".opus": "audio/ogg",
        ".tex": "text/plain",
        ".toml": "text/plain",
        ".tsv": "text/tab-separated-values",
        ".vtt": "text/vtt",
        ".wav": "audio/wav",
        ".yaml": "text/plain",
        ".yml": "text/plain",
    }
)
# HTML and XML say themselves what they are written in.
_TEXT = re.compile(r"text/(?!html|xml)")
# A file of the author's may hold scripts that nobody looked at.
_ACTIVE = re.compile(r"text/html|[a-z]+/(?:[a-z0-9.-]+\+)?xml")
_ACTIVE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'"

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


class Part(io.RawIOBase):
    """
    A part of a file, for the server to send.

    A server that sends by descriptor begins where the file stands, and ends with
    Content-Length; one that reads is stopped at the end of the part.
    """

    def __init__(self, path: Path, start: int, length: int) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._left = length

    def fileno(self) -> int:
        """Return the file's descriptor."""
        return self._file.fileno()

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return at most *size* bytes of what is left of the part."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move in the file; a server that has sent by descriptor does this last."""
        return self._file.seek(offset, whence)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()
        super().close()


def content_type(path: str) -> str:
    """Return the media type of an attachment, by its name."""
    kind: str = _MEDIA_TYPES.get_type(path)
    return f"{kind}; charset=utf-8" if _TEXT.match(kind) else kind


def send_attachment(
    attachment: AttachmentSource,
    missing: Response,
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterable[bytes]:
    """
    Answer a GET or HEAD with *attachment*: whole, a range of it, or 304.

    Args:
        missing: what to answer when its bytes are not on disk.
    """
    etag = f'"{attachment.content_hash}"'
    kind = content_type(attachment.path)
    headers = [
        ("ETag", etag),
        ("Cache-Control", "public, max-age=0, must-revalidate"),
        ("Content-Type", kind),
        ("X-Content-Type-Options", "nosniff"),
        ("Accept-Ranges", "bytes"),
    ]
    if _ACTIVE.match(kind):
        headers.append(("Content-Security-Policy", _ACTIVE_POLICY))
    if is_unmodified(environ.get("HTTP_IF_NONE_MATCH", ""), etag):
        start_response("304 Not Modified", headers[:2])
        return ()
    size = attachment.size
    start, end = 0, size
    status = "200 OK"
    wanted = _wanted_range(environ, etag, size)
    if wanted is not None:
        start, end = wanted
        if start >= end:
            headers += [("Content-Range", f"bytes */{size}"), ("Content-Length", "0")]
            start_response("416 Range Not Satisfiable", headers)
            return ()
        status = "206 Partial Content"
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
    headers.append(("Content-Length", str(end - start)))
    path = blob_path(conf.attachments_dir, attachment.content_hash)
    try:
        part = Part(path, start, end - start)
    except OSError as exc:
        logger.error(  # noqa: TRY400 - the reason says it all
            "event=attachment_lost path=%r file=%s reason=%r",
            attachment.path,
            path,
            exc.strerror,
        )
        return send(missing, SHARED_HEADERS[missing.kind], environ, start_response)
    if environ["REQUEST_METHOD"] == "HEAD" or start == end:
        part.close()
        start_response(status, headers)
        return ()
    start_response(status, headers)
    wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
    result: Iterable[bytes] = wrapper(part, 64 * 1024)
    return result


def _wanted_range(
    environ: WSGIEnvironment, etag: str, size: int
) -> tuple[int, int] | None:
    """
    Return the range that the request asks for, its end not in it; None for all.

    What is not understood is ignored, as RFC 9110 has it; so are several ranges.
    """
    match = _RANGE.fullmatch(environ.get("HTTP_RANGE", "").replace(" ", ""))
    if match is None or environ["REQUEST_METHOD"] != "GET":
        return None
    # A date here is no validator of ours: the file may have changed, so send it all.
    if environ.get("HTTP_IF_RANGE", etag).strip() != etag:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(size - int(suffix), 0), size
    start = int(first)
    if not last:
        return start, size
    if int(last) < start:
        return None
    return start, min(int(last) + 1, size)
