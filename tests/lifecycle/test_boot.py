"""The order of a start and its refusals, as seen from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from tests.lifecycle.instances import (
    Instance,
    instance,
    is_alive,
    manage,
    refuses,
    run_files,
)
from tests.processes import listening_socket, wait_until

pytestmark = pytest.mark.process

TASKS = "tests.lifecycle.sample.tasks"


def open_gate(data_dir: Path) -> None:
    (data_dir.parent / "go").touch()


def test_probes_answer_before_django_is_there_and_the_port_opens_when_warm(
    data_dir: Path,
) -> None:
    began = time.monotonic()
    with instance(
        data_dir,
        SAMPLE_IMPORT_SECONDS="1.5",
        SAMPLE_WARMUP_TASKS=f"{TASKS}.gated",
    ) as one:
        wait_until(lambda: not refuses(one.internal), 5, "/livez", interval=0.01)
        opened_after = time.monotonic() - began
        assert one.probe("/livez") == (200, "ok\n")
        assert one.probe("/readyz") == (503, "starting\n")
        assert one.probe("/healthz") == (200, "starting\n")
        # The import alone takes longer, so that Django was not there yet.
        assert opened_after < 1.5
        wait_until(
            lambda: one.probe("/readyz") == (503, "warming: 4312/10000 notes\n"), 10
        )
        assert one.probe("/livez") == (200, "ok\n")
        assert one.probe("/healthz") == (200, "warming\n")
        assert refuses(one.public)
        assert one.status()["phase"] == "warming"
        shown = manage(data_dir, "handoff", "status").stdout
        assert re.search(rf"{one.id}  warming \d+s: 4312/10000 notes ", shown)
        assert not refuses(one.internal)
        open_gate(data_dir)
        one.wait_ready()
        assert one.get("/") == (200, "home")
        assert one.probe("/readyz?verbose")[1] == (
            "[+]phase ok ready\n"
            "[+]workers ok workers: 1 of 1 answer\n"
            "[+]slot ok writer slot held\n"
            "readyz check passed\n"
        )
        assert [line.split(" was_")[0] for line in one.events("phase")] == [
            "event=phase phase=warming was=starting",
            "event=phase phase=standby was=warming",
            "event=phase phase=ready was=standby",
        ]


def test_probes_never_answer_on_the_public_port(data_dir: Path) -> None:
    with instance(data_dir) as one:
        one.wait_ready()
        for path in ("/livez", "/readyz", "/healthz", "/status"):
            assert one.get(path)[0] == 404
        assert one.probe("/status")[0] == 404
        assert one.probe("/status")[1] == (
            "not found; here are /healthz, /livez, /readyz\n"
        )


def test_healthz_runs_the_checks_in_a_worker(data_dir: Path) -> None:
    with instance(data_dir) as one:
        one.wait_ready()
        assert one.probe("/healthz") == (
            200,
            "Database(alias='default'): OK\n"
            "DataDirectory(min_free_bytes=104857600): OK\n",
        )
        assert one.probe("/healthz", "application/json") == (
            200,
            """{"Database(alias='default')": "OK", """
            '"DataDirectory(min_free_bytes=104857600)": "OK"}',
        )
        before = open_in_worker(one)
        for _ in range(20):
            assert one.probe("/healthz")[0] == 200
        assert open_in_worker(one) <= before + 4


def open_in_worker(one: Instance) -> int:
    (pid,) = one.status()["workers"]
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a count


def test_healthz_is_503_when_a_check_fails(data_dir: Path) -> None:
    with instance(
        data_dir, SAMPLE_HEALTH_CHECKS="tests.lifecycle.sample.health.Broken"
    ) as one:
        one.wait_ready()
        assert one.probe("/healthz") == (503, "Broken(): Unavailable: broken\n")
        status, body = one.probe("/healthz", "application/json")
        assert (status, body) == (503, '{"Broken()": "Unavailable: broken"}')
        # A failed check takes nobody out of the balance.
        assert one.probe("/readyz")[0] == 200


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda n: n.name
)
def test_a_signal_in_the_warmup_ends_it_at_once_and_leaves_no_file(
    migrated: Path, data_dir: Path, number: signal.Signals
) -> None:
    migrations = write_migrations(data_dir, "")
    with instance(
        data_dir,
        SAMPLE_MIGRATIONS=migrations,
        SAMPLE_WARMUP_TASKS=f"{TASKS}.children",
    ) as one:
        child = data_dir.parent / "child"
        wait_until(child.exists, 10, "the warmup's child")
        rehearsal = f".{one.id}.rehearsal"
        assert rehearsal in run_files(data_dir)
        (pid,) = one.children()
        # All of the group, as Ctrl-C does and systemd.
        os.killpg(one.process.pid, number)
        assert one.wait_end(5) == 0
        assert run_files(data_dir) == []
        wait_until(lambda: not is_alive(pid), 5, "the end of the warmup's child")
        assert one.events("stopped_before_standby") == [
            f"event=stopped_before_standby signal={number.name} phase=warming"
        ]


def write_migrations(data_dir: Path, code: str) -> str:
    """Write the sample's migrations and one more that runs *code*; return their name."""
    folder = data_dir.parent / "next_migrations"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "0001_initial.py").write_text(
        "from importlib import import_module\n"
        'Migration = import_module("tests.lifecycle.sample.migrations.0001_initial")'
        ".Migration\n"
    )
    (folder / "0002_colour.py").write_text(
        f"""
from django.db import migrations, models

def run(apps, schema_editor):
    name = schema_editor.connection.settings_dict["NAME"]
    {code or "pass"}

class Migration(migrations.Migration):
    dependencies = [("sample", "0001_initial")]
    operations = [
        migrations.AddField("Entry", "colour", models.TextField(db_default="")),
        migrations.RunPython(run),
    ]
"""
    )
    return "next_migrations"


