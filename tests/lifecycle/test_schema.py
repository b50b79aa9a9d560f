"""Migrations under the slot: recorded, refused, lived with, copied before."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from lifecycle import database, gate, schema
from lifecycle.exceptions import LifecycleError
from lifecycle.models import AppliedMigration
from lifecycle.verdicts import Verdict
from tests.lifecycle.guarded import begin_epoch, outsider
from tests.lifecycle.migrations_of import Migrations

KNOBS = {"MIGRATE_ON_HANDOFF": True, "ALLOW_BREAKING_MIGRATIONS": False}
ADDS = """[migrations.AddField("entry", "new", models.TextField(null=True))]"""
DROPS = """[migrations.RemoveField("entry", "number")]"""
RAISES = """[migrations.RunSQL("INSERT INTO nowhere VALUES (1)")]"""
NAME = "sample.0002_next"
REASON = "removes the column entry.number"


@pytest.fixture(autouse=True)
def _writer(migrations: Migrations, guarded: Path) -> None:
    """Be a writer process in its tenure."""
    begin_epoch(guarded, 7)
    gate.set_authority(gate.WriterAuthority(7))


def recorded() -> list[tuple[str, bool, str, str]]:
    fields = ("app", "name", "is_compatible", "reason", "snapshot")
    return [
        (f"{app}.{name}", *rest)
        for app, name, *rest in AppliedMigration.objects.values_list(*fields)
    ]


def snapshots(guarded: Path) -> list[Path]:
    return sorted((guarded.parent / "snapshots").glob("*"))


def has_column(path: Path, column: str) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as there:
        query = "SELECT count(*) FROM pragma_table_info('sample_entry') WHERE name = ?"
        (found,) = there.execute(query, [column]).fetchone()
    return bool(found)


# -- running them -------------------------------------------------------------


def test_what_is_pending_is_run_recorded_and_copied_before(
    migrations: Migrations, guarded: Path
) -> None:
    migrations.write("0002_next", ADDS)
    assert schema.migrate(KNOBS, older_lives=True)
    assert has_column(guarded, "new")
    (copy,) = snapshots(guarded)
    assert not has_column(copy, "new")
    assert copy.name.endswith("Z-before-sample.0002_next.sqlite3")
    assert recorded() == [(NAME, True, "", str(copy))]
    assert AppliedMigration.objects.get().applied_at <= time.time()
    assert schema.pending() == []
    assert not schema.migrate(KNOBS, older_lives=True)
    assert len(snapshots(guarded)) == 1


def test_progress_is_told_by_the_copy_and_by_each_statement(
    migrations: Migrations,
) -> None:
    long = "SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT i FROM n)"

    def told(rows: int) -> list[str]:
        migrations.write("0002_next", f"""[migrations.RunSQL("{long.format(rows)}")]""")
        found: list[str] = []
        verdicts = schema.pending()
        schema.apply(verdicts, lambda done, total, what: found.append(what))
        with gate.maintenance(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '0002_next'")
        return found

    short = told(1)
    assert short[0] == "MB copied before migrations"
    statements = short[1:]
    assert len(statements) > 3
    assert {what.rpartition(" for ")[0] for what in statements} == {"migrating"}
    # Within a statement as well.
    assert len(told(200_000)) > len(short) + 10


def test_a_breaking_one_is_not_run_while_older_code_lives(
    migrations: Migrations, guarded: Path
) -> None:
    migrations.write("0002_next", DROPS)
    with pytest.raises(schema.BreakingMigrationError) as caught:
        schema.migrate(KNOBS, older_lives=True)
    assert str(caught.value) == (
        f"{NAME}: breaks older code: {REASON}. An older instance lives. Split the "
        "change over two releases, or give --allow-breaking-migrations."
    )
    assert caught.value.verdicts == [Verdict(NAME, (REASON,))]
    assert has_column(guarded, "number")
    assert (recorded(), snapshots(guarded)) == ([], [])


@pytest.mark.parametrize(("older_lives", "allowed"), [(False, False), (True, True)])
def test_a_breaking_one_is_run_alone_or_when_it_is_allowed(
    migrations: Migrations, guarded: Path, older_lives: bool, allowed: bool
) -> None:
    migrations.write("0002_next", DROPS)
    knobs = {**KNOBS, "ALLOW_BREAKING_MIGRATIONS": allowed}
    assert schema.migrate(knobs, older_lives=older_lives)
    assert not has_column(guarded, "number")
    assert recorded() == [(NAME, False, REASON, str(snapshots(guarded)[0]))]


def test_without_migrate_on_handoff_nothing_is_run(
    migrations: Migrations, guarded: Path
) -> None:
    migrations.write("0002_next", ADDS)
    with pytest.raises(LifecycleError) as caught:
        schema.migrate({**KNOBS, "MIGRATE_ON_HANDOFF": False}, older_lives=False)
    assert str(caught.value) == (
        f"Migrations are pending ({NAME}) and MIGRATE_ON_HANDOFF is false. "
        "Stop every instance, then run: python manage.py migrate"
    )
    assert not has_column(guarded, "new")


def test_one_that_raises_is_one_line_and_those_before_it_are_recorded(
    migrations: Migrations, guarded: Path
) -> None:
    migrations.write("0002_next", ADDS)
    migrations.write("0003_then", RAISES, after="0002_next")
    with pytest.raises(schema.MigrationsFailedError) as caught:
        schema.migrate(KNOBS, older_lives=False)
    (copy,) = snapshots(guarded)
    assert str(caught.value) == (
        f"Migrations ({NAME}, sample.0003_then) failed on {guarded}: "
        "OperationalError: no such table: nowhere. "
        f"Mend them, or go back to {copy}."
    )
    assert [name for name, *_ in recorded()] == [NAME]
    assert [one.name for one in schema.pending()] == ["sample.0003_then"]


def test_no_migration_is_begun_when_another_has_the_slot(
    migrations: Migrations, guarded: Path
) -> None:
    """As when the lock's file is replaced: whoever locks the new one goes on."""
    migrations.write("0002_next", ADDS)
    migrations.write("0003_then", DROPS, after="0002_next")

    def look(*_: object) -> None:
        """Begin the next epoch between the two."""
        with outsider(guarded) as other:
            query = "SELECT count(*) FROM django_migrations WHERE name = '0002_next'"
            (is_between,) = other.execute(query).fetchone()
            (last,) = other.execute("SELECT max(epoch) FROM lifecycle_epoch").fetchone()
        if is_between and last == 7:
            begin_epoch(guarded, 8, "them")

    with pytest.raises(gate.WriterSlotLostError) as caught:
        schema.apply(schema.pending(), look)
    assert (caught.value.expected, caught.value.found) == (7, 8)
    assert has_column(guarded, "new")
    assert has_column(guarded, "number")
    # What nobody judged is taken as breaking.
    assert recorded() == []
    assert schema.applied()[NAME] is False


