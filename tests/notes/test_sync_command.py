"""sync_vault: what it prints, and its exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from notes.models import Note
from notes.sync import sync_vault_job
from tests.notes.trees import write_tree

ROOT = Path(__file__).resolve().parents[2]


class Tty(StringIO):
    def isatty(self) -> bool:
        return True


class BusyError(Exception):
    returncode = 3


@pytest.fixture(autouse=True)
def runner(settings, tmp_path):
    """Run jobs in this process; return the calls that were made."""
    calls = []

    def run_here(name, params, progress):
        calls.append((name, params))
        return json.loads(json.dumps(sync_vault_job(params, progress)))

    settings.NOTES_RUN_AS_WRITER = run_here
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    settings.NOTES_EXCLUDE = ["Templates/"]
    return calls


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return write_tree(
        tmp_path / "vault",
        {"a.md": "a", "b.md": "---\ndraft: true\n---\n", "Templates/t.md": ""},
    )


def run(*args: object, **options: object) -> tuple[str, str, int]:
    """Return what the command printed on both streams, and its exit code."""
    out = StringIO()
    try:
        call_command("sync_vault", *map(str, args), stdout=out, **options)
    except CommandError as exc:
        return out.getvalue(), str(exc), exc.returncode
    except SystemExit as exc:
        return out.getvalue(), "", int(exc.code or 0)
    return out.getvalue(), "", 0


@pytest.mark.django_db
def test_an_empty_word_is_not_the_folder_that_one_is_in(vault, runner, monkeypatch):
    # As `sync_vault "$VAULT"` has it where nobody has set that.
    monkeypatch.chdir(vault)
    _, error, returncode = run("")
    assert "argument DIR: it is empty" in error
    assert (runner, Note.objects.count()) == ([], 0)
    assert returncode == 1  # for who calls it; on a command line argparse says 2
    assert run(".")[2] == 0


@pytest.mark.django_db
def test_the_summary_is_the_last_line(vault, runner):
    assert run(vault) == (
        "1 published, 2 not (1 draft, 1 excluded, 0 skipped)\n",
        "",
        0,
    )
    assert runner == [
        (
            "sync_vault",
            {"directory": str(vault), "exclude": ["Templates/"], "delete": False},
        )
    ]


@pytest.mark.django_db
def test_each_skipped_file_is_a_line_and_the_exit_code_is_1(vault):
    write_tree(vault, {"c.md": "---\na: [\n---\n", "new\nline.md": "", "d.md": b"\xff"})

    assert run(vault) == (
        "skipped c.md: line 3: broken YAML: did not find expected node content\n"
        "skipped d.md: not UTF-8 (byte 0xff at offset 0)\n"
        "skipped new\\nline.md: the name has a control character\n"
        "1 published, 5 not (1 draft, 1 excluded, 3 skipped)\n",
        "",
        1,
    )
    assert Note.objects.count() == 2


@pytest.mark.django_db
def test_globs_on_the_command_line_replace_the_setting(vault, runner):
    assert run(vault, "--exclude", "a.md", "--exclude", "b.md") == (
        "1 published, 2 not (0 draft, 2 excluded, 0 skipped)\n",
        "",
        0,
    )


@pytest.mark.django_db
def test_a_dry_run_prints_what_it_would_write_and_asks_nobody(vault, runner):
    assert run(vault, "--dry-run") == (
        "added a.md\nadded b.md\n1 published, 2 not (1 draft, 1 excluded, 0 skipped)\n",
        "",
        0,
    )
    assert runner == []
    assert Note.objects.count() == 0


@pytest.mark.django_db
def test_the_guard_exits_with_3_until_delete_is_given(vault):
    files = [f"{number:02}.md" for number in range(11)]
    write_tree(vault, dict.fromkeys(files, ""))
    run(vault)
    for name in files:
        (vault / name).unlink()
    refusal = (
        "The sync would remove 11 of 13 notes, so nothing was written. "
        "Run sync_vault with --delete if that is what you want."
    )
    summary = "1 published, 2 not (1 draft, 1 excluded, 0 skipped)\n"

    assert run(vault) == ("", refusal, 3)
    assert run(vault, "--dry-run") == (
        "".join(f"removed {name}\n" for name in files) + summary,
        refusal,
        3,
    )
    assert Note.objects.count() == 13
    assert run(vault, "--delete") == (summary, "", 0)
    assert Note.objects.count() == 2


@pytest.mark.django_db
def test_json_is_one_object(vault):
    write_tree(vault, {"é.md": b"\xff"})
    out, error, code = run(vault, "--json")

    assert json.loads(out) == {
        "published": 1,
        "drafts": 1,
        "excluded": 1,
        "skipped": [["é.md", "not UTF-8 (byte 0xff at offset 0)"]],
        "added": 2,
        "changed": 0,
        "removed": 0,
        "attachments_added": 0,
        "attachments_changed": 0,
        "attachments_removed": 0,
        "sequence": 1,
        "touched": [],
        "refusal": "",
    }
    assert (error, code) == ("", 1)


def test_a_bad_vault_or_glob_is_usage(tmp_path, vault, runner):
    nowhere = tmp_path / "nowhere"

    assert run(nowhere) == ("", f"The vault {str(nowhere)!r} does not exist.", 2)
    assert run(vault, "--exclude", "[") == (
        "",
        "The exclude glob '[' is not valid.",
        2,
    )
    assert runner == []


@pytest.mark.parametrize("error", [BusyError("busy"), OSError(28, "No space left")])
def test_what_stops_the_writer_is_one_line(vault, settings, error):
    def refuse(name, params, progress):
        raise error

    settings.NOTES_RUN_AS_WRITER = refuse

    assert run(vault) == ("", str(error), getattr(error, "returncode", 1))


def test_a_fault_in_the_runner_keeps_its_traceback(vault, settings):
    def fail(name, params, progress):
        raise KeyError("fault")

    settings.NOTES_RUN_AS_WRITER = fail

    with pytest.raises(KeyError, match="fault"):
        run(vault)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("stream", "args", "is_shown"),
    [(Tty, [], True), (Tty, ["--json"], False), (StringIO, [], False)],
)
def test_a_terminal_shows_progress(vault, capsys, stream, args, is_shown):
    run(vault, *args, stderr=stream())

    shown = capsys.readouterr().err
    assert [phase in shown for phase in ("reading", "writing")] == [is_shown] * 2


@pytest.mark.process
def test_as_a_program_it_exits_with_the_code_and_the_summary_comes_last(
    vault, tmp_path
):
    write_tree(vault, {"bad.md": b"\xff"})
    environ = os.environ | {
        "DATA_DIR": str(tmp_path / "data"),
        "DJANGO_SETTINGS_MODULE": "trip2g_site.settings",
    }

    def manage(*args: object) -> tuple[int, list[str]]:
        done = subprocess.run(
            [sys.executable, "manage.py", *map(str, args)],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout.splitlines()

    assert manage("migrate", "--verbosity=0") == (0, [])
    summary = "1 published, 3 not (1 draft, 1 excluded, 1 skipped)"
    skipped = "skipped bad.md: not UTF-8 (byte 0xff at offset 0)"
    assert manage("sync_vault", vault) == (1, [skipped, summary])
    (vault / "bad.md").unlink()
    assert manage("sync_vault", vault) == (
        0,
        [summary.replace("3", "2").replace("1 sk", "0 sk")],
    )
    code, lines = manage("sync_vault", tmp_path / "nowhere")
    assert (code, len(lines)) == (2, 1)
    code, lines = manage("sync_vault")
    assert code == 2


KILLED_IN = """
import os, pathlib, signal, sys
import django
django.setup()
from django.core.management import call_command
from notes.models import Attachment, Change, Note
from notes.sync import sync_vault
vault, phase = sys.argv[1:]
def die(state):
    if state["phase"] == phase:
        os.kill(os.getpid(), signal.SIGKILL)
