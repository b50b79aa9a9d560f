"""What the last backup was, kept in DATA_DIR for the health check and the schedule."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from lifecycle.backup.errors import BackupError
from lifecycle.backup.manifest import Manifest


@dataclasses.dataclass(frozen=True)
class Status:
    """
    The last good backup, and what came after it.

    Attributes:
        name: of the last good one; '' when there is none.
        at: when it was begun, in seconds since 1970; 0 when there is none.
        failed_at: the last failure since; 0 when there was none.
        reason: of that failure, one line.
        begun_at: when the schedule began without a good one; 0 once there is one.
    """

    name: str = ""
    at: float = 0.0
    failed_at: float = 0.0
    reason: str = ""
    begun_at: float = 0.0


def read(path: Path) -> Status:
    """Return the status in *path*; an empty one when there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        return Status(**found)
    except (OSError, ValueError, TypeError):
        return Status()


def note_good(path: Path, manifest: Manifest) -> None:
    """
    Note that *manifest* is the last good backup.

    Raises:
        BackupError: that cannot be written. Without it the schedule would begin the
            next one at once, so it waits as after a failure.
    """
    try:
        _write(path, Status(manifest.name, manifest.created_at))
    except OSError as exc:
        raise BackupError(
            f"Backup {manifest.name} is stored and good, but {path}, which says so, "
            f"cannot be written: {exc.strerror or exc}. Make room on the disk, or see "
            "to its permissions."
        ) from exc


def note_begun(path: Path) -> None:
    """Note that the first good backup is waited for from now on. Idempotent."""
    status = read(path)
    if not (status.at or status.begun_at):
        with contextlib.suppress(OSError):
            _write(path, dataclasses.replace(status, begun_at=time.time()))


def note_failure(path: Path, reason: str) -> None:
    """Note that an attempt failed now. A full disk loses the note, no more."""
    with contextlib.suppress(OSError):
        _write(
            path, dataclasses.replace(read(path), failed_at=time.time(), reason=reason)
        )


def _write(path: Path, status: Status) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dataclasses.asdict(status)))
    part.replace(path)
