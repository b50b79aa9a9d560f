"""
Blobs: the bytes of attachments, on disk under their hash.

A blob is never changed. It goes an hour after no row names it, for until then an
instance that is draining, or one that has not yet read the change, may serve it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import BinaryIO

GRACE = 3600.0
"""In seconds."""

_CHUNK = 1024 * 1024  # bytes
_NAME = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = "incoming-"


def blob_path(store: Path, content_hash: str) -> Path:
    """Return where *store* has, or would have, the blob of *content_hash*."""
    return store / content_hash[:2] / content_hash


def put_blob(store: Path, stream: BinaryIO) -> tuple[str, int]:
    """
    Put what *stream* holds into *store*; return its hash and its size in bytes.

    It is there whole and on disk, or not at all.
    """
    store.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=store, prefix=_TEMPORARY)
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as target:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
            size = target.tell()
        blob = blob_path(store, digest.hexdigest())
        if not blob.parent.is_dir():
            blob.parent.mkdir(exist_ok=True)
            _sync_folder(store)
        Path(temporary).replace(blob)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(blob.parent)
    return digest.hexdigest(), size


def has_blob(store: Path, content_hash: str, size: int) -> bool:
    """Whether *store* has the blob; a shorter one, of a disk that was full, is none."""
    try:
        return blob_path(store, content_hash).stat().st_size == size
    except FileNotFoundError:
        return False


def keep_for_grace(store: Path, content_hashes: Iterable[str]) -> None:
    """Let the grace of these blobs begin now. For blobs that lose or regain a row."""
    for content_hash in content_hashes:
        with contextlib.suppress(FileNotFoundError):
            os.utime(blob_path(store, content_hash))


def remove_blobs(store: Path, named: Collection[str]) -> int:
    """Remove the blobs that are not *named* and whose grace is over; return how many."""
    removed = 0
    before = time.time() - GRACE
    for path in [*store.glob("[0-9a-f][0-9a-f]/*"), *store.glob(f"{_TEMPORARY}*")]:
        # Whatever else somebody keeps in the folder is left alone.
        is_blob = path.parent != store and _NAME.fullmatch(path.name)
        if (is_blob and path.name not in named) or path.parent == store:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
    return removed


def _sync_folder(folder: Path) -> None:
    """Make a rename in *folder* last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