if phase == "migrate":
    call_command("migrate", verbosity=0)
else:
    sync_vault(pathlib.Path(vault), exclude=[], progress=die)
    print(Note.objects.count(), Attachment.objects.count(), Change.objects.count())
"""


@pytest.mark.process
def test_killed_in_any_phase_the_database_is_as_before(tmp_path):
    vault = write_tree(
        tmp_path / "vault",
        {f"{number}.md": "" for number in range(500)} | {"x.png": "x", "y.png": "y"},
    )
    environ = os.environ | {
        "DATA_DIR": str(tmp_path / "data"),
        "DJANGO_SETTINGS_MODULE": "trip2g_site.settings",
    }

    def sync_until(phase: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", KILLED_IN, str(vault), phase],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    def stored() -> tuple[int, int]:
        path = tmp_path / "data/trip2g.sqlite3"
        with contextlib.closing(sqlite3.connect(path)) as database:
            (notes,) = database.execute("SELECT count(*) FROM notes_note").fetchone()
            (changes,) = database.execute(
                "SELECT count(*) FROM notes_change"
            ).fetchone()
        return notes, changes

    assert sync_until("migrate") == (0, "")
    for phase in ("reading", "storing", "writing"):
        assert sync_until(phase) == (-signal.SIGKILL, "")
        assert stored() == (0, 0)
    assert sync_until("the end") == (0, "500 2 502\n")
