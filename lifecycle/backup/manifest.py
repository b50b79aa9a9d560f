"""The manifest of one backup: what it has, and how to know that it is whole."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from typing import Any

from lifecycle.backup.errors import DamagedError

FORMAT = 1
_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z")


@dataclasses.dataclass(frozen=True)
class Stored:
    """
    A compressed object, and what it holds.

    Attributes:
        size: of the content, in bytes.
        sha256: of the content.
        stored_size: of the object, in bytes.
        stored_sha256: of the object.
    """

    size: int
    sha256: str
    stored_size: int
    stored_sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """
    One backup.

    Attributes:
        site: the id of the data directory that it was made of.
        name: the moment of its snapshot, or a later one; see `name_after`.
        created_at: that moment, in seconds since 1970.
        seconds: that making it took.
        reason: 'schedule', 'shutdown' or 'command'.
        migrations: those that had been applied, as 'app.name'.
        database: the snapshot.
        files: the list of the files beside it.
        file_count: how many.
        file_bytes: their size together.
    """

    site: str
    name: str
    created_at: float
    seconds: float
    reason: str
    migrations: list[str]
    database: Stored
    files: Stored
    file_count: int
    file_bytes: int

    def to_json(self) -> bytes:
        """Return it as it is stored."""
        return json.dumps(
            {"format": FORMAT, **dataclasses.asdict(self)}, indent=1
        ).encode()

    @property
    def stored_bytes(self) -> int:
        """What its own objects take, without the files."""
        return self.database.stored_size + self.files.stored_size


def parse(data: bytes, site: str, name: str) -> Manifest:
    """
    Return the manifest in *data*, which was found under *site* and *name*.

    Raises:
        DamagedError: it is none, or that of another backup.
    """
    try:
        read: dict[str, Any] = json.loads(data)
        found_format = read.pop("format")
        if found_format != FORMAT:
            raise DamagedError(
                f"Backup {name} has format {found_format!r}; this version reads "
                f"{FORMAT}. Use the version that made it."
            )
        read["database"] = Stored(**read["database"])
        read["files"] = Stored(**read["files"])
        manifest = Manifest(**read)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DamagedError(f"Backup {name}: its manifest cannot be read.") from exc
    if manifest.site != site:
        raise DamagedError(
            f"Backup {name} is of another site: it says {manifest.site!r}, and was "
            f"found among those of {site!r}."
        )
    if manifest.name != name:
        raise DamagedError(f"Backup {name}: its manifest is that of {manifest.name!r}.")
    return manifest


def name_of(at: float) -> str:
    """Return the name of a backup made at *at*, in seconds since 1970."""
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03}Z"


def name_after(newest: str, at: float) -> str:
    """
    Return the name of a backup made at *at*, later than *newest*, '' for none.

    So that the order of names is that of making, though the clock was set back.
    """
    after = name_of(time_of(newest) + 0.0015) if newest else ""  # names have ms
    return max(name_of(at), after)


def is_name(text: str) -> bool:
    """Return whether *text* is the name of a backup."""
    try:
        return bool(_NAME.fullmatch(text) and time_of(text))
    except ValueError:
        return False  # a 31st of June


def time_of(name: str) -> float:
    """Return the moment that *name* says, in seconds since 1970."""
    return datetime.datetime.strptime(name, "%Y%m%dT%H%M%S.%f%z").timestamp()


At = float | str
"""Which backup is meant: that of a name, or the newest of a time or before."""


def parse_at(text: str) -> At:
    """
    Return *text* where it is a backup's name, else, from ISO 8601, in seconds since 1970.

    A time without a zone is UTC.

    Raises:
        ValueError: it is neither.
    """
    if is_name(text):
        return text
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
