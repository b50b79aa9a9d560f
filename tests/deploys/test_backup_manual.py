"""The manual's page on backups, run as it is written."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.instance import REPOSITORY, bare_environ
from bench.stage import Stage
from tests.deploys.scene import Scene, free_address, get
from tests.documents import MANUAL, code_blocks, section
from tests.processes import wait_until

pytestmark = pytest.mark.process

PAGE = (MANUAL / "backups.md").read_text()


def commands(heading: str) -> list[str]:
    """Return the command lines under *heading*, with this Python."""
    blocks = [b for b in code_blocks(section(PAGE, heading)) if b.info == "sh"]
    return [
        line.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        for block in blocks
        for line in block.lines
    ]


class Terminal:
    """A person's shell, with the site's variables."""

    def __init__(self, stage: Stage) -> None:
        self.public, self.internal = free_address(), free_address()
        self.environ = bare_environ() | stage.knobs
        self.environ |= {
            "LISTEN_ADDR": str(self.public),
            "INTERNAL_LISTEN_ADDR": str(self.internal),
        }

    def run(self, *lines: str) -> str:
        script = "\n".join(["set -e", *lines])
        done = subprocess.run(
            ["bash", "-c", script.replace("localhost:8081", str(self.internal))],
            cwd=REPOSITORY,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def left_running(self, line: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command that does not end by itself."""
        with subprocess.Popen(
            shlex.split(line),
            cwd=REPOSITORY,
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(60)

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return get(self.internal, "/readyz")[0].status == 200
        return False


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(
        tmp_path,
        grace=0.2,
        timeout=3.0,
        environ=(("BACKUP_STORAGE", str(tmp_path / "backups")),),
    )
    made.load_vault(MANUAL)
    return made


def notes(stage: Stage) -> int:
    with contextlib.closing(sqlite3.connect(stage.database)) as raw:
        return int(raw.execute("SELECT count(*) FROM notes_note").fetchone()[0])


def test_five_commands_restore_the_site_at_3_am(stage: Stage) -> None:
    status, listing, restore, serve, ready = commands("## Restore at 3 a.m.")[:5]
    terminal = Terminal(stage)
    terminal.run(f"{sys.executable} manage.py backup create")
    whole = notes(stage)
    with contextlib.closing(sqlite3.connect(stage.database)) as raw, raw:
        raw.execute("DELETE FROM notes_note")
    assert terminal.run(status).startswith("writer slot: epoch")
    assert re.search(r"\d{8}T\d{6}\.\d{3}Z", terminal.run(listing))
    said = terminal.run(restore)
    assert "What was here is now in" in said
    assert " restored: the database of 0 minutes ago" in said
    with terminal.left_running(serve):
        wait_until(terminal.is_ready, 60, "/readyz answering 200")
        assert terminal.run(ready) == "ok\n"
        assert get(terminal.public, "/backups")[0].status == 200
        assert notes(stage) == whole


def test_the_drill_is_run_as_it_is_written(stage: Stage) -> None:
    terminal = Terminal(stage)
    terminal.run(f"{sys.executable} manage.py backup create")
    (drill,) = commands("## Restore at 3 a.m.")[5:]
    said = terminal.run(drill)
    assert re.search(r"^notes_note +\d+ restored +\d+ now$", said, re.MULTILINE)
    assert re.search(r"restored: .* in [\d.]+ s\.$", said, re.MULTILINE)


def test_a_site_goes_back_in_time_with_litestream_as_it_is_written(
    tmp_path: Path,
) -> None:
    stage = Stage(
        tmp_path,
        grace=0.2,
        timeout=3.0,
        environ=(
            (
                "LITESTREAM_CONFIG",
                str(REPOSITORY / "deploy" / "litestream" / "directory.yml"),
            ),
            ("LITESTREAM_DIR", str(tmp_path / "replica")),
        ),
    )
    replica = tmp_path / "replica"
    with Scene(stage) as scene:
        instance = scene.start(public=free_address())
        wait_until(lambda: [*replica.rglob("*.ltx")], 30, "the first upload")
        Terminal(stage).run(f"{sys.executable} manage.py sync_vault docs")
        whole = notes(stage)
        wait_until(lambda: len([*replica.rglob("0/*.ltx")]) > 1, 30, "the next one")
        instance.stop()
    with contextlib.closing(sqlite3.connect(stage.database)) as raw, raw:
        raw.execute("DELETE FROM notes_note")
    terminal = Terminal(stage)
    export, aside, move, restore = commands("## Litestream")[1:]
    # With its milliseconds: the last upload may be of the second that is now.
    at = "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)"
    assert "/var/lib/trip2g" in export
    for times in (1, 2):
        terminal.run(
            f"export DATA_DIR={stage.database.parent}",
            aside,
            move,
            re.sub(r"-timestamp \S+", f"-timestamp {at}", restore),
        )
        assert notes(stage) == whole
        replaced = stage.database.parent / "replaced"
        assert len([*replaced.glob(f"*/{stage.database.name}")]) == times
    # The replica goes on from there, and is the site's again.
    with Scene(stage) as scene:
        instance = scene.start(public=free_address())
        Terminal(stage).run(f"{sys.executable} manage.py token create later")
        instance.stop()
    wanted = dump(stage.database)
    shutil.move(stage.database.parent, tmp_path / "lost")
    with Scene(stage) as scene:
        scene.start(public=free_address()).stop()
    assert dump(stage.database) == wanted


def dump(database: Path) -> list[str]:
    """Return all that is in *database*, less who holds the slot."""
    with contextlib.closing(sqlite3.connect(database)) as raw:
        return [
            line
            for line in raw.iterdump()
            if "lifecycle_epoch" not in line and "_litestream_" not in line
        ]


@pytest.mark.parametrize("knob", ["SIMPLE_BACKUP", "VACUUM_CRON"])
def test_a_start_beside_a_litestream_is_refused_with_one_line(
    tmp_path: Path, knob: str
) -> None:
    stage = Stage(tmp_path, environ=((knob, "true"), ("LITESTREAM", "true")))
    done = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=REPOSITORY,
        env=bare_environ()
        | stage.knobs
        | {"INTERNAL_LISTEN_ADDR": str(free_address())},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "level=error" in line]
    assert f'event=start_refused reason="{knob} cannot be on beside a Lite' in line
    assert "Traceback" not in done.stderr
    assert not stage.database.exists()
