"""Reading backups and checking all of them: the database, and each of its files."""

from __future__ import annotations

import logging
from pathlib import Path

from lifecycle.backup import packing, restoring, workplace
from lifecycle.backup.conf import backup_conf
from lifecycle.backup.errors import BackupError, DamagedError
from lifecycle.backup.manifest import At
from lifecycle.backup.restoring import Listed
from lifecycle.backup.snapshot import Progress
from lifecycle.backup.store import Store
from lifecycle.logs import quoted

logger = logging.getLogger(__name__)


def verify(
    progress: Progress, *, at: At | None = None, site: str = "", every: bool = False
) -> list[tuple[str, str]]:
    """
    Check the newest backup, or *every* one; a restore is done up to its last step.

    Args:
        at: those of that time or before; a name: that one and those before.
        site: whose; '' as for a restore.

    Returns:
        Pairs of a name and what is wrong with it, '' when it is good.

    Raises:
        BackupError: the store does not answer, or there is no backup to verify.
    """
    with workplace.opened() as work:
        store = Store()
        site = restoring.choose_site(store, site)
        names = restoring.choose(store, site, at)
        if not names:
            raise BackupError(
                f"Backup store {store} has no such backup of site {site}."
            )
        results = []
        for name in names if every else names[:1]:
            problem = ""
            try:
                manifest = store.manifest(site, name)
                listed = restoring.fetch(store, manifest, work, progress)
                _check_files(store, site, listed, work / "file", progress)
            except DamagedError as exc:
                problem = str(exc)
            results.append((name, problem))
        return results


def _check_files(
    store: Store, site: str, listed: Listed, scratch: Path, progress: Progress
) -> None:
    """
    Read every file of a backup; one that is damaged is stored again if it is here.

    Raises:
        DamagedError: for the first one that is damaged and is not.
    """
    total = sum(len(files) for files in listed.values())
    done = 0
    for tree, files in listed.items():
        folder = backup_conf.trees.get(tree)
        for relative, sha256 in files.items():
            progress("files", done, total)
            done += 1
            try:
                store.get_file(site, sha256, scratch)
            except DamagedError as exc:
                here = folder / relative if folder else None
                if here is None or not _is_good(here, sha256):
                    raise
                store.put_file(site, sha256, here)
                logger.warning("event=file_stored_again reason=%s", quoted(exc))


def _is_good(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as reader:
            return packing.sha256_of(reader) == sha256
    except FileNotFoundError:
        return False
