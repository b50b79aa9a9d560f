"""
Migrations under the writer slot: judged, preceded by a snapshot, recorded.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from lifecycle import gate
from lifecycle.conf import conf
from lifecycle.exceptions import LifecycleError
from lifecycle.models import AppliedMigration
from lifecycle.progress import Report, copy, report_to_nobody, watched
from lifecycle.verdicts import Verdict, judge

logger = logging.getLogger(__name__)

# Snapshots are kept till there are more than this; the oldest go first.
_SNAPSHOTS_KEPT = 5


class MigrationsFailedError(LifecycleError):
    """Migrations that raised; the message is one line."""


class SnapshotError(LifecycleError):
    """A copy of the database that cannot be made; no migration was run."""

    def __init__(self, path: Path, cause: Exception) -> None:
        super().__init__(
            f"No copy of the database can be made before migrating: {path}: {cause}. "
            "No migration was run. Make room on the disk."
        )
        self.path = path


class BreakingMigrationError(LifecycleError):
    """A migration that older code cannot live with, while such code lives."""

    def __init__(self, verdicts: list[Verdict]) -> None:
        super().__init__(
            f"{'; '.join(map(str, verdicts))}. An older instance lives. Split the change "
            "over two releases, or give --allow-breaking-migrations."
        )
        self.verdicts = verdicts


class _Loader(MigrationLoader):
    """Django's, which looks into the folders no more once `keep_migrations` has."""

    kept: ClassVar[MigrationLoader | None] = None

    def load_disk(self) -> None:
        """Take what was kept, or read the folders."""
        if self.kept is None:
            super().load_disk()
            return
        self.disk_migrations = dict(self.kept.disk_migrations)
        self.unmigrated_apps = set(self.kept.unmigrated_apps)
        self.migrated_apps = set(self.kept.migrated_apps)


class _Executor(MigrationExecutor):
    """Django's, with that loader; it plans, and runs nothing."""

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self.connection = database
        self.loader = _Loader(database)


def keep_migrations() -> None:
    """
    Read the migrations' folders for the last time. For the master, before it forks.

    Django reads them again each time, also what has been imported; a folder that
    was replaced by another release would end the next writer process.
    """
    _Loader.kept = MigrationLoader(None)


def pending() -> list[Verdict]:
    """Return the verdicts on the migrations that have not run, in their order."""
    executor = _Executor(connection)
    loader = executor.loader
    plan = executor.migration_plan(loader.graph.leaf_nodes())
    if not plan:
        return []
    is_new = not loader.applied_migrations
    # A newer release may have applied others, which are not known here; of squashed
    # ones the graph has only what replaces them.
    nodes = [node for node in loader.applied_migrations if node in loader.graph.nodes]
    state = loader.project_state(nodes, at_end=True)
    verdicts = []
    for migration, _ in plan:
        name = f"{migration.app_label}.{migration.name}"
        # In a new database there is no older code.
        verdicts.append(Verdict(name, ()) if is_new else judge(migration, state))
        migration.mutate_state(state, preserve=False)
    return verdicts


def refuse_breaking(
    verdicts: list[Verdict], *, older_lives: bool, allowed: bool
) -> None:
    """
    Raise when one of *verdicts* is breaking, an older instance lives, and it is not allowed.

    Raises:
        BreakingMigrationError: names each of them and the way out.
    """
    breaking = [verdict for verdict in verdicts if not verdict.is_compatible]
    if breaking and older_lives and not allowed:
        raise BreakingMigrationError(breaking)


def migrate(
    knobs: Mapping[str, Any],
    *,
    older_lives: bool,
    report: Report = report_to_nobody,
) -> bool:
    """
    Run what is pending; return whether there was any. For whoever holds the slot.

    *report* is told of progress.

    Raises:
        BreakingMigrationError: see `refuse_breaking`; nothing was run.
        LifecycleError: migrations are pending and MIGRATE_ON_HANDOFF is false.
    """
    verdicts = pending()
    if not verdicts:
        return False
    names = ", ".join(verdict.name for verdict in verdicts)
    if not knobs["MIGRATE_ON_HANDOFF"]:
        raise LifecycleError(
            f"Migrations are pending ({names}) and MIGRATE_ON_HANDOFF is false. "
            "Stop every instance, then run: python manage.py migrate"
        )
    refuse_breaking(
        verdicts, older_lives=older_lives, allowed=knobs["ALLOW_BREAKING_MIGRATIONS"]
    )
    apply(verdicts, report)
    return True


def apply(verdicts: list[Verdict], report: Report = report_to_nobody) -> None:
    """
    Make a snapshot, run every pending migration, record *verdicts*.

    Raises:
        MigrationsFailedError: one raised; those before it are applied and recorded.
        SnapshotError: nothing was run.
        WriterSlotLostError: a later epoch has begun; what is applied is not recorded.
    """
    began = time.monotonic()
    logger.info("event=migrate_start migrations=%s", ",".join(v.name for v in verdicts))
    snapshot = snapshot_before(verdicts, report)
    with gate.maintenance():
        try:
            with watched("migrating", report):
                run_migrations(
                    [verdict.name for verdict in verdicts],
                    f"failed on {conf.database_path}",
                    f"Mend them, or go back to {snapshot or 'a backup'}.",
                )
        finally:
            record(verdicts, snapshot)
    logger.info("event=migrate_end seconds=%.3f", time.monotonic() - began)


