"""
The render cache: the Site as it was made, in a file for the next boot.

A file holds the parsed notes, then the Site. It belongs to one version of all that
has a part in the pages; the boot of another version takes the parsed notes from it,
if they are parsed as before. What the database says is compared with it at every
boot, by content hash: the file may be of any age.

Nothing depends on a file. It is written beside and renamed, so that two instances
may do so at once; it is signed with the site's secret key, so that one that is cut
off, damaged, or somebody else's is never unpickled; and whatever goes wrong with it
is logged, and the Site is made without.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import gc
import hashlib
import hmac
import io
import logging
import os
import pickle
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from notes.bases.selecting import Answers
from notes.conf import conf
from notes.frames import make_frame
from notes.site import Site
from notes.site_settings import SiteSettings

logger = logging.getLogger(__name__)

KEPT_FILES = 2
"""The version that was booted last, and the one to roll back to."""
_SUFFIX = ".cache"
_TEMPORARY = ".new-"

MIN_FREE = 100 * 2**20
"""Bytes that a file leaves free on its disk, and no less than it takes itself."""

WORTH_SAVING = 0.02
"""The part of the pages that must be new: fewer are made sooner than all are written."""

_MAGIC = b"trip2g render cache 1\n"
_VERSION_LENGTH = 32
_DIGEST = "sha256"
_DIGEST_LENGTH = 32

_PARSING_SOURCES = (
    "rendering",
    "bases",
    "addresses.py",
    "dates.py",
    "frontmatter.py",
    "links.py",
    "packing.py",
    "sources.py",
)
_PARSING_LIBRARIES = (
    "latex2mathml",
    "markdown-it-py",
    "mdit-py-plugins",
    "nh3",
    "pygments",
    "pyyaml",
)
_LIBRARIES = ("brotli", "django", "pillow")


@dataclass(frozen=True)
class Cached:
    """
    What an earlier boot left.

    Attributes:
        site: None where it was made by another version.
        packed: pairs of (content hash, packed note), by path.
    """

    site: Site | None = None
    packed: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)


def load() -> Cached:
    """Return what the cache has for this version; never raises."""
    try:
        with collector_off():
            return _load()
    except Exception as exc:  # noqa: BLE001 - a cache is never a reason to fail
        logger.warning("event=cache_unreadable reason=%r", exc)
        return Cached()


def save(site: Site) -> None:
    """Put *site* into the cache; never raises."""
    began = time.monotonic()
    try:
        size = _save(site)
    except Exception as exc:  # noqa: BLE001 - as in load; a full disk, likely
        logger.warning("event=cache_not_written reason=%r", exc)
        return
    logger.info(
        "event=cache_written notes=%d bytes=%d seconds=%.3f",
        len(site.facts),
        size,
        time.monotonic() - began,
    )


def _load() -> Cached:
    own = _own_file()
    for path in sorted(_files(), key=lambda path: path != own):
        content = _read(path)
        if content is None:
            continue
        version = content.read(_VERSION_LENGTH).decode()
        if path != own and version != parsing_version():
            continue
        with contextlib.suppress(OSError):
            os.utime(path)
        unpickler = pickle.Unpickler(content)  # noqa: S301 - its signature is ours
        packed = unpickler.load()
        if path != own:
            return Cached(packed=packed)
        site: Site = unpickler.load()
        notes = {path: text for path, (_, text) in packed.items() if path in site.facts}
        sheets = {
            path: text for path, (_, text) in packed.items() if path in site.sheets
        }
        return Cached(replace(site, packed=notes, packed_sheets=sheets), packed)
    return Cached()


def _read(path: Path) -> BinaryIO | None:
    """Return the content of the file at *path*; None for one that is not ours."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        # Another instance may have taken it away just now.
        logger.info("event=cache_skipped file=%s reason=%r", path.name, exc)
        return None
    end = len(content) - _DIGEST_LENGTH
    with memoryview(content) as view:
        digest = hmac.digest(_key(), view[: max(end, 0)], _DIGEST)
        is_ours = hmac.compare_digest(digest, view[max(end, 0) :])
    if not is_ours or not content.startswith(_MAGIC):
        logger.warning("event=cache_ignored file=%s reason=signature", path.name)
        return None
    stream = io.BytesIO(content)
    stream.seek(len(_MAGIC))
    return stream


