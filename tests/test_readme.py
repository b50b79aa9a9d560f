"""
In a fresh clone the README's commands do what they say, run as written.

Only what two runs on one machine would fight over is changed from outside: ports,
home folder, data directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from tests.documents import README, ROOT, code_blocks, section
from tests.processes import free_port, wait_until

pytestmark = pytest.mark.process

BOOT_TIMEOUT = 300  # seconds; pip installs meanwhile
STOP_TIMEOUT = 30  # seconds; more than grace and shutdown time-out together


def readme_commands() -> list[str]:
    """Return the commands of the README's section of that name, line by line."""
    blocks = code_blocks(section(README.read_text(), "## Commands"))
    return [line for block in blocks if block.info == "sh" for line in block.lines]


def the_command(*words: str) -> str:
    """Return the one command of the README that has all of *words*."""
    found = [
        line
        for line in readme_commands()
        if all(word in line.partition("#")[0].split() for word in words)
    ]
    if len(found) > 1:
        found = [min(found, key=lambda line: len(line.partition("#")[0].split()))]
    assert found, f"README has no command with {words}"
    return found[0]


@dataclass
class Clone:
    """A fresh clone of the project, and the environment that its commands get."""

    path: Path
    home: Path
    data_dir: Path
    port: int = field(default_factory=free_port)
    internal_port: int = field(default_factory=free_port)

    @property
    def environ(self) -> dict[str, str]:
        kept = ("PATH", "LANG", "LC_ALL", "TMPDIR")
        # What pip needs to find its packages, and to take them from its cache.
        kept_prefixes = ("PIP_", "SSL_", "REQUESTS_", "COVERAGE_")
        environ = {
            name: value
            for name, value in os.environ.items()
            if name in kept or name.startswith(kept_prefixes)
        }
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        return {
            "PIP_CACHE_DIR": str(cache / "pip"),
            # The interpreter that runs the tests, not its virtual environment.
            "PYTHON": str(Path(sys.base_prefix) / "bin" / "python3"),
            **environ,
            "HOME": str(self.home),
            "DATA_DIR": str(self.data_dir),
            "LISTEN_ADDR": f"127.0.0.1:{self.port}",
            "INTERNAL_LISTEN_ADDR": f"127.0.0.1:{self.internal_port}",
            "SHUTDOWN_GRACE_PERIOD": "1s",
        }

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run *command* with this clone's ports in place of the README's."""
        command = command.replace(":8080", f":{self.port}")
        command = command.replace(":8081", f":{self.internal_port}")
        return subprocess.run(
            ["sh", "-c", command],
            cwd=self.path,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=BOOT_TIMEOUT,
            check=False,
        )

    @contextlib.contextmanager
    def serving(self, command: str, log: Path) -> Iterator[Server]:
        """Run *command* till the site is ready, and stop it as a terminal would."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", command],
                cwd=self.path,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # The group that Ctrl-C reaches: shell, make, master, workers.
                start_new_session=True,
                preexec_fn=take_ctrl_c,  # no thread runs here
            )
        server = Server(self, process, log)
        try:
            wait_until(server.has_settled, BOOT_TIMEOUT)
            assert server.is_ready(), server.output()
            yield server
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise


@dataclass
class Server:
    """A command that serves the site."""

    clone: Clone
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> str:
        """Return the body of the public page at *path*, which must be a 200."""
        return fetch(f"http://127.0.0.1:{self.clone.port}{path}")

    def is_ready(self) -> bool:
        """Whether the readiness probe answers with 200."""
        with contextlib.suppress(OSError):
            fetch(f"http://127.0.0.1:{self.clone.internal_port}/readyz")
            return True
        return False

    def has_settled(self) -> bool:
        """Whether it is ready, or gone."""
        return self.process.poll() is not None or self.is_ready()

    def output(self) -> str:
        """Return what was printed so far."""
        return self.log.read_text(errors="replace")


def take_ctrl_c() -> None:
    """
    Let this process, and what it starts, be stopped from a terminal.

    A shell without job control starts what is to run in the background with these
    signals ignored; children inherit that, and sh and make leave it so.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def fetch(url: str) -> str:
    """Return the body at *url*; anything but a 200 raises."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310
        body: IO[bytes] = response
        return body.read().decode()


@pytest.fixture(scope="module")
def clone_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git, and a checkout: apt-get install git")
    path = tmp_path_factory.mktemp("fresh") / "trip2g-django"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(path)], check=True)
    return path


@pytest.fixture
def clone(clone_path: Path, tmp_path: Path) -> Clone:
    """A clone with an empty data directory, and a vault in ~/notes."""
    vault = tmp_path / "home" / "notes"
    vault.mkdir(parents=True)
    (vault / "index.md").write_text("# My own home\n\nFirst words.\n")
    (vault / "secret.md").write_text("---\ndraft: true\n---\nNobody reads this.\n")
    return Clone(clone_path, tmp_path / "home", tmp_path / "data")


def test_the_readme_has_the_commands_that_are_run_here() -> None:
    assert {line.partition("#")[0].strip() for line in readme_commands()} == {
        "make run",
        "make run VAULT=~/notes",
        "make demo",
        "make test",
        "curl http://localhost:8080/",
        "curl http://localhost:8081/readyz",
        ".venv/bin/python manage.py sync_vault ~/notes",
        ".venv/bin/python manage.py warmup --check",
    }


