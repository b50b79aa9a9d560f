"""A store in a directory: what is there is there whole, and only its owner reads it."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.files import File
from django.core.files.storage import FileSystemStorage

_PART = ".part"


class DirectoryStorage(FileSystemStorage):
    """
    Files that appear under their names whole and on disk, or not at all.

    Django's own writes in place: a full disk or a crash leaves a part.
    """

    def __init__(self, location: str | Path) -> None:
        """Use the directory *location*, made when something is first saved."""
        super().__init__(
            location=location,
            file_permissions_mode=0o600,
            directory_permissions_mode=0o700,
            allow_overwrite=True,
        )

    def _save(self, name: str, content: File[bytes]) -> str:
        # One name for all tries, so that the next one takes the place of what a
        # killed one left.
        part = f"{name}{_PART}"
        try:
            super()._save(part, content)  # type: ignore[misc]
            path = Path(self.path(name))
            with Path(self.path(part)).open("rb") as written:
                os.fsync(written.fileno())
            Path(self.path(part)).replace(path)
        except BaseException:
            Path(self.path(part)).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
        return name

    def delete(self, name: str) -> None:
        """Delete *name* and what is left of a try, and the folder if it is empty then."""
        super().delete(name)
        Path(self.path(f"{name}{_PART}")).unlink(missing_ok=True)
        folder = Path(self.path(name)).parent
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def sync_folder(folder: Path) -> None:
    """Make a rename in *folder* last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
