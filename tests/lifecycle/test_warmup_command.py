"""manage.py warmup, and what of the database a start refuses, on the sample."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

from tests.lifecycle.instances import instance, manage
from tests.lifecycle.test_boot import columns, write_migrations

TASKS = "tests.lifecycle.sample.tasks"


def test_it_prints_a_summary(migrated: Path, data_dir: Path) -> None:
    done = manage(data_dir, "warmup", SAMPLE_WARMUP_TASKS=f"{TASKS}.problems")
    assert done.returncode == 0
    assert re.fullmatch(r"warm in \d+\.\d\d s: 2 notes\n", done.stdout)


def test_it_prints_one_json_object(migrated: Path, data_dir: Path) -> None:
    done = manage(
        data_dir,
        "warmup",
        "--json",
        SAMPLE_WARMUP_TASKS=f"{TASKS}.problems {TASKS}.count_entries",
    )
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found.pop("seconds") >= 0
    assert found == {"figures": {"notes": 2, "entries": 0}, "problems": []}


def test_check_reports_every_problem_and_fails(migrated: Path, data_dir: Path) -> None:
    done = manage(
        data_dir, "warmup", "--check", SAMPLE_WARMUP_TASKS=f"{TASKS}.problems"
    )
    assert done.returncode == 1
    first, second, last = done.stdout.splitlines()
    assert [first, second] == ["a.md: no such heading", "b.md: broken"]
    assert re.fullmatch(r"warm in \d+\.\d\d s: 2 problems", last)
    done = manage(
        data_dir, "warmup", "--check", "--json", SAMPLE_WARMUP_TASKS=f"{TASKS}.problems"
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"] == [first, second]


def test_check_without_a_problem_is_fine(migrated: Path, data_dir: Path) -> None:
    done = manage(
        data_dir, "warmup", "--check", SAMPLE_WARMUP_TASKS=f"{TASKS}.count_entries"
    )
    assert done.returncode == 0
    assert re.fullmatch(r"warm in \d+\.\d\d s: 0 problems\n", done.stdout)


def test_without_a_database_it_names_the_way_out(data_dir: Path) -> None:
    done = manage(data_dir, "warmup")
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"CommandError: There is no database at {data_dir / 'sample.sqlite3'}. "
        "Run: python manage.py migrate\n",
    )


def test_pending_migrations_are_rehearsed(migrated: Path, data_dir: Path) -> None:
    migrations = write_migrations(data_dir, "")
    before = migrated.read_bytes()
    done = manage(
        data_dir,
        "warmup",
        SAMPLE_MIGRATIONS=migrations,
        SAMPLE_WARMUP_TASKS=f"{TASKS}.read_newest_column",
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert columns(data_dir) == ["id", "text"]
    assert migrated.read_bytes() == before
    assert not [
        path for path in data_dir.iterdir() if path.is_dir() and path.name != "run"
    ]


def test_migrations_that_fail_are_one_line(migrated: Path, data_dir: Path) -> None:
    migrations = write_migrations(data_dir, 'raise ValueError("no way")')
    done = manage(data_dir, "warmup", SAMPLE_MIGRATIONS=migrations)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "CommandError: Migrations (sample.0002_colour) fail on a copy: ValueError: no "
        f"way. {migrated} is as it was; mend them first."
    )
    assert "Traceback" not in done.stderr


def test_a_database_of_newer_code_is_refused_by_name(
    migrated: Path, data_dir: Path
) -> None:
    with sqlite3.connect(migrated) as connection:
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('sample', '0002_future', '2030-01-01')"
        )
    connection.close()
    with instance(data_dir) as one:
        assert one.wait_end() == 1
        (line,) = one.events("start_refused")
        assert line.startswith(
            f'event=start_refused reason="Database {migrated} is newer than this code: '
            "it has sample.0002_future, which this version "
        )
        assert "Traceback" not in one.log
    done = manage(data_dir, "warmup")
    assert done.returncode == 1
    assert "is newer than this code" in done.stderr
    # Of an application that is not installed, nobody here minds.
    with sqlite3.connect(migrated) as connection:
        connection.execute("UPDATE django_migrations SET app='gone' WHERE app='sample'")
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('sample', '0001_initial', '2020-01-01')"
        )
    connection.close()
    assert manage(data_dir, "warmup").returncode == 0


def test_a_squashed_migration_whose_file_is_gone_is_no_newer_code(
    migrated: Path, data_dir: Path
) -> None:
    with sqlite3.connect(migrated) as connection:
        connection.execute(
            "UPDATE django_migrations SET name='0001_old' WHERE app='sample'"
        )
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('sample', '0001_squashed', '2020-01-01')"
        )
    connection.close()
    folder = data_dir.parent / "squashed_migrations"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "0001_squashed.py").write_text(
        "from importlib import import_module\n"
        'base = import_module("tests.lifecycle.sample.migrations.0001_initial")\n'
        "class Migration(base.Migration):\n"
        '    replaces = [("sample", "0001_old")]\n'
    )
    done = manage(data_dir, "warmup", SAMPLE_MIGRATIONS="squashed_migrations")
    assert (done.returncode, done.stderr.count("Error")) == (0, 0), done.stderr
