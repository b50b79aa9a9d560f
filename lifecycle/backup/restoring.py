"""
The way back: into a new file, checked there, and only then moved into place.

Nothing that exists is ever written over. A database is not moved away while an
instance lives on the data directory: that is looked at before the backup is fetched,
which may take minutes, and again just before the move.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from django.db import connections

from lifecycle import peers, schema
from lifecycle.backup import site as sites
from lifecycle.backup import snapshot, workplace
from lifecycle.backup.conf import backup_conf
from lifecycle.backup.directory import sync_folder
from lifecycle.backup.errors import BackupError, DamagedError, NotNowError
from lifecycle.backup.manifest import At, Manifest, name_of, time_of
from lifecycle.backup.snapshot import Progress
from lifecycle.backup.store import Store
from lifecycle.conf import conf
from lifecycle.logs import quoted
from lifecycle.sidecars import sidecars
from lifecycle.slot import WriterSlot

logger = logging.getLogger(__name__)

# The name of a fetched database in the folder that is worked in.
RAW = "database"

Listed = dict[str, dict[str, str]]
"""The files of a backup: tree, then path in it, then its hash."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """
    What a restore has done.

    Attributes:
        manifest: of the backup.
        skipped: why newer ones were not taken, a line each.
        files: how many files were brought back; those that were there are not counted.
        lost: the files that could not be brought back, a line each.
        seconds: that it took.
        aside: where the database is that was here before; None when there was none.
    """

    manifest: Manifest
    skipped: list[str]
    files: int
    lost: list[str]
    seconds: float
    aside: Path | None = None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """
    Hold the writer slot, with no instance on this data directory.

    Raises:
        NotNowError: an instance lives, or a command writes.
    """
    slot = WriterSlot(conf.data_dir, "manage.py backup restore")
    _refuse_instances()
    if not slot.try_acquire():
        raise NotNowError(
            f"The writer slot is held by {slot.describe_holder()}: nothing can be "
            "restored now. Try again when it is done."
        )
    try:
        yield
    finally:
        slot.release()


def _refuse_instances() -> None:
    """Raise when an instance lives; it need not hold the slot."""
    living = peers.living(peers.RunDir(conf.data_dir))
    if living:
        raise NotNowError(
            f"Instance {living[0].id} (pid {living[0].record.get('pid')}) lives on "
            f"{conf.data_dir}: nothing can be restored beside it. Stop it first."
        )


def restore(
    progress: Progress,
    *,
    at: At | None = None,
    site: str = "",
    move_aside: bool = False,
) -> Restored:
    """
    Put the newest backup that verifies in place. For whoever holds the slot `alone`.

    Args:
        progress: told what is being done.
        at: take the newest one that was made then or before, or the one of that name
            and no other; None: the newest.
        site: whose; '' is this data directory's, or the only one in the store.
        move_aside: whether a database that is here is moved away first; otherwise
            it is in the way.

    Raises:
        NotNowError: there is a database, another backup or restore is at work, or an
            instance has started meanwhile; no database was moved.
        BackupError: nothing can be restored; what there was is as it was.
    """
    began = time.monotonic()
    target = conf.database_path
    there = [path for path in (target, *sidecars(target)) if path.exists()]
    if there and not move_aside:
        raise NotNowError(
            f"{there[0]} is in the way: a restore never writes over a database. Add "
            "--move-aside to keep it in another folder, or set another DATA_DIR."
        )
    with workplace.opened() as work:
        store = Store()
        site = choose_site(store, site)
        manifest, listed, skipped = _fetch_newest(store, site, at, work, progress)
        trees = backup_conf.trees
        _need_room_for_files(manifest, listed, trees)
        files, lost = _fetch_files(store, manifest, listed, work, trees, progress)
        if there:
            _refuse_instances()
        sites.set_id(site)
        aside = _move_aside(there) if there else None
        _put_in_place(work / RAW, target)
    logger.info("event=backup_restored name=%s files=%d", manifest.name, files)
    seconds = time.monotonic() - began
    return Restored(manifest, skipped, files, lost, seconds, aside)


def restore_into(
    folder: Path, progress: Progress, *, at: At | None = None, site: str = ""
) -> Restored:
    """
    Restore into *folder* instead, which must be empty or missing; the site goes on.

    The database gets the name that it has here, each tree of files its own.

    Raises:
        BackupError: as `restore`.
    """
    with workplace.opened() as work:
        _refuse_what_is_there(folder)
        return restore_in(work, folder, progress, at=at, site=site)


def restore_in(
    work: Path, folder: Path, progress: Progress, *, at: At | None, site: str
) -> Restored:
    """
    Restore into *folder*, for whoever has opened the folder *work*.

    A restore that fails leaves it as it was.
    """
    began = time.monotonic()
    store = Store()
    site = choose_site(store, site)
    manifest, listed, skipped = _fetch_newest(store, site, at, work, progress)
    # The fetch may have taken minutes, and what is there by now is not to be removed.
    _refuse_what_is_there(folder)
    trees = {name: folder / name for name in backup_conf.trees}
    id_path, database = folder / "site-id", folder / conf.database_path.name
    with _undone_on_failure(folder, [*trees.values(), id_path, database]):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_same_disk = folder.stat().st_dev == work.stat().st_dev
        needed = manifest.file_bytes + (0 if is_same_disk else manifest.database.size)
        workplace.need_room(folder, needed, "what is restored into it")
        files, lost = _fetch_files(store, manifest, listed, work, trees, progress)
        id_path.write_text(f"{site}\n")
        # Moved within a disk, and so there only once.
        shutil.move(work / RAW, database)
    return Restored(manifest, skipped, files, lost, time.monotonic() - began)


def _refuse_what_is_there(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise NotNowError(f"{folder} is not empty: name a folder that is.")


@contextlib.contextmanager
def _undone_on_failure(folder: Path, made: list[Path]) -> Iterator[None]:
    """Remove what was *made* in the empty *folder*, and those above it that were not."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    with contextlib.ExitStack() as undo:
        for each in reversed(missing):
            undo.callback(_remove, each.rmdir)
        for each in made:
            undo.callback(_remove, each.unlink)
            undo.callback(shutil.rmtree, each, ignore_errors=True)
        yield
        undo.pop_all()


