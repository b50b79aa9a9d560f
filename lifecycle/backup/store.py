"""The store: Django's storage `backups`, by the names that backups have in it."""

from __future__ import annotations

import contextlib
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
)
from lifecycle.backup.manifest import Manifest, Stored

_SITE = re.compile(r"[0-9a-f]{16}")
_HASH = re.compile(r"[0-9a-f]{64}")
_DATABASE, _FILES, _MANIFEST = "database.zst", "files.json.zst", "manifest.json"


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
            reason = " ".join(f"{exc}".split()) or type(exc).__name__
            where = str(self) if hasattr(self, "_storage") else "STORAGES['backups']"
            raise StoreError(
                f"Backup store {where} cannot {what}: {reason.rstrip('.')}. See to the "
                "store, its keys and its room; what was in it is as it was."
            ) from exc

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
        try:
            with (
                self._told("be read"),
                self._open(f"{site}/{name}/{_MANIFEST}") as file,
            ):
                data = file.read()
        except FileNotFoundError as exc:
            raise UnfinishedError(
                f"Backup {name} is not whole: it was never finished."
            ) from exc
        return manifests.parse(data, site, name)

    def _open(self, path: str) -> BinaryIO:
        """Open an object; a bucket's storage has fetched all of it by then."""
        file = cast("BinaryIO", self._storage.open(path, "rb"))
        try:
            file.read(0)
        except BaseException:
            file.close()
            raise
        return file

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
            with self._reading(manifest, name) as reader:
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
        try:
            with self._told("be read"):
                reader = self._open(f"{site}/files/{sha256}")
        except FileNotFoundError as exc:
            raise DamagedError(f"File {sha256} is missing in the store.") from exc
        with reader, target.open("wb") as writer:
            while chunk := self._chunk(reader):
                writer.write(chunk)
        with target.open("rb") as written:
            if packing.sha256_of(written) != sha256:
                raise DamagedError(f"File {sha256} is damaged in the store.")

    def _chunk(self, reader: BinaryIO) -> bytes:
        with self._told("be read"):
            return reader.read(packing.CHUNK)

    def _get(
        self,
        manifest: Manifest,
        name: str,
        stored: Stored,
        target: Path,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        what = f"Backup {manifest.name}: {name}"
        with self._reading(manifest, name) as reader, target.open("wb") as writer:
            packing.unpack(reader, writer, stored, what, progress)

    @contextlib.contextmanager
    def _reading(self, manifest: Manifest, name: str) -> Iterator[BinaryIO]:
        try:
            with self._told("be read"):
                reader = self._open(self._path(manifest, name))
        except FileNotFoundError as exc:
            raise DamagedError(
                f"Backup {manifest.name} is not whole: {name} is missing."
            ) from exc
        with reader:
            yield reader

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


def _objects(manifest: Manifest) -> dict[str, Stored]:
    return {_DATABASE: manifest.database, _FILES: manifest.files}
