"""
Knobs: what an operator sets by flag or environment variable.

One table, one parser. The flag wins over the environment, the environment over
the default. A value that does not parse stops the start with one line.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import durationpy

from lifecycle.exceptions import LifecycleError


class KnobError(LifecycleError):
    """
    A knob's value that does not parse.

    Attributes:
        name: the environment variable, as 'LISTEN_ADDR'.
        value: what was found.
        expected: what is allowed, in words.
    """

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r} is not valid: expected {expected}.")
        self.name = name
        self.value = value
        self.expected = expected


class Address(NamedTuple):
    """
    Where to listen: a TCP host and port, or a unix socket's path.

    An empty *host* means every interface.
    """

    host: str
    port: int
    path: str = ""

    @property
    def is_unix(self) -> bool:
        """Whether this is a unix socket."""
        return bool(self.path)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class InvalidValueError(LifecycleError):
    """A parser's refusal; the message says what is allowed."""


# Go's time.ParseDuration: no day, week or year; [0-9], since \d takes any script's.
_DURATION = re.compile(
    r"\+?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+"
)
# What Go's int64 of nanoseconds can hold, in seconds.
_LONGEST_DURATION = 2**63 / 1e9


def duration(text: str) -> float:
    """Return *text*, a duration as Go writes it ('200ms', '1m30s'), in seconds."""
    expected = "a duration such as '200ms', '6s' or '1m30s'"
    if text in {"0", "+0"}:
        return 0.0
    if not _DURATION.fullmatch(text):
        raise InvalidValueError(expected)
    try:
        seconds = float(durationpy.from_str(text).total_seconds())
    except durationpy.DurationError as exc:
        raise InvalidValueError(expected) from exc
    if seconds >= _LONGEST_DURATION:
        raise InvalidValueError(expected)
    return seconds


def boolean(text: str) -> bool:
    """Return *text*, a boolean as Go's strconv.ParseBool takes it."""
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise InvalidValueError("true or false")


def count(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser for a whole number from *minimum* to *maximum*."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not (
            minimum <= int(text) <= maximum
        ):
            raise InvalidValueError(f"a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def one_of(*names: str) -> Callable[[str], str]:
    """Return a parser for one of *names*."""

    def parse(text: str) -> str:
        if text not in names:
            raise InvalidValueError("one of " + ", ".join(names))
        return text

    return parse


def address(text: str) -> Address:
    """Return *text*, ':8080', '127.0.0.1:8080', '[::1]:8080' or 'unix:/run/x.sock'."""
    expected = (
        "an address such as ':8080', '127.0.0.1:8080', '[::1]:8080' or "
        "'unix:/run/x.sock'"
    )
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise InvalidValueError(expected)
        return Address("", 0, path)
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s]*)):([0-9]{1,5})", text)
    if not match or int(match[3]) > 65535:
        raise InvalidValueError(expected)
    if match[1] is not None:
        try:
            ipaddress.IPv6Address(match[1])
        except ValueError as exc:
            raise InvalidValueError(expected) from exc
    return Address(match[1] or match[2] or "", int(match[3]))


def web_address(text: str) -> str:
    """Return *text*, 'https://notes.example.org', without a slash at its end."""
    expected = (
        "an address such as 'https://notes.example.org' or 'http://localhost:8080', "
        "without a path"
    )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise InvalidValueError(expected) from exc
    shown = f"[{host}]" if ":" in host else host
    if port is not None:
        shown += f":{port}"
    # What urlsplit leaves out or takes as part of a name shows in the comparison.
    if (
        parts.scheme not in {"http", "https"}
        or not _HOST.fullmatch(host)
        or text.removesuffix("/").lower() != f"{parts.scheme}://{shown}"
    ):
        raise InvalidValueError(expected)
    return f"{parts.scheme}://{shown}"


# A name in ASCII (that of 'bücher.example' is 'xn--bcher-kva.example'), or an address.
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def networks(text: str) -> tuple[Network, ...]:
    """Return *text*, addresses and networks with commas between, as networks."""
    found: list[Network] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word == "loopback":
            found.extend(LOOPBACK)
        elif word != "none":
            try:
                found.append(ipaddress.ip_network(word, strict=False))
            except ValueError as exc:
                raise InvalidValueError(
                    "'loopback', 'none', or addresses and networks such as "
                    "'10.0.0.0/8,192.168.1.7'"
                ) from exc
    return tuple(found)


def path(text: str) -> Path:
    """Return *text* as an absolute path; '~' is the home directory."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as exc:
        raise InvalidValueError(
            "a path whose '~' is the home directory of a user"
        ) from exc


def store(text: str) -> str:
    """Return *text*, 's3://BUCKET' or 's3://BUCKET/PREFIX' or a folder's path."""
    if re.fullmatch(r"s3://[A-Za-z0-9._-]+(/[^/\s][^\s]*)?/?", text):
        return text.rstrip("/")
    if "://" in text:
        raise InvalidValueError("a folder, or s3://BUCKET/PREFIX")
    return str(path(text))


def text(value: str) -> str:
    """Return *value* as it is."""
    return value


