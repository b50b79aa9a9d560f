"""deploy/bare/deploy.sh, from an empty folder to a roll-back, under load."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.instance import bare_environ
from bench.load import Plan
from bench.load_process import LoadProcess
from bench.probes import probe
from lifecycle import peers
from tests.deploys.scene import PATIENCE, free_address
from tests.documents import MANUAL, ROOT, code_blocks
from tests.processes import wait_until

pytestmark = pytest.mark.process

PAGE = MANUAL / "handover.md"
CODE = ("lifecycle", "notes", "trip2g_site", "manage.py", "gunicorn.conf.py", "deploy")


class Server:
    """A machine's folders: releases, and the data that they share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.public = free_address()
        self.internal = free_address()
        self.environ = bare_environ() | {
            "DATA_DIR": str(self.data),
            "LISTEN_ADDR": str(self.public),
            "INTERNAL_LISTEN_ADDR": str(self.internal),
            "SHUTDOWN_GRACE_PERIOD": "1s",
            "DEPLOY_TIMEOUT": "60",
        }

    def release(self, name: str) -> Path:
        """Put the code into a folder, with this interpreter as its environment."""
        folder = self.folder / "releases" / name
        for part in CODE:
            source = ROOT / part
            folder.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(
                    source, folder / part, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(source, folder / part)
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "installed").touch()
        python = folder / ".venv" / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        return folder

    def deploy(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the script of the release on itself, from the server's folder."""
        return subprocess.run(
            [folder / "deploy" / "bare" / "deploy.sh", folder],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def run(self, *commands: str) -> None:
        """Run *commands* of the manual, with this server's folder for theirs."""
        subprocess.run(
            [
                "sh",
                "-ec",
                "\n".join(commands).replace("/srv/trip2g/", f"{self.folder}/"),
            ],
            env={k: v for k, v in self.environ.items() if k != "DATA_DIR"},
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=True,
        )

    def manage(self, folder: Path, *arguments: str) -> str:
        """Return what a management command of the release in *folder* prints."""
        return subprocess.run(
            [folder / ".venv" / "bin" / "python", "manage.py", *arguments],
            cwd=folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    def status(self) -> dict[str, Any]:
        """Return what the one that lives says of itself."""
        (peer,) = self.living()
        return peers.ask(peers.RunDir(self.data), peer, "/status")

    def youngest(self) -> peers.Peer:
        """Return the instance that was started last."""
        return self.living()[-1]

    def living(self) -> list[peers.Peer]:
        """Return the instances that live."""
        return peers.living(peers.RunDir(self.data))


@pytest.fixture
def server(tmp_path: Path, uncovered: None) -> Iterator[Server]:
    """Give folders; whatever was started is gone afterwards."""
    made = Server(tmp_path)
    yield made
    for peer in made.living():
        os.kill(peer.record["pid"], signal.SIGKILL)
    wait_until(lambda: not made.living(), 10, "the instances' end")


def test_the_commands_of_the_manual_deploy_and_roll_back_and_lose_no_read(server):
    for name in ("1", "2"):
        server.release(name)
    # All of the page's code is run here, in one shell's order.
    begin, further = code_blocks(PAGE.read_text())
    export, first = begin.lines
    assert export.startswith("export DATA_DIR=")
    second, back = further.lines
    assert {begin.info, further.info} == {"sh"}
    server.run(export, first)
    plan = Plan(server.public, ["/"], rate=50, grace=1.0, timeout=PATIENCE)
    with LoadProcess(plan) as load:
        for command, release in ((second, "2"), (back, "1")):
            server.run(export, command)
            assert server.youngest().record["version"] == release
            wait_until(lambda: len(server.living()) == 1, 20, "one instance")
        report = load.stop()
    # An empty site's home page is a 200; a release's folder is its name.
    assert report.lost == []
    assert report.reads_kept == report.reads > 0
    assert server.living()[0].record["version"] == "1"


def test_the_old_release_may_be_replaced_while_it_runs_and_deleted_while_it_drains(
    server,
):
    """Its processes need none of its files: workers are forked, not started."""
    first, second = server.release("1"), server.release("2")
    server.environ["SHUTDOWN_GRACE_PERIOD"] = "3s"
    assert server.deploy(first).returncode == 0
    for path in first.rglob("*.py"):
        path.write_text("raise RuntimeError('another release')\n")
    shutil.rmtree(first / "notes" / "templates")
    old = server.status()
    os.kill(old["workers"][0], signal.SIGKILL)
    os.kill(old["writer"], signal.SIGKILL)
    wait_until(
        lambda: (
            server.status()["writer"] not in {0, old["writer"]}
            and server.status()["phase"] == "ready"
            and len({*server.status()["workers"]} - {old["workers"][0]}) == 2
        ),
        30,
        "a new worker and a new writer process",
    )
    assert probe(server.internal, "/healthz", 30).status == 200
    # The old one does the command's work, and then the writes of the load.
    token = server.manage(second, "token", "create", "load").strip()
    plan = Plan(server.public, ["/"], 50, grace=3.0, timeout=PATIENCE, token=token)
    with LoadProcess(plan) as load:
        assert server.deploy(second).returncode == 0
        assert len(server.living()) == 2
        shutil.rmtree(first)
        wait_until(lambda: len(server.living()) == 1, 30, "the old one's end")
        report = load.stop()
    assert report.lost == []
    assert report.writes_kept == report.writes > 0
    log = (server.data / "logs" / "1.log").read_text()
    assert "Traceback" not in log
    assert "phase=stopped" in log


@pytest.mark.parametrize("part", ["settings.py", "wsgi.py"])
def test_a_release_that_does_not_start_leaves_the_old_one(server, part):
    first, broken = server.release("1"), server.release("2")
    assert server.deploy(first).returncode == 0
    (server.data / "logs" / "2.log").write_text("of an earlier start\n")
    (broken / "trip2g_site" / part).write_text("raise RuntimeError('broken')\n")
    done = server.deploy(broken)
    assert done.returncode == 1
    assert "Error: broken" in done.stderr
    assert "of an earlier start" not in done.stderr
    assert done.stderr.endswith("has failed; what ran before runs on.\n")
    assert [peer.record["version"] for peer in server.living()] == ["1"]


def test_what_a_running_release_answers_is_not_why_it_was_not_deployed_again(server):
    release = server.release("1")
    assert server.deploy(release).returncode == 0
    # As under a load: whoever looks at the last lines sees nothing else.
    requests = "logger=gunicorn.access event=request method=GET path=/\n" * 20
    (release / "trip2g_site" / "wsgi.py").write_text(
        f"import atexit\natexit.register(print, {requests!r})\n"
        "raise RuntimeError('broken')\n"
    )
    done = server.deploy(release)
    assert done.returncode == 1
    assert "Error: broken" in done.stderr
    assert "event=request" not in done.stderr


def test_a_release_that_is_not_ready_in_time_is_ended_and_says_how_far_it_is(server):
    first, stuck = server.release("1"), server.release("2")
    assert server.deploy(first).returncode == 0
    (stuck / "trip2g_site" / "wsgi.py").write_text("import time\ntime.sleep(600)\n")
    server.environ["DEPLOY_TIMEOUT"] = "3"
    done = server.deploy(stuck)
    assert done.returncode == 1
    assert " is not ready after 3 s: starting " in done.stderr
    assert [peer.record["version"] for peer in server.living()] == ["1"]


def test_a_disk_that_is_full_is_named(server):
    first, second = server.release("1"), server.release("2")
    assert server.deploy(first).returncode == 0
    (server.data / "logs" / "2.log").symlink_to("/dev/full")
    done = server.deploy(second)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert done.stderr.endswith("has failed; what ran before runs on.\n")
    assert [peer.record["version"] for peer in server.living()] == ["1"]


def test_a_relative_data_directory_is_the_same_for_each_release(server):
    """It is where the command is given, and paths may have a space."""
    first, second = server.release("1"), server.release("the second")
    server.environ["DATA_DIR"] = "data"
    assert server.deploy(first).returncode == 0
    assert server.deploy(second).returncode == 0
    assert server.youngest().record["version"] == "the second"
    assert not (first / "data").exists()


def test_an_environment_of_another_python_is_made_again(server, tmp_path):
    """As after an upgrade of the system: the packages are those of the old one."""
    release = server.release("1")
    python = release / ".venv" / "bin" / "python"
    works = python.read_text()
    python.write_text("#!/bin/sh\nexit 1\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "works").write_text(works.replace("exec", '[ "$2" = pip ] || exec'))
    (tools / "python3").write_text(
        f"#!/bin/sh\n[ \"$*\" = '-m venv --clear .venv' ] && cp {tools}/works {python}\n"
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    server.environ["PATH"] = f"{tools}:{server.environ['PATH']}"
    done = server.deploy(release)
    assert done.returncode == 0, done.stderr


def test_a_deploy_that_is_interrupted_leaves_the_old_one_and_no_other(server):
    first, stuck = server.release("1"), server.release("2")
    assert server.deploy(first).returncode == 0
    (stuck / "trip2g_site" / "wsgi.py").write_text("import time\ntime.sleep(600)\n")
    with subprocess.Popen(
        [stuck / "deploy" / "bare" / "deploy.sh", stuck],
        env=server.environ,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as deploying:
        wait_until(lambda: len(server.living()) == 2, 60, "the second instance")
        os.killpg(deploying.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
        said = deploying.communicate(timeout=60)[1]
    assert deploying.returncode == 1
    assert "has failed; what ran before runs on." in said
    assert "Traceback" not in said
    assert [peer.record["version"] for peer in server.living()] == ["1"]
    assert server.status()["phase"] == "ready"


def test_of_two_deploys_at_once_the_second_is_refused(server):
    release = server.release("1")
    server.data.mkdir()
    with (server.data / "deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = server.deploy(release)
        assert (done.returncode, done.stderr) == (
            1,
            "Another deploy is under way; wait for it.\n",
        )
    assert server.deploy(release).returncode == 0
    # What it started does not keep the lock.
    assert server.deploy(release).returncode == 0