def test_make_run_serves_the_manual_and_then_what_was_put_in_its_place(
    clone: Clone, tmp_path: Path
) -> None:
    run = the_command("make", "run")
    with clone.serving(run, tmp_path / "first.log") as server:
        assert "<title>trip2g for Django" in server.get("/")
        assert fetch(f"http://127.0.0.1:{clone.internal_port}/livez") == "ok\n"

        assert "<title>trip2g for Django" in clone.run(curl(":8080/")).stdout
        assert clone.run(curl(":8081/readyz")).stdout == "ok\n"

        synced = clone.run(the_command("sync_vault"))
        assert (synced.returncode, synced.stdout.splitlines()[-1:]) == (
            0,
            ["1 published, 1 not (1 draft, 0 excluded, 0 skipped)"],
        ), synced
        wait_until(lambda: "First words." in server.get("/"), 5)

        checked = clone.run(the_command("warmup", "--check"))
        assert checked.returncode == 0, checked
    # One drain: the one Ctrl-C reached the server once, and make waited for its end.
    assert server.output().count("phase=draining") == 1
    assert "phase=stopped" in server.output()
    assert server.process.returncode == -signal.SIGINT

    with clone.serving(run, tmp_path / "second.log") as server:
        assert "First words." in server.get("/")
        assert "trip2g for Django" not in server.get("/")


def test_make_run_with_a_vault_serves_and_watches_it(
    clone: Clone, tmp_path: Path
) -> None:
    note = clone.home / "notes" / "index.md"
    with clone.serving(
        the_command("make", "VAULT=~/notes"), tmp_path / "log"
    ) as server:
        wait_until(lambda: "First words." in server.get("/"), 10)
        note.write_text(note.read_text().replace("First", "Better"))
        wait_until(lambda: "Better words." in server.get("/"), 10)
        assert "Nobody reads this." not in server.get("/sitemap.xml")


@pytest.fixture
def long_manual(clone: Clone) -> Iterator[None]:
    """Give the manual so many pages that a sync would not remove them unasked."""
    pages = [clone.path / "docs" / f"page-{number}.md" for number in range(11)]
    for page in pages:
        page.write_text("One more.\n")
    yield
    for page in pages:
        page.unlink()


@pytest.mark.usefixtures("long_manual")
def test_a_vault_takes_the_place_of_the_manual(clone: Clone, tmp_path: Path) -> None:
    with clone.serving(the_command("make", "run"), tmp_path / "first.log"):
        pass
    with clone.serving(
        the_command("make", "VAULT=~/notes"), tmp_path / "second.log"
    ) as server:
        wait_until(lambda: "First words." in server.get("/"), 10)


def test_a_vault_that_is_not_there_is_one_line_and_exit_2(clone: Clone) -> None:
    shutil.rmtree(clone.home / "notes")
    result = clone.run(the_command("make", "VAULT=~/notes"))
    assert result.returncode == 2
    assert result.stderr.splitlines()[0] == (
        f"VAULT={clone.home}/notes is not a directory."
    )


def test_make_demo_keeps_every_read_and_every_write(clone: Clone) -> None:
    done = clone.run(the_command("make", "demo"))
    assert done.returncode == 0, done.stderr
    (row,) = [
        line for line in done.stdout.splitlines() if line.startswith("| handover")
    ]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4] == "100 %"  # reads kept
    assert cells[6] == "100 %"  # writes kept


def test_make_test_is_there(clone: Clone) -> None:
    dry_run = clone.run(the_command("make", "test").replace("make", "make -n", 1))
    assert dry_run.returncode == 0, dry_run.stderr
    assert "coverage run -m pytest" in dry_run.stdout


def curl(url_end: str) -> str:
    """Return the README's curl command for the address that ends like this."""
    found = [
        line
        for line in readme_commands()
        if line.startswith("curl ") and line.partition("#")[0].strip().endswith(url_end)
    ]
    assert len(found) == 1
    if shutil.which("curl") is None:
        url = found[0].split()[1]
        script = f"import urllib.request as u; print(u.urlopen({url!r}).read().decode(), end='')"
        return f"{sys.executable} -c {json.dumps(script)}"
    return found[0]


# A python3 that is too old, or from which Debian has split something off.
OLD = "import sys; sys.version_info = (3, 9, 2)"
WITHOUT_ENSUREPIP = (
    "import sys, importlib.util as u; find = u.find_spec; "
    "u.find_spec = lambda name: None if name == 'ensurepip' else find(name)"
)
APT = r"(sudo )?apt-get install -y python3 python3-venv"


@pytest.mark.parametrize(
    ("python", "line"),
    [
        (None, rf"python3 is missing; run '{APT}', then this again"),
        (
            OLD,
            rf"\S+ is Python 3\.9\.2, and 3\.11 or newer is needed; run '{APT}', or .*",
        ),
        (
            WITHOUT_ENSUREPIP,
            rf"Python [\d.]+ lacks ensurepip; run '{APT}', then this again",
        ),
    ],
    ids=["missing", "too old", "without venv"],
)
def test_what_the_machine_lacks_is_one_line_with_the_apt_command(
    clone_path: Path, tmp_path: Path, python: str | None, line: str
) -> None:
    # A machine with make and the shell's own tools, and with this python3 or none.
    for name in ("make", "sh", "id"):
        path = shutil.which(name)
        assert path
        (tmp_path / name).symlink_to(path)
    if python:
        fake = tmp_path / "python3"
        fake.write_text(
            "#!/bin/sh\nshift\n"
            f'exec {sys.executable} -c "{python}; exec(sys.stdin.read())" "$@"\n'
        )
        fake.chmod(0o755)
    result = subprocess.run(
        ["make", "VENV=.venv-of-nobody", "run"],
        cwd=clone_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(rf"Makefile:\d+: \*\*\* {line}\.  Stop\.\n", result.stderr), (
        result.stderr
    )
