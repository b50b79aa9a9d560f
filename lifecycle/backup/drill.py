"""The drill: restore beside the living site, count, compare, and throw it away."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from lifecycle.backup import snapshot, workplace
from lifecycle.backup.conf import backup_conf
from lifecycle.backup.manifest import At
from lifecycle.backup.restoring import Restored, restore_in
from lifecycle.backup.snapshot import Progress
from lifecycle.conf import conf


@dataclasses.dataclass(frozen=True)
class Count:
    """How many rows a table has, or files a tree: in the backup, and in the site now."""

    what: str
    restored: int
    live: int


def drill(
    progress: Progress, *, at: At | None = None, site: str = ""
) -> tuple[Restored, list[Count]]:
    """
    Restore the newest backup into a folder that is then removed.

    Returns:
        What was restored, and each table and tree as it is there and here. They
        differ by what was written since.

    Raises:
        BackupError: it cannot be restored.
    """
    # All of it goes with the folder that is worked in, under the lock on it.
    with workplace.opened() as work:
        folder = work / "drill"
        restored = restore_in(work, folder, progress, at=at, site=site)
        live = conf.database_path
        there = _rows(folder / live.name)
        here = _rows(live) if live.exists() else {}
        counts = [
            Count(table, there.get(table, 0), here.get(table, 0))
            for table in sorted(there.keys() | here.keys())
        ]
        for name, tree in backup_conf.trees.items():
            counts.append(Count(f"{name}/", _files(folder / name), _files(tree)))
    return restored, counts


def _rows(database: Path) -> dict[str, int]:
    with contextlib.closing(snapshot.connect(database)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
        return {
            name: connection.execute(
                f'SELECT count(*) FROM "{name}"'  # noqa: S608 - from the schema itself
            ).fetchone()[0]
            for (name,) in tables
        }


def _files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())
