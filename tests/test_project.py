"""What holds for the project as a whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
from django.core.management import call_command

from lifecycle.knobs import KnobError
from tests.documents import ROOT
from tests.notes.trees import write_tree
from tests.processes import free_port, wait_until
from trip2g_site.knobs import KNOBS


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_every_requirement_is_pinned() -> None:
    lines = [
        line
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith(("#", "-r "))
    ]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_every_allowed_skip_has_its_reason() -> None:
    lines = (ROOT / ".ci" / "allowed-skips.txt").read_text().splitlines()
    assert [line for line in lines if not line.partition("#")[2].strip()] == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "PUBLIC_URL",
            "notes.example.org",
            "an address such as 'https://notes.example.org' or 'http://localhost:8080', "
            "without a path",
        ),
        (
            "EXCLUDE",
            "Templates/,[",
            "globs as in a .gitignore, with commas between, such as "
            "'Templates/,*.tmp.md'",
        ),
        *(
            (
                "TIME_ZONE",
                name,
                "the name of a time zone, such as 'UTC' or 'Europe/Berlin'",
            )
            for name in ("Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe")
        ),
    ],
)
def test_a_knob_of_the_site_that_does_not_parse_is_named(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(KnobError) as caught:
        KNOBS.load({name: value})
    assert str(caught.value) == f"{name}={value!r} is not valid: expected {expected}."


def test_the_host_of_the_public_url_is_allowed(tmp_path: Path) -> None:
    shown = settings_of(
        tmp_path, "ALLOWED_HOSTS", PUBLIC_URL="http://[2001:DB8::7]:80/"
    )
    assert shown.stdout == "['localhost', '127.0.0.1', '[::1]', '[2001:db8::7]']\n"


def test_a_secret_key_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "secret-key").mkdir()
    done = settings_of(tmp_path, "SECRET_KEY")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"The secret key {tmp_path}/secret-key can neither")
    assert done.stderr.count("\n") == 1


def test_a_sync_without_a_database_names_the_way_to_one(tmp_path: Path) -> None:
    done = python(tmp_path, "manage.py", "sync_vault", "docs")
    database = tmp_path / "trip2g.sqlite3"
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"CommandError: There is no database at {database}. "
        "Run: python manage.py migrate\n",
    )
    assert not database.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["sync_vault", "docs"],
        ["sync_vault", "docs", "--dry-run"],
        ["links"],
        ["handoff", "status"],
        ["runserver", "--noreload", "0"],
    ],
)
def test_a_file_that_is_no_database_is_one_line_to_every_command(
    tmp_path: Path, command: list[str]
) -> None:
    database = tmp_path / "trip2g.sqlite3"
    database.write_bytes(b"no database" * 1000)
    done = python(tmp_path, "manage.py", *command)
    assert done.returncode == 1
    assert done.stderr.removeprefix("CommandError: ") == (
        f"Database {database} cannot be used: file is not a database. "
        "Move it away and restore a backup.\n"
    )


def test_a_command_interrupted_while_it_imports_has_no_traceback(
    tmp_path: Path,
) -> None:
    interrupted = """
import runpy, sys
class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == "django.core.management":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
sys.argv = ["manage.py", "check"]
runpy.run_path("manage.py", run_name="__main__")
"""
    done = python(tmp_path, "-c", interrupted)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_command_that_nobody_listens_to_any_more_has_no_traceback(
    tmp_path: Path,
) -> None:
    """As behind `| head`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "manage.py", "help"],
            cwd=ROOT,
            env={**os.environ, "DATA_DIR": str(tmp_path)},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.process
@pytest.mark.parametrize("debug", ["false", "true"])
def test_runserver_serves_the_same_site(tmp_path: Path, debug: str) -> None:
    """Pages with their headers, attachments and static files; no draft."""
    files: dict[str, str | bytes] = {
        "first.md": "Words of the first. ![[drawing.svg]]",
        "secret.md": "---\ndraft: true\n---\nNobody reads this.",
        "drawing.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    vault = write_tree(tmp_path / "vault", files)
    for command in (["migrate"], ["sync_vault", str(vault)]):
        done = python(tmp_path, "manage.py", *command)
        assert done.returncode == 0, done.stderr
    port = free_port()

    def get(path: str) -> tuple[int, str, str]:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            policy = response.headers.get("Content-Security-Policy", "")
            return response.status, policy, response.read().decode()
        finally:
            connection.close()

    def answers() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            return get("/first")[0] == 200
        except ConnectionRefusedError:
            return False

    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", str(port)],
            cwd=ROOT,
            env={**os.environ, "DATA_DIR": str(tmp_path), "DEBUG": debug},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(answers, 60)
        _, policy, page = get("/first")
        assert "Words of the first." in page
        assert policy.startswith("default-src 'none'")
        (stylesheet,) = re.findall(r'href="(/static/notes/site\.css[^"]*)"', page)
        assert get(stylesheet)[0] == 200
        assert get("/drawing.svg")[:2] == (
            200,
            "sandbox; default-src 'none'; style-src 'unsafe-inline'",
        )
        assert get("/secret")[0] == 404
        assert "/secret" not in get("/sitemap.xml")[2]
    finally:
        server.terminate()
        server.wait(30)


def settings_of(
    data_dir: Path, name: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Let a process of its own print the setting *name*."""
    program = f"from trip2g_site import settings; print(settings.{name})"
    return python(data_dir, "-c", program, **environ)


def python(
    data_dir: Path, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Let a Python of its own run *arguments* to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(data_dir), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
