"""Logs: a line an event, key=value, to standard error."""

from __future__ import annotations

import datetime
import logging
import os
import re
import sys
from typing import Any, TextIO

from gunicorn import glogging

_ALREADY_PAIRS = re.compile(r"[a-z_]+=")
_PLAIN = re.compile(r"[^\s\"=\\]+")
_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r"}


def quoted(value: object) -> str:
    """Return *value* as it stands behind a '=': in quotes where it must be."""
    text = str(value)
    if _PLAIN.fullmatch(text) and text.isprintable():
        return text
    return '"' + on_one_line(text.translate(_ESCAPES)) + '"'


def on_one_line(text: str) -> str:
    """Return *text* with whatever might end or disturb a line escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class PairFormatter(logging.Formatter):
    """Formats a record as key=value pairs; a message without pairs becomes msg=."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; only a traceback follows, on lines of its own."""
        message = record.getMessage()
        if not _ALREADY_PAIRS.match(message):
            message = f"msg={quoted(message)}"
        message = on_one_line(message)
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = (
            f"time={at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z "
            f"level={record.levelname.lower()} pid={record.process} "
            f"logger={record.name} {message}"
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Descriptor:
    """
    Writes text to a file descriptor, with no buffer and no lock.

    A buffer has a lock of its own, which Python does not make anew in a forked child:
    forked while a thread of the master writes, it would wait at its first line forever.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def write(self, text: str) -> int:
        """Write all of *text*."""
        rest = text.encode(errors="backslashreplace")
        while rest:
            rest = rest[os.write(self._number, rest) :]
        return len(text)

    def flush(self) -> None:
        """Do nothing: all is written."""


def _at_once(stream: TextIO) -> TextIO | _Descriptor:
    """Return what writes where *stream* does, without its buffer where it has a file."""
    try:
        return _Descriptor(stream.fileno())
    except (OSError, ValueError):  # in memory
        return stream


def configure() -> None:
    """Send every logger to standard error. Idempotent. In the gunicorn master first."""
    root = logging.getLogger()
    if not _is_configured():
        handler = logging.StreamHandler(_at_once(sys.stderr))
        handler.setFormatter(PairFormatter())
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
    # A 404 is in the access log; a second line for it says nothing new.
    logging.getLogger("django.request").setLevel(logging.ERROR)


def configure_again(settings: object) -> None:
    """
    Undo what Django has just set, where `configure` has run. For LOGGING_CONFIG.

    Django sets its own defaults first, and calls this only if LOGGING (*settings*) is
    not empty. A command has Django's: what it says goes to a person.
    """
    if _is_configured():
        for handler in logging.getLogger("django").handlers[:]:
            logging.getLogger("django").removeHandler(handler)
        configure()


def _is_configured() -> bool:
    handlers = logging.getLogger().handlers
    return any(isinstance(handler.formatter, PairFormatter) for handler in handlers)


class GunicornLogger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's logger: errors as everybody's, access as key=value on stdout."""

    def setup(self, cfg: Any) -> None:
        """Take gunicorn's handlers away where the root logger has ours."""
        super().setup(cfg)
        configure()
        for handler in self.error_log.handlers[:]:
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True
        for handler in self.access_log.handlers:
            handler.setFormatter(PairFormatter())

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Log one request; never its query, which may hold a secret."""
        if not self.access_log_enabled:
            return
        status = resp.status
        if isinstance(status, str):
            status = status.partition(" ")[0]
        self.access_log.info(
            "event=request method=%s path=%s status=%s bytes=%s ms=%.1f client=%s",
            environ.get("REQUEST_METHOD", "-"),
            quoted(_as_utf8(environ.get("PATH_INFO", "-"))),
            status,
            getattr(resp, "sent", 0),
            request_time.total_seconds() * 1000,
            environ.get("REMOTE_ADDR") or "unix",
        )


def _as_utf8(path: str) -> str:
    """
    Return a path of WSGI, whose bytes are read as Latin-1, as its reader sees it.

    Django has put the text in its place where a request has come as far as that.
    """
    try:
        return path.encode("latin-1").decode()
    except UnicodeError:
        return path
