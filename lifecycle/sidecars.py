"""
SQLite's own files beside a database.

One that is left would be taken for part of whatever database comes next.
"""

from __future__ import annotations

from pathlib import Path


def sidecars(database: Path) -> list[Path]:
    """Return the paths that they have, whether they are there or not."""
    return [Path(f"{database}{suffix}") for suffix in ("-wal", "-shm", "-journal")]
