"""A secret key that is made once and kept."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from lifecycle.exceptions import LifecycleError


class SecretKeyError(LifecycleError):
    """No secret key is to be had; the message says where, and what to do."""


def load_secret_key(path: Path) -> str:
    """
    Return the key in *path*, mode 0600; make it first when there is none.

    Any process may call it at any time: of two that make a key at once, one
    file wins and both return it.

    Raises:
        SecretKeyError: the file can neither be read nor made, or is empty.
    """
    try:
        key = _read_or_make(path)
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "not UTF-8"
        raise SecretKeyError(
            f"The secret key {path} can neither be read nor made: {reason}. "
            f"It must be a file that user {os.geteuid()} may read, in a folder that "
            "this user may write to; or set SECRET_KEY."
        ) from exc
    if not key:
        raise SecretKeyError(
            f"The secret key {path} is empty. Remove it, and the next start makes one."
        )
    return key


def _read_or_make(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".secret-key-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.fsync(file.fileno())
        # link() fails where rename() would replace the key another process made.
        Path(path).hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
    return path.read_text().strip()
