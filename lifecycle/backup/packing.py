"""Compressed objects: packed and unpacked in one pass, both sides hashed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from backports.zstd import ZstdCompressor, ZstdDecompressor, ZstdError

from lifecycle.backup.errors import DamagedError
from lifecycle.backup.manifest import Stored

CHUNK = 1 << 20  # bytes


class Readable(Protocol):
    """As much of a file as is needed to read one."""

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes, b"" at the end."""


def pack(source: Path, target: Path) -> Stored:
    """Compress *source* into *target*; return what to know them by."""
    compressor = ZstdCompressor()
    content, stored = hashlib.sha256(), hashlib.sha256()
    size = stored_size = 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            content.update(chunk)
            size += len(chunk)
            packed = compressor.compress(chunk)
            stored.update(packed)
            stored_size += writer.write(packed)
        packed = compressor.flush()
        stored.update(packed)
        stored_size += writer.write(packed)
    return Stored(size, content.hexdigest(), stored_size, stored.hexdigest())


def unpack(
    source: Readable,
    target: BinaryIO,
    expected: Stored,
    what: str,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """
    Decompress *source* into *target*.

    Args:
        what: the object's name, for a message.
        progress: told how many bytes have been written.

    Raises:
        DamagedError: it is not what is *expected*; *target* is of no use then.
    """
    decompressor = ZstdDecompressor()
    content = hashlib.sha256()
    size = 0
    try:
        while chunk := source.read(CHUNK):
            plain = decompressor.decompress(chunk)
            content.update(plain)
            size += target.write(plain)
            progress(size)
            if size > expected.size:
                break
    except (ZstdError, EOFError) as exc:
        raise DamagedError(f"{what} is damaged: {exc}.") from exc
    if (size, content.hexdigest()) != (expected.size, expected.sha256):
        raise DamagedError(
            f"{what} is damaged: its content has {size} bytes and another checksum "
            f"than that of the {expected.size} bytes that were backed up."
            if size == expected.size
            else f"{what} is damaged: its content has {size} bytes, and "
            f"{expected.size} were backed up."
        )


def sha256_of(source: Readable) -> str:
    """Return the SHA-256 of what is left of *source*."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