@dataclasses.dataclass(frozen=True)
class Knob:
    """
    One knob.

    Attributes:
        name: the environment variable; the flag is made from it.
        parse: text to value; raises InvalidValueError.
        default: as an operator would write it; '' is unset (None).
        help: one line.
        secret: never printed, and no flag (a command line can be read by others).
    """

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str
    secret: bool = False

    @property
    def flag(self) -> str:
        """The flag of `manage.py serve`, as '--listen-addr'."""
        return "--" + self.name.lower().replace("_", "-")

    @property
    def is_boolean(self) -> bool:
        """Whether a bare flag means true."""
        return self.parse is boolean

    def read(self, environ: Mapping[str, str]) -> Any:
        """
        Return this knob's value; None when unset and without a default.

        Raises:
            KnobError: the value does not parse.
        """
        value = environ.get(self.name, "") or self.default
        if not value:
            return None
        try:
            return self.parse(value)
        except InvalidValueError as exc:
            shown = "(secret)" if self.secret else value
            raise KnobError(self.name, shown, str(exc)) from exc


class KnobTable:
    """An ordered table of knobs, no name twice."""

    def __init__(self, *knobs: Knob) -> None:
        self._knobs = {knob.name: knob for knob in knobs}
        if len(self._knobs) != len(knobs):
            raise ValueError("a knob stands twice in the table")

    def __iter__(self) -> Iterator[Knob]:
        return iter(self._knobs.values())

    def __add__(self, other: KnobTable) -> KnobTable:
        return KnobTable(*self, *other)

    def load(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """
        Return every knob's value by name.

        Raises:
            KnobError: for the first value that does not parse.
        """
        return {knob.name: knob.read(environ) for knob in self}


KNOBS = KnobTable(
    Knob(
        "DATA_DIR",
        path,
        "./data",
        "database, attachments, caches, secret key; sockets in its run/",
    ),
    Knob(
        "RELEASE", text, "", "what peers call this version; else a hash of its sources"
    ),
    Knob("LISTEN_ADDR", address, "127.0.0.1:8080", "the public address"),
    Knob(
        "INTERNAL_LISTEN_ADDR",
        address,
        "127.0.0.1:8081",
        "the address of the probes; not for the public",
    ),
    Knob(
        "LISTENER",
        one_of("auto", "inherit", "handover", "reuseport", "bind"),
        "auto",
        "where the public listening socket comes from",
    ),
    Knob("WORKERS", count(1, 256), "2", "worker processes"),
    Knob("THREADS", count(1, 4096), "32", "threads a worker"),
    Knob(
        "SHUTDOWN_GRACE_PERIOD",
        duration,
        "5s",
        "serving goes on this long after /readyz turned 503",
    ),
    Knob(
        "PROBE_WINDOW",
        duration,
        "",
        "how long the load balancer takes to see that /readyz turned 503",
    ),
    Knob(
        "SHUTDOWN_TIMEOUT",
        duration,
        "10s",
        "bound on in-flight requests after the grace",
    ),
    Knob(
        "WRITER_ACQUIRE_TIMEOUT",
        duration,
        "20s",
        "wait for the writer slot before serving reads without it",
    ),
    Knob("WRITE_HOLD_TIMEOUT", duration, "10s", "how long a write waits for a writer"),
    Knob("KILL_FROZEN_HOLDER", boolean, "true", "end a holder that does not answer"),
    Knob("MIGRATE_ON_HANDOFF", boolean, "true", "run migrations when taking the slot"),
    Knob(
        "ALLOW_BREAKING_MIGRATIONS",
        boolean,
        "false",
        "run migrations that older code cannot live with",
    ),
    Knob(
        "TRUSTED_PROXIES",
        networks,
        "loopback",
        "whose X-Forwarded-* headers are believed",
    ),
    Knob("ACCESS_LOG", boolean, "true", "a line a request on standard output"),
    Knob("BACKUP_STORAGE", store, "", "a folder, or s3://BUCKET/PREFIX, for backups"),
    Knob(
        "SIMPLE_BACKUP",
        boolean,
        "false",
        "back up on a schedule, and begin an empty data directory with a backup",
    ),
    Knob("SIMPLE_BACKUP_INTERVAL", duration, "1h", "time between two backups"),
    Knob(
        "SIMPLE_BACKUP_ON_SHUTDOWN",
        boolean,
        "true",
        "back up after the grace; set false in a rolling deploy",
    ),
    Knob(
        "SIMPLE_BACKUP_SHUTDOWN_TIMEOUT",
        duration,
        "30s",
        "bound on that backup",
    ),
    Knob("SIMPLE_BACKUP_KEEP", count(1, 100_000), "24", "newest backups to keep"),
    Knob(
        "SIMPLE_BACKUP_KEEP_DAYS",
        count(0, 100_000),
        "30",
        "days of which one backup each is kept",
    ),
    Knob("LITESTREAM", boolean, "false", "a Litestream of yours replicates"),
    Knob(
        "LITESTREAM_CONFIG",
        path,
        "",
        "run Litestream with this file, where the writer is",
    ),
    Knob("VACUUM_CRON", boolean, "false", "optimize and vacuum on a schedule"),
)