def test_no_copy_no_migration(
    migrations: Migrations, guarded: Path, settings: Any, tmp_path: Path
) -> None:
    migrations.write("0002_next", ADDS)
    (guarded.parent / "snapshots").write_text("a file where the folder should be")
    with pytest.raises(schema.SnapshotError) as caught:
        schema.migrate(KNOBS, older_lives=False)
    assert str(caught.value).startswith(
        "No copy of the database can be made before migrating: "
    )
    assert str(caught.value).endswith("No migration was run. Make room on the disk.")
    assert not has_column(guarded, "new")


def test_the_newest_copies_are_kept(
    migrations: Migrations, guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.gmtime(0)
    monkeypatch.setattr(time, "gmtime", lambda: now)
    for second in range(7):
        now = time.struct_time((2026, 1, 1, 0, 0, second, 0, 1, 0))
        schema.make_snapshot("x.0001")
    assert [path.name[:16] for path in snapshots(guarded)] == [
        f"20260101T00000{second}Z" for second in range(2, 7)
    ]
    (guarded.parent / "snapshots" / "mine.txt").touch()
    schema.make_snapshot("x.0002")
    assert (guarded.parent / "snapshots" / "mine.txt").exists()


# -- older code beside newer migrations ----------------------------------------


def test_older_code_lives_with_what_it_does_not_know(
    migrations: Migrations, guarded: Path
) -> None:
    migrations.write("0002_next", ADDS)
    schema.migrate(KNOBS, older_lives=True)
    migrations.remove("0002_next")
    assert schema.unknown_and_breaking() == []
    database.check()
    # With migrations of its own, too: another branch of the releases.
    migrations.write(
        "0002_other",
        """[migrations.AddField("entry", "own", models.TextField(null=True))]""",
    )
    assert schema.pending() == [Verdict("sample.0002_other", ())]


def test_older_code_refuses_what_it_cannot_live_with(
    migrations: Migrations, guarded: Path
) -> None:
    migrations.write("0002_next", DROPS)
    schema.migrate(KNOBS, older_lives=False)
    (copy,) = snapshots(guarded)
    migrations.remove("0002_next")
    with pytest.raises(database.DatabaseUnfitError) as caught:
        database.check()
    assert str(caught.value) == (
        f"Database {guarded} is newer than this code: it has {NAME} (snapshot before "
        f"it: {copy}), which this version neither knows nor can live with. Start the "
        "newer version, or restore what was saved before."
    )
    # The oldest copies are removed in time.
    copy.unlink()
    assert schema.unknown_and_breaking() == [NAME]


def test_what_nobody_judged_is_breaking(migrations: Migrations, guarded: Path) -> None:
    migrations.write("0002_next", ADDS)
    schema.migrate(KNOBS, older_lives=True)
    migrations.remove("0002_next")
    with gate.maintenance():
        AppliedMigration.objects.all().delete()
    assert schema.unknown_and_breaking() == [NAME]
    # As in a database that was made before there were verdicts.
    with gate.maintenance(), connection.cursor() as cursor:
        cursor.execute("DROP TABLE lifecycle_appliedmigration")
    assert schema.unknown_and_breaking() == [NAME]


def test_applied_migrations_tell_who_may_take_over(
    migrations: Migrations, guarded: Path
) -> None:
    migrations.write("0002_next", ADDS)
    migrations.write("0003_then", DROPS, after="0002_next")
    schema.migrate(KNOBS, older_lives=False)
    mine = {
        name: compatible
        for name, compatible in schema.applied().items()
        if name.startswith("sample.")
    }
    assert mine == {
        "sample.0001_initial": False,
        NAME: True,
        "sample.0003_then": False,
    }


def test_tables_of_an_application_that_is_not_installed_concern_nobody(
    migrations: Migrations,
) -> None:
    """The template has those of `notes`, which this project has not."""
    assert "notes.0001_initial" in schema.applied_names()
    assert schema.unknown_and_breaking() == []
    assert "notes.0001_initial" not in schema.known()


SQUASHED = """\
replaces = [("sample", "0001_initial"), ("sample", "0002_next")]
"""


def squash(migrations: Migrations) -> None:
    first = (migrations.folder / "0001_initial.py").read_text()
    operations = first.partition("operations = ")[2].strip().removesuffix("]")
    migrations.write(
        "0001_squashed",
        f"{operations}{ADDS.removeprefix('[')}",
        after="",
        rest=SQUASHED,
    )


def test_squashing_leaves_nothing_to_do_and_nothing_unknown(
    migrations: Migrations,
) -> None:
    migrations.write("0002_next", ADDS)
    schema.migrate(KNOBS, older_lives=True)
    squash(migrations)
    assert schema.pending() == []
    # The files that it replaces go with the next release.
    migrations.remove("0002_next")
    migrations.remove("0001_initial")
    assert schema.pending() == []
    assert schema.unknown_and_breaking() == []
    assert {"sample.0001_initial", NAME} <= set(schema.known())
    migrations.write("0003_then", DROPS, after="0001_squashed")
    assert schema.pending() == [Verdict("sample.0003_then", (REASON,))]
    assert schema.migrate(KNOBS, older_lives=False)


def test_a_new_database_has_no_older_code(
    migrations: Migrations, guarded: Path
) -> None:
    migrations.write("0002_next", DROPS)
    connection.close()
    for path in guarded.parent.glob("x.sqlite3*"):
        path.unlink()
    assert all(one.is_compatible for one in schema.pending())
    assert schema.migrate(KNOBS, older_lives=True)
    assert snapshots(guarded) == []
    assert [one for one in recorded() if not one[1]] == []