def columns(data_dir: Path) -> list[str]:
    with sqlite3.connect(data_dir / "sample.sqlite3") as connection:
        return [row[1] for row in connection.execute("PRAGMA table_info(sample_entry)")]


def test_pending_migrations_are_rehearsed_and_run_once_the_slot_is_taken(
    migrated: Path,
    data_dir: Path,
) -> None:
    migrations = write_migrations(data_dir, "")
    with instance(
        data_dir,
        SAMPLE_MIGRATIONS=migrations,
        SAMPLE_WARMUP_TASKS=f"{TASKS}.read_newest_column {TASKS}.gated",
    ) as one:
        wait_until(lambda: one.events("warmed"), 10, "the first task")
        # Warmed from the copy; the real one is as it was.
        assert columns(data_dir) == ["id", "text"]
        open_gate(data_dir)
        one.wait_ready()
        assert columns(data_dir) == ["id", "text", "colour"]
        assert one.events("migrations_rehearsed")[0].startswith(
            "event=migrations_rehearsed migrations=sample.0002_colour seconds="
        )
        assert not [name for name in run_files(data_dir) if "rehearsal" in name]


def test_a_long_rehearsal_asks_the_service_manager_for_more_time(
    migrated: Path, data_dir: Path
) -> None:
    # Until the file is there, as a migration of a large table would: in SQLite.
    go = data_dir.parent / "go"
    code = """
    from pathlib import Path
    count = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 50000)"
    while "rehearsal" in str(name) and not Path("GO").exists():
        schema_editor.execute(count + " SELECT count(*) FROM c")
"""
    migrations = write_migrations(data_dir, code.replace("GO", str(go)))
    address = str(data_dir.parent / "notify")
    heard: list[list[str]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(20)

        def rehearsing() -> list[str]:
            heard.append(manager.recv(4096).decode().splitlines())
            return [one for one, *_ in heard if "rehearsing migrations for " in one]

        with instance(
            data_dir, SAMPLE_MIGRATIONS=migrations, NOTIFY_SOCKET=address
        ) as one:
            wait_until(lambda: len(rehearsing()) >= 3, 20, "the third ask for time")
            go.touch()
            one.wait_ready()
    statuses = [status for status, *_ in heard]
    # The copy told its progress before, and nothing was said twice.
    assert "STATUS=warming: MB copied to rehearse migrations on" in statuses
    assert len({*statuses}) == len(statuses)
    assert {more for _, more in heard} == {"EXTEND_TIMEOUT_USEC=30000000"}


def test_a_long_restore_asks_the_service_manager_for_more_time(data_dir: Path) -> None:
    # A Litestream that finds no replica, once the file is there.
    program, go = data_dir.parent / "litestream", data_dir.parent / "go"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = restore ] || exec sleep 1000\n'
        f"until [ -e {go} ]; do sleep 0.1; done\n"
    )
    program.chmod(0o755)
    config, address = data_dir.parent / "litestream.yml", data_dir.parent / "notify"
    config.touch()
    heard: list[list[str]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)

        def restoring() -> list[str]:
            heard.append(manager.recv(4096).decode().splitlines())
            return [one for one, *_ in heard if "Litestream restores" in one]

        with instance(
            data_dir,
            LITESTREAM_CONFIG=str(config),
            NOTIFY_SOCKET=str(address),
            PATH=f"{program.parent}:{os.environ['PATH']}",
        ) as one:
            wait_until(lambda: len(restoring()) >= 3, 20, "the third ask for time")
            go.touch()
            one.wait_ready()
    statuses = [status for status, *_ in heard]
    assert "STATUS=warming: Litestream restores the database, for 1 s" in statuses
    assert {more for _, more in heard} == {"EXTEND_TIMEOUT_USEC=30000000"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restore_by_litestream_ends_with_its_instance(
    data_dir: Path, number: signal.Signals
) -> None:
    program, note = data_dir.parent / "litestream", data_dir.parent / "pid"
    program.write_text(
        f"#!/bin/sh\necho $$ > {note}.new\nmv {note}.new {note}\n"
        "while :; do sleep 0.1; done\n"
    )
    program.chmod(0o755)
    config = data_dir.parent / "litestream.yml"
    config.touch()
    with instance(
        data_dir,
        LITESTREAM_CONFIG=str(config),
        PATH=f"{program.parent}:{os.environ['PATH']}",
    ) as one:
        wait_until(note.exists, 20, "the restore")
        one.process.send_signal(number)
        one.wait_end()
        pid = int(note.read_text())
        # It would put its database over that of whoever starts next.
        wait_until(lambda: not is_alive(pid), 5, "the end of the restore")


def test_migrations_that_fail_in_the_rehearsal_touch_nothing(
    migrated: Path, data_dir: Path
) -> None:
    migrations = write_migrations(data_dir, 'raise ValueError("no\\nway")')
    with instance(data_dir, SAMPLE_MIGRATIONS=migrations) as one:
        assert one.wait_end() == 1
        database = data_dir / "sample.sqlite3"
        assert one.events("start_refused") == [
            'event=start_refused reason="Migrations (sample.0002_colour) fail on a '
            f'copy: ValueError: no way. {database} is as it was; mend them first."'
        ]
        assert "Traceback" not in one.log
        assert run_files(data_dir) == []
    assert columns(data_dir) == ["id", "text"]


def test_migrations_that_fail_in_the_writer_end_the_start_with_one_line(
    migrated: Path,
    data_dir: Path,
) -> None:
    migrations = write_migrations(
        data_dir, 'if "rehearsal" not in str(name): raise ValueError("not for real")'
    )
    with instance(data_dir, SAMPLE_MIGRATIONS=migrations) as one:
        assert one.wait_end() == 1
        database = data_dir / "sample.sqlite3"
        reasons = [line for line in one.log.splitlines() if "Reason: " in line]
        (snapshot,) = (data_dir / "snapshots").iterdir()
        assert [line.partition("Reason: ")[2] for line in reasons] == [
            f"Migrations (sample.0002_colour) failed on {database}: ValueError: not for "
            f'real. Mend them, or go back to {snapshot}."'
        ]
        assert "Traceback" not in one.log
        assert run_files(data_dir) == []


def test_a_warmup_task_with_a_bug_ends_the_start_with_its_traceback(
    data_dir: Path,
) -> None:
    with instance(data_dir, SAMPLE_WARMUP_TASKS=f"{TASKS}.broken") as one:
        assert one.wait_end() == 1
        assert one.log.count("Traceback") == 1
        assert "ValueError: the warmup has a bug\n" in one.log
        assert one.events("start_refused") == [
            'event=start_refused reason="The warmup has failed; the traceback says '
            'where."'
        ]
        assert run_files(data_dir) == []


def test_an_application_that_cannot_be_imported_leaves_no_file(data_dir: Path) -> None:
    with instance(data_dir, SAMPLE_IMPORT_SECONDS="nonsense") as one:
        assert one.wait_end() == 1
        assert "could not convert string to float" in one.log
        assert run_files(data_dir) == []


@pytest.mark.parametrize("knob", ["LISTEN_ADDR", "INTERNAL_LISTEN_ADDR"])
def test_an_address_in_use_ends_the_start_with_one_line(
    data_dir: Path, knob: str
) -> None:
    with listening_socket() as taken:
        address = "{}:{}".format(*taken.getsockname())
        with instance(data_dir, **{knob: address}) as one:
            assert one.wait_end() == 1
            assert one.events("start_refused") == [
                f'event=start_refused reason="{knob}: Cannot listen on {address}: '
                'Address already in use. Stop what has the address, or set another."'
            ]
            assert "Traceback" not in one.log
            assert run_files(data_dir) == []


def test_a_data_directory_that_is_a_file_ends_the_start_with_one_line(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    data_dir.touch()
    with instance(data_dir) as one:
        assert one.wait_end() == 1
        assert one.events("start_refused") == [
            f'event=start_refused reason="DATA_DIR {data_dir} cannot be used: File '
            'exists. It must be a folder that this user may write to."'
        ]
        assert "Traceback" not in one.log


def test_a_database_that_is_none_ends_the_start_with_one_line(data_dir: Path) -> None:
    database = data_dir / "sample.sqlite3"
    database.write_bytes(b"this is no database " * 100)
    with instance(data_dir) as one:
        assert one.wait_end() == 1
        assert one.events("start_refused") == [
            f'event=start_refused reason="Database {database} cannot be used: file is '
            'not a database. Move it away and restore a backup."'
        ]
        assert "Traceback" not in one.log
        assert run_files(data_dir) == []


def test_two_first_starts_on_an_empty_data_directory_both_serve(
    data_dir: Path,
) -> None:
    with instance(data_dir) as one, instance(data_dir) as two:
        ready = wait_until(
            lambda: [
                each
                for each in (one, two)
                if each.events("phase") and "phase=ready" in each.events("phase")[-1]
            ],
            20,
            "the one that takes the slot",
        )
        (other,) = {one, two} - set(ready)
        wait_until(lambda: not refuses(other.public), 20, "the one that waits")
        assert other.status()["phase"] == "standby"
        assert other.get("/entries") == (200, "0")


def test_hup_usr1_and_usr2_in_the_warmup_do_no_harm(data_dir: Path) -> None:
    with instance(data_dir, SAMPLE_WARMUP_TASKS=f"{TASKS}.gated") as one:
        wait_until(lambda: list(data_dir.parent.glob("warming.*")), 10, "the warmup")
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.killpg(one.process.pid, number)
        wait_until(lambda: len(one.events("refused")) == 2, 5, "the refusals")
        assert sorted(line.split(" hint")[0] for line in one.events("refused")) == [
            "event=refused signal=SIGHUP",
            "event=refused signal=SIGUSR2",
        ]
        open_gate(data_dir)
        one.wait_ready()


def test_the_sample_knows_nothing_of_notes() -> None:
    for path in (Path(__file__).parent / "sample").rglob("*.py"):
        found = re.findall(r"^(?:from|import) (notes|trip2g_site)\b", path.read_text())
        assert found == []


def test_what_was_warmed_is_left_alone_by_the_collectors_of_workers(
    data_dir: Path,
) -> None:
    # A collector that looks at it would copy every page of memory that is shared.
    task = "tests.lifecycle.sample.tasks.keep_and_litter"
    with instance(data_dir, SAMPLE_WARMUP_TASKS=task) as one:
        one.wait_ready()
        memory = json.loads(one.get("/memory")[1])
    assert memory["frozen"] > 1000
    assert memory["left"] == []  # else it would stay for ever
