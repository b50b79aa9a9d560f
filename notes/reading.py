"""Reading: what a file of the vault holds."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from notes.exceptions import FrontmatterError, UnreadableFileError
from notes.frontmatter import split
from notes.publishing import ALWAYS, published_from
from notes.vault import VaultFile

_BOM = b"\xef\xbb\xbf"
_CHUNK = 1024 * 1024  # bytes

_SETTLED = 2.0
"""
In seconds; a file changed this recently may change again without a new time.

The clock of a filesystem may be as coarse as that (FAT).
"""


@dataclass(frozen=True, slots=True)
class Content:
    """
    What was read of a file.

    Attributes:
        file: where it was read.
        content_hash: SHA-256 of its bytes, in hex.
        published_from: when a note is published; None for never.
        source: a note's text, BOM taken away, newlines as '\\n'; empty for an
            attachment, and for a note that is only remembered.
    """

    file: VaultFile
    content_hash: str
    size: int
    modified_at: datetime
    published_from: datetime | None = ALWAYS
    source: str = ""

    @property
    def is_published(self) -> bool:
        """Whether it is published now; true for attachments."""
        return self.published_from is not None and (
            self.published_from <= datetime.now(UTC)
        )


Fingerprint = tuple[int, int, int, int, int]
"""Device, inode, size in bytes, times of modification and of status change in ns."""


class ReadCache:
    """
    What files held when they were last read, for as long as they look the same.

    For one vault, and one sync at a time. A change that leaves the fingerprint as it was
    can be made only within the clock's tick: what is younger is not kept.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Fingerprint, Content]] = {}

    def find(self, file: VaultFile) -> Content | None:
        """Return what *file* held, without its source; None when it must be read."""
        known = self._known.get(file.location)
        if known and known[0] == _fingerprint(Path(file.location).stat()):
            return replace(known[1], file=file)  # a symlink has another path
        return None

    def keep(self, file: VaultFile, status: os.stat_result, content: Content) -> None:
        """Remember *content*, read when *status* was that of the file."""
        changed_at = max(status.st_mtime_ns, status.st_ctime_ns)
        if changed_at + _SETTLED * 1e9 < time.time_ns():
            known = replace(content, source="")
            self._known[file.location] = _fingerprint(status), known
        else:
            self._known.pop(file.location, None)

    def forget_others(self, files: Iterable[VaultFile]) -> None:
        """Forget all but *files*: a writer lives for months, and files come and go."""
        locations = {file.location for file in files}
        for location in self._known.keys() - locations:
            del self._known[location]


# The vault that is watched and those that somebody brings in; from CI each time one in
# another folder, perhaps.
@functools.lru_cache(maxsize=4)
def cache_for(directory: Path) -> ReadCache:
    """Return this process's cache for a vault, for whoever syncs it."""
    return ReadCache()


def read_note(
    file: VaultFile, *, max_size: int, cache: ReadCache | None = None
) -> Content:
    """
    Read a note whole.

    Raises:
        UnreadableFileError: it is over *max_size* bytes, not UTF-8, or has broken
            frontmatter.
        OSError: it cannot be opened or read.
    """
    with open_file(file, max_size) as stream:
        status = os.fstat(stream.fileno())
        data = stream.read(max_size + 1)
    source, start = read_text(data, max_size)  # it may have grown
    content = Content(
        file,
        hashlib.sha256(data).hexdigest(),
        len(data),
        modified_at(status),
        start,
        source,
    )
    if cache is not None:
        cache.keep(file, status, content)
    return content


def read_text(data: bytes, max_size: int) -> tuple[str, datetime | None]:
    """
    Return the source of the note whose bytes are *data*, and when it is published.

    Raises:
        UnreadableFileError: it is over *max_size* bytes, not UTF-8, or has broken
            frontmatter.
    """
    _check_size(len(data), max_size)
    source = decode(data)
    try:
        properties, _ = split(source)
    except FrontmatterError as exc:
        raise UnreadableFileError(str(exc)) from exc
    return source, published_from(properties)


def read_attachment(
    file: VaultFile, *, max_size: int, cache: ReadCache | None = None
) -> Content:
    """
    Read an attachment for its hash.

    Raises:
        UnreadableFileError: it is over *max_size* bytes.
        OSError: it cannot be opened or read.
    """
    with open_file(file, max_size) as stream:
        status = os.fstat(stream.fileno())
        digest = hashlib.sha256()
        size = 0
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            _check_size(size, max_size)
    content = Content(file, digest.hexdigest(), size, modified_at(status))
    if cache is not None:
        cache.keep(file, status, content)
    return content


def open_file(file: VaultFile, max_size: int) -> BinaryIO:
    """
    Open *file* for reading; a pipe that took its place does not block.

    Raises:
        UnreadableFileError: it is over *max_size* bytes.
    """
    descriptor = os.open(file.location, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(descriptor, "rb")
    try:
        _check_size(os.fstat(descriptor).st_size, max_size)
    except UnreadableFileError:
        stream.close()
        raise
    return stream


def decode(data: bytes) -> str:
    """
    Return *data* as text: without a BOM, newlines as '\\n'.

    Raises:
        UnreadableFileError: it is not UTF-8.
    """
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as exc:
        offset = exc.start + len(data) - len(data.removeprefix(_BOM))
        raise UnreadableFileError(
            f"not UTF-8 (byte 0x{data[offset]:02x} at offset {offset})"
        ) from exc
    return text.replace("\r\n", "\n").replace("\r", "\n")


def modified_at(status: os.stat_result) -> datetime:
    """Return when the file was last modified; 1970 for a time no calendar has."""
    try:
        return datetime.fromtimestamp(status.st_mtime, UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0, UTC)


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _check_size(size: int, max_size: int) -> None:
    if size > max_size:
        raise UnreadableFileError(f"over the limit of {max_size:,} bytes")