def _remove(remove: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):  # it was never made, or somebody else uses it
        remove()


def restore_at_start(progress: Progress) -> Restored | None:
    """
    Restore the newest backup where there is no database yet; None when none was made.

    For the master of an instance that starts and holds the slot.

    Raises:
        BackupError: there are backups, or there may be, and none could be restored:
            an empty site in its place would be backed up next.
    """
    store = Store()
    here = sites.current()
    candidates = [here] if here else store.sites()
    if not any(store.names(site) for site in candidates):
        logger.info("event=no_backup store=%s", store)
        return None
    return restore(progress)


def choose_site(store: Store, wanted: str) -> str:
    """
    Return whose backups to take.

    Raises:
        BackupError: *wanted* is another site than this data directory's; or it is not
            clear which.
    """
    here, there = sites.current(), store.sites()
    if wanted and here and wanted != here:
        raise BackupError(
            f"{conf.data_dir} is of site {here}, and {wanted} is another site. Set "
            "another DATA_DIR to restore that one into."
        )
    site = wanted or here
    if site and site not in there:
        others = f"; it has those of {', '.join(there)}" if there else ""
        raise BackupError(f"Backup store {store} has nothing of site {site}{others}.")
    if site:
        return site
    if not there:
        raise BackupError(
            f"Backup store {store} is empty. See to BACKUP_STORAGE and its keys."
        )
    if len(there) > 1:
        raise BackupError(
            f"Backup store {store} has backups of several sites: {', '.join(there)}. "
            "Name one: manage.py backup restore --site ID."
        )
    return there[0]


def choose(store: Store, site: str, at: At | None) -> list[str]:
    """Return the names of the backups of *at* and before, the newest first."""
    names = store.names(site)
    if isinstance(at, str):
        return names[names.index(at) :] if at in names else []
    return [name for name in names if at is None or _was_made_by(store, site, name, at)]


def _was_made_by(store: Store, site: str, name: str, at: float) -> bool:
    if time_of(name) <= at:
        return True
    # Where the clock was set back, a name is later than what it names.
    try:
        return store.manifest(site, name).created_at <= at
    except DamagedError:
        return False


def _fetch_newest(
    store: Store, site: str, at: At | None, work: Path, progress: Progress
) -> tuple[Manifest, Listed, list[str]]:
    """Fetch the newest good backup, less its files; return also what was skipped."""
    skipped = []
    for name in choose(store, site, at):
        try:
            manifest = store.manifest(site, name)
            listed = fetch(store, manifest, work, progress)
        except DamagedError as exc:
            if name == at:
                raise  # whoever names one wants no other
            logger.warning("event=backup_damaged reason=%s", quoted(exc))
            skipped.append(str(exc))
        else:
            return manifest, listed, skipped
    when = ""
    if at is not None:
        when = f" {at}" if isinstance(at, str) else f" of {name_of(at)} or before"
    if skipped:
        raise BackupError(
            f"No backup{when} in {store} verifies: {' '.join(skipped)} Nothing was "
            "replaced."
        )
    raise BackupError(f"Backup store {store} has no backup{when} of site {site}.")


