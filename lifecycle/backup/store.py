"""The store: Django's storage `backups`, by the names that backups have in it."""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from lifecycle.backup import manifest as manifests
from lifecycle.backup import packing
from lifecycle.backup.errors import (
    BackupError,
    DamagedError,
    StoreError,
    UnfinishedError,
    UnreadableError,
)
from lifecycle.backup.manifest import Manifest, Stored
from lifecycle.backup.packing import Readable

_SITE = re.compile(r"[0-9a-f]{16}")
_HASH = re.compile(r"[0-9a-f]{64}")
_DATABASE, _FILES, _MANIFEST = "database.zst", "files.json.zst", "manifest.json"
# What this machine lacks while it reads, whichever object that is of.
_LACKS = {
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EROFS,
}


class Store:
    """
    What is in the storage.

    Every method raises StoreError, one line, for whatever the storage raises.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        """Use *storage*, by default the alias `backups` of STORAGES."""
        with self._told("be opened"):
            self._storage = storage or storages["backups"]

    def __str__(self) -> str:
        location = getattr(self._storage, "location", "")
        bucket = getattr(self._storage, "bucket_name", "")
        return f"s3://{bucket}/{location}" if bucket else str(location)

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn whatever a storage raises into one line about *what* it should do."""
        try:
            yield
        except (BackupError, FileNotFoundError):
            raise
        except ImproperlyConfigured as exc:
            raise StoreError(f"STORAGES['backups'] cannot be used: {exc}") from exc
        except Exception as exc:  # each storage has errors of its own
            where = str(self) if hasattr(self, "_storage") else "STORAGES['backups']"
            raise StoreError(
                f"Backup store {where} cannot {what}: {_reason(exc)}. See to the "
                "store, its keys and its room; what was in it is as it was."
            ) from exc

    @contextlib.contextmanager
    def _reading(self, site: str, what: str, missing: BackupError) -> Iterator[None]:
        """
        Tell what one object cannot be read for from a store that does not answer.

        Args:
            what: the object's name, for a message.
            missing: raised where there is none.

        Raises:
            UnreadableError: the store can be listed, so that it is this object; there
                may be others.
            StoreError: it cannot, or it is this machine that cannot read.
        """
        try:
            with self._told("be read"):
                yield
        except FileNotFoundError as exc:
            raise missing from exc
        except StoreError as exc:
            cause = exc.__cause__
            if isinstance(cause, MemoryError) or getattr(cause, "errno", 0) in _LACKS:
                raise
            self.names(site)
            raise UnreadableError(f"{what} cannot be read: {_reason(cause)}.") from exc

    # -- what there is --------------------------------------------------------

    def sites(self) -> list[str]:
        """Return the ids of the sites that have something here."""
        return sorted(name for name in self._folders("") if _SITE.fullmatch(name))

    def names(self, site: str) -> list[str]:
        """Return the names of the backups of *site*, the newest first, whole or not."""
        found = self._folders(site)
        return sorted(filter(manifests.is_name, found), reverse=True)

    def hashes(self, site: str) -> set[str]:
        """Return the hashes of the files that are here for *site*."""
        try:
            with self._told("be listed"):
                _, names = self._storage.listdir(f"{site}/files")
        except FileNotFoundError:
            return set()
        return {name for name in names if _HASH.fullmatch(name)}

    def _folders(self, path: str) -> list[str]:
        try:
            with self._told("be listed"):
                folders, _ = self._storage.listdir(path)
        except FileNotFoundError:
            return []  # nothing was ever put there
        return [name.strip("/") for name in folders]

    def manifest(self, site: str, name: str) -> Manifest:
        """
        Return the manifest of a backup.

        Raises:
            UnfinishedError: it has none.
            DamagedError: it has one that does not fit.
        """
        with self._object(
            site,
            f"{name}/{_MANIFEST}",
            f"Backup {name}: its manifest",
            UnfinishedError(f"Backup {name} is not whole: it was never finished."),
        ) as reader:
            data = b"".join(iter(lambda: reader.read(packing.CHUNK), b""))
        return manifests.parse(data, site, name)

    @contextlib.contextmanager
    def _object(
        self, site: str, path: str, what: str, missing: BackupError
    ) -> Iterator[Readable]:
        """Open an object for reading; *what* and *missing* as for `_reading`."""

        def told() -> contextlib.AbstractContextManager[None]:
            return self._reading(site, what, missing)

        with told():
            file = cast("BinaryIO", self._storage.open(f"{site}/{path}", "rb"))
        with file:
            with told():
                file.read(0)  # a bucket's storage fetches all of it now
            yield _Reader(file, told)

    def _path(self, manifest: Manifest, name: str) -> str:
        return f"{manifest.site}/{manifest.name}/{name}"

    # -- putting --------------------------------------------------------------

    def put_database(self, site: str, name: str, packed: Path) -> None:
        """Store the packed database of a backup."""
        self._put(f"{site}/{name}/{_DATABASE}", packed)

    def put_list(self, site: str, name: str, packed: Path) -> None:
        """Store the packed list of files of a backup."""
        self._put(f"{site}/{name}/{_FILES}", packed)

    def put_file(self, site: str, sha256: str, source: Path) -> None:
        """Store a file under its hash."""
        self._put(f"{site}/files/{sha256}", source)

    def put_manifest(self, manifest: Manifest, scratch: Path) -> None:
        """Store the manifest, by way of *scratch*: from now on the backup is one."""
        scratch.write_bytes(manifest.to_json())
        self._put(self._path(manifest, _MANIFEST), scratch)

    def _put(self, path: str, source: Path) -> None:
        with self._told("be written"), source.open("rb") as reader:
            saved = self._storage.save(path, File(reader))
            if saved != path:
                raise StoreError(
                    f"Backup store {self} saved {path} as {saved}: set its option to "
                    "overwrite files, so that a name means one thing."
                )

    # -- getting --------------------------------------------------------------

    def check_objects(self, manifest: Manifest) -> None:
        """
        Read the objects of a backup and compare their checksums. Not its files.

        Raises:
            DamagedError: one is missing, or other than what was stored.
        """
        for name, stored in _objects(manifest).items():
            with self._part(manifest, name) as reader:
                if packing.sha256_of(reader) != stored.stored_sha256:
                    raise DamagedError(
                        f"Backup {manifest.name}: {name} is damaged: it has another "
                        "checksum than what was stored."
                    )

    def room_for(self, manifest: Manifest) -> int:
        """Return how many bytes of disk it takes to get the database of a backup."""
        # Other storages have the whole object in a temporary file first.
        is_here = isinstance(self._storage, FileSystemStorage)
        packed = 0 if is_here else manifest.database.stored_size
        return manifest.database.size + packed

    def get_database(
        self, manifest: Manifest, target: Path, progress: Callable[[int], None]
    ) -> None:
        """
        Write the database of a backup to *target*; *progress* is told its bytes.

        Raises:
            DamagedError: it is not what was backed up.
            OSError: *target* cannot be written.
        """
        self._get(manifest, _DATABASE, manifest.database, target, progress)

    def get_list(self, manifest: Manifest, scratch: Path) -> dict[str, dict[str, str]]:
        """
        Return the files of a backup: tree, then path in it, then its hash.

        Raises:
            DamagedError: the list is not what was backed up, or leads out of a tree.
        """
        self._get(manifest, _FILES, manifest.files, scratch)
        trees: dict[str, dict[str, str]] = json.loads(scratch.read_bytes())
        for files in trees.values():
            for path, sha256 in files.items():
                parts = PurePosixPath(path).parts
                if ".." in parts or parts[:1] == ("/",) or not _HASH.fullmatch(sha256):
                    raise DamagedError(
                        f"Backup {manifest.name} lists a file that cannot be: {path!r}."
                    )
        return trees

    def get_file(self, site: str, sha256: str, target: Path) -> None:
        """
        Write the file of that hash to *target*.

        Raises:
            DamagedError: it is missing, or other than its name says.
            OSError: *target* cannot be written.
        """
        missing = DamagedError(f"File {sha256} is missing in the store.")
        with (
            self._object(site, f"files/{sha256}", f"File {sha256}", missing) as reader,
            target.open("wb") as writer,
        ):
            while chunk := reader.read(packing.CHUNK):
                writer.write(chunk)
        with target.open("rb") as written:
            if packing.sha256_of(written) != sha256:
                raise DamagedError(f"File {sha256} is damaged in the store.")

    def _get(
        self,
        manifest: Manifest,
        name: str,
        stored: Stored,
        target: Path,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        what = f"Backup {manifest.name}: {name}"
        with self._part(manifest, name) as reader, target.open("wb") as writer:
            packing.unpack(reader, writer, stored, what, progress)

    def _part(
        self, manifest: Manifest, name: str
    ) -> contextlib.AbstractContextManager[Readable]:
        return self._object(
            manifest.site,
            f"{manifest.name}/{name}",
            f"Backup {manifest.name}: {name}",
            DamagedError(f"Backup {manifest.name} is not whole: {name} is missing."),
        )

    # -- removing -------------------------------------------------------------

    def remove(self, site: str, name: str) -> None:
        """Remove a backup, its manifest first: then it is none."""
        for part in (_MANIFEST, _FILES, _DATABASE):
            self._remove(f"{site}/{name}/{part}")

    def remove_file(self, site: str, sha256: str) -> None:
        """Remove the file of that hash."""
        self._remove(f"{site}/files/{sha256}")

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._told("be cleared"):
            self._storage.delete(path)


class _Reader:
    """The content of an object; what reading it raises is told."""

    def __init__(
        self,
        file: BinaryIO,
        told: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._file = file
        self._told = told

    def read(self, size: int, /) -> bytes:
        with self._told():
            return self._file.read(size)


def _reason(exc: BaseException | None) -> str:
    """Return what *exc* says, in one line without its full stop."""
    return " ".join(f"{exc}".split()).rstrip(".") or type(exc).__name__


def _objects(manifest: Manifest) -> dict[str, Stored]:
    return {_DATABASE: manifest.database, _FILES: manifest.files}
