from __future__ import annotations

import datetime
import fcntl
import io
import logging
import os
import signal
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils.log import configure_logging
from gunicorn.config import Config
from hypothesis import given
from hypothesis import strategies as st

from lifecycle import logs
from tests.processes import wait_until


def line(message: str, *args: object, **fields: Any) -> str:
    """Return the formatted line of a record."""
    record = logging.LogRecord(
        "x.y", logging.WARNING, __file__, 1, message, args, fields.get("exc_info")
    )
    record.created = 1_600_000_000.0625
    record.process = 4711
    return logs.PairFormatter().format(record)


START = "time=2020-09-13T12:26:40.062Z level=warning pid=4711 logger=x.y "


def test_a_message_of_pairs_stands_as_it_is() -> None:
    assert line("event=phase phase=%s", "ready") == START + "event=phase phase=ready"


def test_a_message_of_words_becomes_one_pair() -> None:
    assert line("Handling signal: %s", "term") == START + 'msg="Handling signal: term"'
    assert line("ready") == START + "msg=ready"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("/a/b.md", "/a/b.md"),
        (17, "17"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        ("line\nbreak\r", r'"line\nbreak\r"'),
        ("tab\tbell\x07\x1b[2J", r'"tab\tbell\x07\x1b[2J"'),
        ("\u2028\u202e", r'"\u2028\u202e"'),
        ("заметка", "заметка"),
    ],
)
def test_a_value_is_quoted_where_it_must_be(value: object, shown: str) -> None:
    assert logs.quoted(value) == shown


@given(st.text())
def test_no_value_ends_its_line_or_its_quotes(value: str) -> None:
    shown = logs.quoted(value)
    assert shown.isprintable()
    if shown.startswith('"'):
        inside = shown[1:-1].replace("\\\\", "").replace('\\"', "")
        assert '"' not in inside
    else:
        assert "=" not in shown
        assert " " not in shown


@given(st.text())
def test_a_message_is_one_line_whatever_is_put_into_it(value: str) -> None:
    assert line("event=x reason=%s", value).isprintable()
    assert line("%s", value).isprintable()


def test_a_message_that_poses_as_pairs_cannot_begin_a_line() -> None:
    assert line("path=%s", "x\ntime=2020 level=info forged=1") == (
        START + r"path=x\ntime=2020 level=info forged=1"
    )


def test_a_traceback_follows_on_lines_of_its_own() -> None:
    try:
        ["y"].index("x")
    except ValueError:
        first, *rest = line("event=failed", exc_info=sys.exc_info()).split("\n")
    assert first == START + "event=failed"
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: 'x' is not in list"


@pytest.fixture
def root_handlers() -> Iterator[list[logging.Handler]]:
    """Let a test configure logging, then put things back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield root.handlers
    root.handlers[:] = handlers
    root.setLevel(level)


def pair_handlers(handlers: list[logging.Handler]) -> list[logging.Handler]:
    """Return those of *handlers* that lifecycle added; pytest has its own."""
    return [
        one
        for one in handlers
        if type(one) is logging.StreamHandler
        and isinstance(one.formatter, logs.PairFormatter)
    ]


def test_configuring_twice_adds_one_handler(
    root_handlers: list[logging.Handler],
) -> None:
    logs.configure()
    logs.configure()
    (ours,) = pair_handlers(root_handlers)
    assert isinstance(ours, logging.StreamHandler)


def test_lines_go_to_standard_error_and_whole(
    root_handlers: list[logging.Handler], capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    (ours,) = pair_handlers(root_handlers)
    # Not by way of the logger: pytest, too, would take what is no UTF-8.
    ours.emit(logging.makeLogRecord({"msg": "event=sun \udc80 заметка"}))
    assert capfd.readouterr().err.endswith(" event=sun \\udc80 заметка\n")


def test_a_child_forked_while_a_thread_writes_has_its_say(
    root_handlers: list[logging.Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread waits within its write, as one does while a log's reader is slow."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as reader, os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure()
        logger = logging.getLogger("a")
        size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        thread = threading.Thread(target=logger.warning, args=("x" * 2 * size,))
        thread.start()
        wait_until(lambda: waiting_bytes(reading) == size, 10, "a full pipe")
        child = os.fork()
        if child == 0:
            try:
                logger.warning("event=forked")
            finally:
                os._exit(0)
        seen = b""
        os.set_blocking(reading, False)

        def has_ended() -> bool:
            nonlocal seen
            seen += reader.read(size) or b""
            return os.waitpid(child, os.WNOHANG)[0] == child

        try:
            wait_until(has_ended, 10, "the child's end")
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        finally:
            os.set_blocking(reading, True)
            while thread.is_alive() or waiting_bytes(reading):
                seen += reader.read(size)
        thread.join()
    assert b" event=forked\n" in seen


def waiting_bytes(descriptor: int) -> int:
    """Return how many bytes wait in the pipe."""
    return int(
        struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"1234"))[0]
    )


@pytest.fixture
def django_logger() -> Iterator[logging.Logger]:
    """Let a test set Django's defaults, then put things back."""
    logger = logging.getLogger("django")
    request = logging.getLogger("django.request")
    was = logger.handlers[:], logger.level, logger.propagate, request.level
    yield logger
    logger.handlers[:], logger.level, logger.propagate, request.level = was


