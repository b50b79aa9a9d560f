"""Removing what retention does not keep, and never the newest backup that is good."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from lifecycle.backup.conf import backup_conf
from lifecycle.backup.errors import DamagedError, UnfinishedError
from lifecycle.backup.manifest import Manifest, time_of
from lifecycle.backup.retention import kept
from lifecycle.backup.store import Store
from lifecycle.logs import quoted

logger = logging.getLogger(__name__)

# What was never finished may be at work elsewhere for this long, in seconds.
_UNFINISHED = 86400.0


class Plan:
    """
    What a prune would do, as the store is now.

    Attributes:
        kept: the manifests of the backups that stay, the newest first.
        removed: those of the backups that go.
        leftovers: the names of what was never finished, a day ago or longer.
        unknown: why it is not known which files some other backup has; '' when it is.
    """

    def __init__(self, store: Store, site: str, good: str = "") -> None:
        """
        Look at the store.

        A backup whose manifest cannot be understood is neither kept nor removed: a
        person, or a newer version, may make sense of it.

        Args:
            good: the name of a backup that was verified just now. Without it the
                objects of the newest ones are read until one is good.

        Raises:
            StoreError: the store does not answer.
        """
        now = time.time()
        found: dict[str, Manifest] = {}
        self.leftovers: list[str] = []
        self.unknown = ""
        for name in store.names(site):
            try:
                found[name] = store.manifest(site, name)
            except UnfinishedError:
                # What was finished after it says when, if a clock was set back.
                later = [each.created_at for each in found.values()]
                if now - min([time_of(name), *later]) > _UNFINISHED:
                    self.leftovers.append(name)
            except DamagedError as exc:
                logger.warning("event=backup_damaged reason=%s", quoted(exc))
                self.unknown = self.unknown or str(exc)
        made = {name: each.created_at for name, each in found.items()}
        wanted = kept(made, now, last=backup_conf.keep, days=backup_conf.keep_days)
        wanted |= {good} & found.keys()
        if good not in found and len(wanted) < len(found):
            wanted |= _newest_good(store, found)
        self.kept = [found[name] for name in found if name in wanted]
        self.removed = [found[name] for name in found if name not in wanted]

    @property
    def names(self) -> list[str]:
        """The names of all that would be removed, the newest first."""
        removed = [manifest.name for manifest in self.removed]
        return sorted([*removed, *self.leftovers], reverse=True)


def prune(store: Store, site: str, scratch: Path, good: str = "") -> list[str]:
    """
    Do what `Plan` says, and remove the files that no backup has any more.

    Args:
        scratch: a folder to work in.

    Returns:
        The names of what was removed.
    """
    plan = Plan(store, site, good)
    unused = _unused_files(store, plan, scratch)
    for name in plan.names:
        store.remove(site, name)
    for sha256 in sorted(unused):
        store.remove_file(site, sha256)
    if plan.names:
        logger.info(
            "event=backups_pruned names=%s files=%d", ",".join(plan.names), len(unused)
        )
    return plan.names


def _newest_good(store: Store, found: dict[str, Manifest]) -> set[str]:
    for name, manifest in found.items():
        try:
            store.check_objects(manifest)
        except DamagedError as exc:
            logger.warning("event=backup_damaged reason=%s", quoted(exc))
        else:
            return {name}
    return set()


def _unused_files(store: Store, plan: Plan, scratch: Path) -> set[str]:
    """
    Return the hashes that only backups to be removed have; none if that is not known.

    Files seldom go from a site, so that most often nothing but checksums of lists
    are compared.
    """
    lists = {manifest.files.sha256 for manifest in plan.kept}
    going = [each for each in plan.removed if each.files.sha256 not in lists]
    try:
        unused = {sha for each in going for sha in _hashes(store, each, scratch)}
        for manifest in plan.kept:
            if not unused:
                break
            unused -= _hashes(store, manifest, scratch)
        why = plan.unknown if unused else ""
    except DamagedError as exc:
        why = str(exc)
    if why:
        # Nobody knows which files that one has: all of them stay.
        logger.warning(
            "event=files_kept reason=%s", quoted(f"{why} No file is removed.")
        )
        return set()
    return unused


def _hashes(store: Store, manifest: Manifest, scratch: Path) -> set[str]:
    trees = store.get_list(manifest, scratch / "list")
    return {sha256 for files in trees.values() for sha256 in files.values()}
