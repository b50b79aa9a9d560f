"""A site whose backups a test makes, damages and brings back."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from lifecycle.backup import creating, manifest, restoring


def silent(what: str, done: int, total: int) -> None:
    pass


class Site:
    """A data directory with a database and files, and a store beside it."""

    def __init__(self, database: Path, store: Path) -> None:
        self.database = database
        self.data_dir = database.parent
        self.store = store
        self.files = self.data_dir / "files"

    def write(self, text: str) -> None:
        with contextlib.closing(sqlite3.connect(self.database)) as raw, raw:
            raw.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
            raw.execute("INSERT INTO words VALUES (?)", (text,))

    def words(self, database: Path | None = None) -> list[str]:
        path = database or self.database
        with contextlib.closing(sqlite3.connect(path)) as raw:
            return [word for (word,) in raw.execute("SELECT word FROM words")]

    def add_file(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.files / sha256[:2] / sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return sha256

    def back_up(self) -> manifest.Manifest:
        return creating.create("command", silent)

    def restore(self, **options: Any) -> restoring.Restored:
        with restoring.alone():
            return restoring.restore(silent, **options)

    def lose(self) -> None:
        """Lose the database and the files."""
        for path in self.data_dir.glob(f"{self.database.name}*"):
            path.unlink()
        for path in self.files.rglob("*"):
            if path.is_file():
                path.unlink()

    def names(self) -> list[str]:
        (folder,) = [path for path in self.store.iterdir() if path.is_dir()]
        return sorted(path.name for path in folder.iterdir() if path.name != "files")

    def stored(self, pattern: str) -> list[Path]:
        return sorted(self.store.glob(pattern))

    def work(self) -> Path:
        return self.data_dir / "backup-work"


def command(*arguments: str) -> str:
    return str(call_command("backup", *arguments))


def fails(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        call_command("backup", *arguments)
    assert "\n" not in str(caught.value)
    return caught.value.returncode, str(caught.value)


def damage(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(bytes(content))


def flip(content: bytearray) -> None:
    content[len(content) // 2] ^= 1


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


class Torn(io.BytesIO):
    """A file whose last block cannot be read."""

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if size and not found:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return found