def _save(site: Site) -> int:
    """Write the file of this version; return its size in bytes."""
    folder = conf.cache_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    packed = {
        path: (_hash_of(site, path), text)
        for path, text in (*site.packed.items(), *site.packed_sheets.items())
        if text is not None
    }
    _prune()
    with _temporary(folder) as (file, path):
        signed = _Signed(file)
        signed.write(_MAGIC + parsing_version().encode())
        # One pickler, so that both parts share the strings that they share.
        pickler = pickle.Pickler(signed, pickle.HIGHEST_PROTOCOL)
        pickler.dump(packed)
        pickler.dump(replace(site, packed={}, packed_sheets={}, answers=Answers()))
        file.write(signed.digest())
        size = file.tell()
        file.flush()
        # Not synced: what a power cut leaves of it has no signature.
        path.replace(_own_file())
    _prune()
    return size


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file that others leave alone; it goes unless it is renamed."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
        path = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            try:
                # Till it is closed, or the process is dead: see `_remove_abandoned`.
                fcntl.flock(file, fcntl.LOCK_EX)
                if not os.fstat(descriptor).st_nlink:
                    continue  # it was removed before it was locked
                yield file, path
                return
            finally:
                path.unlink(missing_ok=True)


def _hash_of(site: Site, path: str) -> str:
    """Return the content hash of a note or sheet."""
    facts = site.facts.get(path)
    return site.attachments[path].content_hash if facts is None else facts.content_hash


class _Signed:
    """A file to write to that signs what it is given, while there is room for it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._mac = hmac.new(_key(), digestmod=_DIGEST)
        self._size = 0

    def write(self, data: bytes) -> int:
        # The database is on this disk, too, as a rule: its writes come first.
        self._size += len(data)
        least = len(data) + max(self._size, MIN_FREE)
        if shutil.disk_usage(self._file.fileno()).free < least:
            raise OSError(errno.ENOSPC, f"Less than {least >> 20} MB are free")
        self._mac.update(data)
        return self._file.write(data)

    def digest(self) -> bytes:
        return self._mac.digest()


def _files() -> list[Path]:
    """Return the files of the cache, the one that was used last first."""
    found: list[tuple[float, Path]] = []
    for path in conf.cache_dir.glob("*" + _SUFFIX):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _prune() -> None:
    """Remove the files that were not used for longest, and what was left unfinished."""
    for path in _files()[KEPT_FILES:]:
        path.unlink(missing_ok=True)
    for path in conf.cache_dir.glob(_TEMPORARY + "*"):
        with contextlib.suppress(OSError):
            _remove_abandoned(path)


def _remove_abandoned(temporary: Path) -> None:
    """Remove *temporary* if nobody writes to it any more."""
    with temporary.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # While it is locked: who has just made it sees, once it is theirs, that it
        # is gone.
        temporary.unlink()


def _own_file() -> Path:
    return conf.cache_dir / f"{site_version()}{_SUFFIX}"


def _key() -> bytes:
    return hashlib.sha256(b"notes.caching" + settings.SECRET_KEY.encode()).digest()


@functools.cache
def parsing_version() -> str:
    """Return what changes when the same note may be parsed otherwise."""
    here = Path(__file__).parent
    sources = [
        path
        for name in _PARSING_SOURCES
        for path in ((here / name).rglob("*.py") if "." not in name else [here / name])
    ]
    return _hash(_contents(sources), sys.version, *_versions(_PARSING_LIBRARIES))


def site_version() -> str:
    """Return what changes when the same notes may give other pages."""
    return _hash(
        parsing_version(),
        _sources_version(),
        conf.public_url,
        settings.TIME_ZONE,
        # With templates and static files wherever they come from.
        repr(
            [
                make_frame(SiteSettings(), one, "x" if one else "")
                for one in (False, True)
            ]
        ),
    )


@functools.cache
def _sources_version() -> str:
    return _hash(
        _contents(
            path
            for path in Path(__file__).parent.rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        ),
        zlib.ZLIB_RUNTIME_VERSION,
        *_versions(_LIBRARIES),
    )


def _contents(paths: Iterator[Path] | list[Path]) -> str:
    return _hash(
        *(
            hashlib.sha256(path.read_bytes()).hexdigest() + path.name
            for path in sorted(paths)
        )
    )


def _versions(names: tuple[str, ...]) -> list[str]:
    return [metadata.version(name) for name in names]


def _hash(*parts: str) -> str:
    text = "\0".join(parts).encode(errors="replace")
    return hashlib.blake2b(text, digest_size=_VERSION_LENGTH // 2).hexdigest()


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """Make objects without the collector looking at all of them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


# What is on disk now is what this process has imported, or is about to: a release
# that is copied over this one later must not sign the pages of this one.
_sources_version()
parsing_version()