def fetch(store: Store, manifest: Manifest, work: Path, progress: Progress) -> Listed:
    """
    Fetch the database of a backup to *work*, check it there, and return its files.

    Raises:
        DamagedError: it is not what was backed up, or not sound.
        BackupError: this code cannot live with its migrations.
    """
    raw = work / RAW
    workplace.need_room(work, store.room_for(manifest), "the backup")
    what, size = f"fetch {manifest.name}", manifest.database.size
    progress(what, 0, size)
    listed = store.get_list(manifest, work / "list")
    store.get_database(manifest, raw, lambda done: progress(what, done, size))
    progress(f"check {manifest.name}", 0, 0)
    try:
        snapshot.check(raw)
    except BackupError as exc:
        raise DamagedError(f"Backup {manifest.name}: {exc}") from exc
    with _as_default(raw):
        unknown = schema.unknown_and_breaking()
    if unknown:
        raise BackupError(
            f"Backup {manifest.name} is newer than this code: it has "
            f"{', '.join(unknown)}. Use the version that made it, or an older backup "
            "(--at). Nothing was replaced."
        )
    return listed


@contextlib.contextmanager
def _as_default(path: Path) -> Iterator[None]:
    """Point the default database at *path*, and back."""
    connection = connections["default"]
    before = connection.settings_dict["NAME"]
    connections.close_all()
    connection.settings_dict["NAME"] = str(path)
    try:
        yield
    finally:
        connections.close_all()
        connection.settings_dict["NAME"] = before


def _need_room_for_files(
    manifest: Manifest, listed: Listed, trees: Mapping[str, Path]
) -> None:
    """
    Raise unless the files that are not in *trees* yet have room there.

    Trees are taken to be on one disk: a backup says no more than how large its files
    are together.
    """
    missing = manifest.file_bytes
    for tree in listed.keys() & trees.keys():
        for relative in listed[tree]:
            with contextlib.suppress(FileNotFoundError):
                missing -= (trees[tree] / relative).stat().st_size
    for folder in [*trees.values()][:1] if missing > 0 else []:
        there = next(each for each in (folder, *folder.parents) if each.exists())
        workplace.need_room(there, missing, "what is restored into it")


def _fetch_files(
    store: Store,
    manifest: Manifest,
    listed: Listed,
    work: Path,
    trees: dict[str, Path],
    progress: Progress,
) -> tuple[int, list[str]]:
    """
    Bring the files back that are not here; return how many, and what was lost.

    One picture that is damaged must not keep the database away.
    """
    fetched, lost = 0, []
    for tree, files in listed.items():
        folder = trees.get(tree)
        if folder is None:
            lost.append(f"{len(files)} files of {tree!r}, which is no folder here.")
            continue
        for relative, sha256 in files.items():
            path = folder / relative
            if path.exists():
                continue  # its name is its hash
            progress("files", fetched, manifest.file_count)
            try:
                store.get_file(manifest.site, sha256, work / "file")
            except DamagedError as exc:
                lost.append(f"{tree}/{relative}: {exc}")
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            _move(work / "file", path)
            fetched += 1
    for line in lost:
        logger.error("event=file_lost reason=%s", quoted(line))
    return fetched, lost


def _move(source: Path, target: Path) -> None:
    """Move *source* to *target*, whole and on disk or not at all."""
    if source.stat().st_dev != target.parent.stat().st_dev:
        beside = target.with_name(f".{target.name}.part")
        beside.write_bytes(source.read_bytes())
        source = beside
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)


def _move_aside(there: list[Path]) -> Path:
    """Move a database and what belongs to it into a folder of their own."""
    folder = conf.data_dir / "replaced" / name_of(time.time())
    folder.mkdir(parents=True, mode=0o700)
    # The database goes first: one that has lost its log would be opened without it,
    # and a log that is left is in the way of whatever comes next.
    for path in there:
        path.rename(folder / path.name)
    sync_folder(conf.data_dir)
    return folder


def _put_in_place(raw: Path, target: Path) -> None:
    """Move the checked database *raw* to *target*, where there is none."""
    with raw.open("rb") as file:
        os.fsync(file.fileno())
    # A link fails where there is something; a rename would replace it.
    os.link(raw, target)
    sync_folder(target.parent)