def run_migrations(names: list[str], failed: str, remedy: str) -> None:
    """
    Run *names*, which are pending, on whatever the default database is.

    Raises:
        MigrationsFailedError: one raised; those before it have been applied.
        WriterSlotLostError: likewise, since a later epoch has begun.
    """
    try:
        call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
    except gate.WriterSlotLostError:
        raise  # nothing is wrong with them
    except Exception as exc:
        text = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise MigrationsFailedError(
            f"Migrations ({', '.join(names)}) {failed}: {text}. {remedy}"
        ) from exc


def record(verdicts: list[Verdict], snapshot: Path | None) -> None:
    """
    Record those of *verdicts* that have been applied; the gate is open.

    What cannot be recorded is taken as breaking later.

    Raises:
        WriterSlotLostError: a later epoch has begun; nothing was recorded.
    """
    applied = applied_names()
    try:
        for verdict in verdicts:
            if verdict.name in applied:
                _record(verdict, snapshot)
    except DatabaseError:
        logger.exception("event=verdicts_not_recorded")


def _record(verdict: Verdict, snapshot: Path | None) -> None:
    app, _, name = verdict.name.partition(".")
    AppliedMigration.objects.update_or_create(
        app=app,
        name=name,
        defaults={
            "is_compatible": verdict.is_compatible,
            "reason": "; ".join(verdict.reasons),
            "snapshot": str(snapshot or ""),
            "applied_at": time.time(),
        },
    )


def snapshot_before(
    verdicts: list[Verdict], report: Report = report_to_nobody
) -> Path | None:
    """Copy the database before *verdicts* are run; None when there is nothing to keep."""
    if not verdicts or not applied_names():
        return None
    return make_snapshot(verdicts[0].name, report)


def applied_names() -> set[str]:
    """Return the migrations that have been applied, as 'app.name'."""
    recorder = MigrationRecorder(connection)
    return {f"{app}.{name}" for app, name in recorder.applied_migrations()}


def make_snapshot(before: str, report: Report = report_to_nobody) -> Path:
    """
    Copy the database by SQLite's backup API, and return the copy's path.

    Raises:
        SnapshotError: it cannot be written.
    """
    folder = conf.data_dir / "snapshots"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = folder / f"{stamp}-before-{before}.sqlite3"
    temporary = path.with_suffix(".part")
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
        with contextlib.closing(sqlite3.connect(temporary)) as target:
            copy(target, "before migrations", report)
        temporary.rename(path)
    except (OSError, sqlite3.Error) as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise SnapshotError(path, exc) from exc
    for old in sorted(folder.glob("*.sqlite3"))[:-_SNAPSHOTS_KEPT]:
        old.unlink()
    logger.info("event=snapshot path=%s", path)
    return path


def applied() -> dict[str, bool]:
    """Return each applied migration, and whether code that does not know it can live."""
    verdicts = {
        f"{row.app}.{row.name}": row.is_compatible
        for row in AppliedMigration.objects.all()
    }
    return {name: verdicts.get(name, False) for name in applied_names()}


def known() -> list[str]:
    """
    Return the migrations that this code has, as 'app.name'. Reads no database.

    Squashed ones are among them: they stay applied when their files are gone.
    """
    return sorted(f"{app}.{name}" for app, name in _known(MigrationLoader(None)))


def _known(loader: MigrationLoader) -> set[tuple[str, str]]:
    found = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        found.update((app, name) for app, name in migration.replaces)
    return found


def unknown_and_breaking() -> list[str]:
    """
    Return the applied migrations that this code neither knows nor can live with.

    Each as 'app.name', with the snapshot that was made before it where there is
    one. Tables of an application that is not installed concern nobody here.
    """
    loader = _Loader(None)
    known = _known(loader)
    missing = [
        (app, name)
        for app, name in MigrationRecorder(connection).applied_migrations()
        if app in loader.migrated_apps and (app, name) not in known
    ]
    if not missing:
        return []
    try:
        rows = {(row.app, row.name): row for row in AppliedMigration.objects.all()}
    except DatabaseError:
        rows = {}  # made by code that kept no record
    lines = []
    for app, name in sorted(missing):
        row = rows.get((app, name))
        if row is not None and row.is_compatible:
            continue
        snapshot = Path(row.snapshot) if row and row.snapshot else None
        if snapshot is not None and snapshot.exists():
            lines.append(f"{app}.{name} (snapshot before it: {snapshot})")
        else:
            lines.append(f"{app}.{name}")
    return lines
