"""The id of this data directory's site, by which its backups are known."""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path

from lifecycle.backup.errors import BackupError
from lifecycle.conf import conf


def _path() -> Path:
    return conf.data_dir / "site-id"


def current() -> str:
    """
    Return the id of this data directory; '' before its first backup or restore.

    Raises:
        BackupError: its file holds something else.
    """
    try:
        found = _path().read_text().strip()
    except FileNotFoundError:
        return ""
    if not re.fullmatch(r"[0-9a-f]{16}", found):
        raise BackupError(
            f"{_path()} should hold 16 hexadecimal digits and holds {found[:40]!r}. "
            "Take the id from the store's top folder."
        )
    return found


def current_or_new() -> str:
    """Return the id of this data directory, made now if it has none."""
    found = current()
    if not found:
        set_id(secrets.token_hex(8))
    return found or current()


def set_id(site: str) -> None:
    """Make *site* the id of this data directory, unless it has one."""
    # Another process may be about to do the same: the first one wins.
    with contextlib.suppress(FileExistsError), _path().open("x") as file:
        file.write(f"{site}\n")
