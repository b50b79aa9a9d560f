"""
Making a backup: snapshot, pack, store, read back, and only then forget old ones.

What if it is killed here?
  before the manifest is stored   there is no backup; what was stored is cleared by
                                  a later prune, and files are used by the next one
  after it                        the backup is good; pruning is done the next time
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

from lifecycle.backup import packing, pruning, site, snapshot, status, workplace
from lifecycle.backup.conf import backup_conf
from lifecycle.backup.errors import BackupError, NotNowError
from lifecycle.backup.manifest import Manifest, name_after
from lifecycle.backup.snapshot import Progress
from lifecycle.backup.store import Store
from lifecycle.conf import conf
from lifecycle.logs import quoted

logger = logging.getLogger(__name__)

_HASH = re.compile(r"[0-9a-f]{64}")


def create(reason: str, progress: Progress, wait: float = 0.0) -> Manifest:
    """
    Back up the site of this data directory, then prune; return what was made.

    For a process of its own: the writer's child, or a command.

    Args:
        reason: why, for the manifest.
        progress: told what is being done.
        wait: for another backup to end, in seconds.

    Raises:
        NotNowError: another one is at work.
        BackupError: it failed; the line is in the status, too. The last good one
            is as it was.
    """
    logger.info("event=backup_start reason=%s", reason)
    try:
        with workplace.opened(wait) as work:
            store = Store()
            manifest = _make(store, work, reason, progress)
            status.note_good(backup_conf.status_path, manifest)
            _prune(store, manifest, work)
    except NotNowError:
        raise
    except BackupError as exc:
        status.note_failure(backup_conf.status_path, str(exc))
        if reason != "command":  # a command prints it
            logger.error("event=backup_failed reason=%s", quoted(exc))  # noqa: TRY400
        raise
    logger.info(
        "event=backup_end name=%s seconds=%.1f bytes=%d store=%s",
        manifest.name,
        manifest.seconds,
        manifest.stored_bytes,
        store,
    )
    return manifest


def _prune(store: Store, manifest: Manifest, work: Path) -> None:
    """Remove what is old; the new backup is no less good when that fails."""
    try:
        pruning.prune(store, manifest.site, work, good=manifest.name)
    except BackupError as exc:
        logger.warning("event=backup_prune_failed reason=%s", quoted(exc))


def _make(store: Store, work: Path, reason: str, progress: Progress) -> Manifest:
    began = time.monotonic()
    source = conf.database_path
    if not source.exists():
        raise BackupError(f"There is no database {source} to back up. See to DATA_DIR.")
    workplace.need_room(work, 2 * source.stat().st_size, "a snapshot, and it packed")
    site_id = site.current_or_new()
    raw, packed = work / "database", work / "packed"
    moment = snapshot.take(source, raw, progress)
    newest = next(iter(store.names(site_id)), "")
    name = name_after(newest, moment)
    migrations = snapshot.migrations(raw)
    progress("pack", 0, 0)
    database = packing.pack(raw, packed)
    raw.unlink()
    progress("store", 0, 0)
    store.put_database(site_id, name, packed)
    # What the snapshot names was there before it, and stays for an hour after the
    # last row that named it is gone.
    trees = _store_files(store, site_id, progress)
    listed = work / "files.json"
    listed.write_text(json.dumps({tree: files for tree, files, _ in trees}))
    files = packing.pack(listed, packed)
    store.put_list(site_id, name, packed)
    manifest = Manifest(
        site=site_id,
        name=name,
        created_at=moment,
        seconds=round(time.monotonic() - began, 3),
        reason=reason,
        migrations=migrations,
        database=database,
        files=files,
        file_count=sum(len(found) for _, found, _ in trees),
        file_bytes=sum(size for _, _, size in trees),
    )
    progress("read back", 0, 0)
    store.check_objects(manifest)
    store.put_manifest(manifest, work / "manifest")
    return manifest


def _store_files(
    store: Store, site_id: str, progress: Progress
) -> list[tuple[str, dict[str, str], int]]:
    """Store what is not there yet; return name, path-to-hash and size of each tree."""
    there = store.hashes(site_id)
    trees = []
    for tree, folder in backup_conf.trees.items():
        listed, size = {}, 0
        for path in _files_of(folder):
            try:
                size += path.stat().st_size
                if path.name not in there:
                    progress("files", len(there), 0)
                    store.put_file(site_id, path.name, path)
                    there.add(path.name)
            except FileNotFoundError:
                continue  # no row has named it for an hour
            listed[str(path.relative_to(folder))] = path.name
        trees.append((tree, listed, size))
    return trees


def _files_of(folder: Path) -> Iterator[Path]:
    """Yield the files below *folder* that are named by a hash, in order."""
    for path in sorted(folder.rglob("*")):
        if _HASH.fullmatch(path.name) and path.is_file():
            yield path