def test_django_does_not_undo_it(
    root_handlers: list[logging.Handler], django_logger: logging.Logger, settings: Any
) -> None:
    """Its own defaults make a second line of a 404, and of each when DEBUG is on."""
    logs.configure()
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
    assert django_logger.handlers == []
    request = logging.getLogger("django.request")
    assert request.getEffectiveLevel() == logging.ERROR
    assert len(pair_handlers(root_handlers)) == 1


def test_a_command_logs_as_django_has_it(
    root_handlers: list[logging.Handler], django_logger: logging.Logger, settings: Any
) -> None:
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
    assert django_logger.handlers != []
    assert pair_handlers(root_handlers) == []


class Access:
    """gunicorn's logger, writing to a string."""

    def __init__(self, accesslog: str | None = "-") -> None:
        cfg = Config()
        cfg.set("accesslog", accesslog)
        self.logger = logs.GunicornLogger(cfg)
        self.stream = io.StringIO()
        for handler in self.logger.access_log.handlers:
            handler.setStream(self.stream)

    def line(self, status: Any = "200 OK", **environ: str) -> str:
        """Return the line of one request, from 'event' on."""
        self.logger.access(
            SimpleNamespace(status=status, sent=512),
            None,
            {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "", **environ},
            datetime.timedelta(milliseconds=12.34),
        )
        written = self.stream.getvalue()
        return written[written.find("event=") :]


@pytest.fixture
def access(root_handlers: list[logging.Handler]) -> Iterator[Access]:
    made = Access()
    yield made
    made.logger.access_log.handlers[:] = []


def test_a_request_is_one_line_without_its_query(access: Access) -> None:
    assert access.line(
        PATH_INFO="/search", QUERY_STRING="token=secret", REMOTE_ADDR="203.0.113.9"
    ) == (
        "event=request method=GET path=/search status=200 bytes=512 ms=12.3 "
        "client=203.0.113.9\n"
    )


def test_a_path_cannot_forge_a_line_or_a_pair(access: Access) -> None:
    shown = access.line(PATH_INFO='/a b\nevent=request path="x"')
    assert shown == (
        r'event=request method=GET path="/a b\nevent=request path=\"x\"" status=200 '
        "bytes=512 ms=12.3 client=unix\n"
    )


@pytest.mark.parametrize("text", ["/Übung-é/日本", "/Übung"])
def test_a_path_is_shown_as_it_is_read(access: Access, text: str) -> None:
    assert f" path={text} " in access.line(PATH_INFO=text)
    assert access.line(PATH_INFO=text.encode().decode("latin-1")).count(text) == 2


def test_gunicorns_own_status_numbers_are_shown_too(access: Access) -> None:
    assert " status=404 " in access.line(status=404)


def test_no_line_a_request_when_it_is_not_wanted(
    root_handlers: list[logging.Handler],
) -> None:
    access = Access(accesslog=None)
    assert access.line() == ""


def test_gunicorns_errors_go_where_all_go(
    access: Access, root_handlers: list[logging.Handler]
) -> None:
    assert access.logger.error_log.handlers == []
    assert access.logger.error_log.propagate
    assert len(pair_handlers(root_handlers)) == 1
