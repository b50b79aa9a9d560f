"""
The manual's bare server, on a real systemd: its commands, and what may go wrong.

Each test finds one colour serving, and leaves one serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import systemd_machine
from bench.load import Plan
from bench.load_process import LoadProcess
from bench.probes import Poller
from bench.rows import systemd_bluegreen
from bench.rows.systemd_bluegreen import SOURCE
from bench.stage import find_pages
from bench.systemd_machine import SystemdMachine
from bench.writes import Reconciled, reconcile
from tests.deploys.bare_server import PAGE, BareServer
from tests.deploys.scene import PATIENCE
from tests.documents import ROOT, code_blocks, section
from tests.processes import wait_until

pytestmark = pytest.mark.process

RECIPE = ROOT / "deploy" / "systemd"
UNITS = ("trip2g.socket", "trip2g.service", "trip2g@.service")
RATE = 100  # pages a second
PREPARED = ("Prepare the machine", "The first deploy")
UNDER_LOAD = ("The second deploy", "The third deploy", "Roll back")
LATER = ("Look", "Restart")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareServer]:
    """Follow the manual up to the first deploy."""
    reason = systemd_machine.missing() or systemd_bluegreen.missing_source()
    if reason is not None:
        pytest.skip(reason)
    source = systemd_bluegreen.bare_clone(tmp_path_factory.mktemp("source"))
    with SystemdMachine([(source, SOURCE)]) as machine:
        made = BareServer(machine)
        made.do(PREPARED[0])
        made.use_own_ports()
        said = made.do(PREPARED[1])
        assert "\nok\n" in said
        assert " published, 0 not " in said
        # Workers look for what a command has written a few times a second.
        wait_until(lambda: b"<title>trip2g for Django" in made.read(), 5)
        yield made


@contextlib.contextmanager
def loaded(server: BareServer, token: str = "") -> Iterator[LoadProcess]:
    """Read from the server till `stop`; with a *token* of its API, write too."""
    pages = asyncio.run(find_pages(server.public))
    with LoadProcess(
        Plan(server.public, pages, RATE, grace=1.0, timeout=PATIENCE, token=token)
    ) as process:
        yield process


@pytest.fixture
def load(server: BareServer) -> Iterator[LoadProcess]:
    """Read and write, from the test's begin to its `stop`."""
    command = f"trip2g token create load-{secrets.token_hex(4)}"
    with loaded(server, server.machine.run(command).stdout.strip()) as process:
        yield process


def assert_nothing_lost(server: BareServer, load: LoadProcess) -> None:
    report = load.stop()
    assert report.lost == [], server.said()
    assert report.reads_kept == report.reads > RATE
    assert {"kept page", "fresh page"} <= set(report.by_kind)
    assert report.writes_kept == report.writes
    assert bool(report.writes) == bool(load.plan.token)
    found = reconcile(server.database, report.acknowledged)
    assert found == Reconciled(lost=[], duplicated=[])


def test_every_command_of_the_manual_is_run_here() -> None:
    text = PAGE.read_text()
    run = [
        block
        for heading in (*PREPARED, *UNDER_LOAD, *LATER)
        for block in code_blocks(section(text, f"## {heading}"))
    ]
    assert {*code_blocks(text)} == {*run}


def test_the_deploy_script_is_short_and_its_shell_is_right() -> None:
    script = RECIPE / "deploy.sh"
    assert len(script.read_text().splitlines()) <= 40
    for path in RECIPE.glob("*.sh"):
        subprocess.run(["sh", "-n", str(path)], check=True)
        assert os.access(path, os.X_OK)


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is missing: apt-get install systemd",
)
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        # Where the release is not installed, its Python is missing.
        text = (RECIPE / name).read_text()
        text = text.replace("/opt/trip2g/%i/.venv/bin/python", "/bin/true")
        (tmp_path / name.replace("@.", "@blue.")).write_text(text)
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    command = ["systemd-analyze", "verify", "--recursive-errors=yes", "--man=no"]
    done = subprocess.run(
        [*command, *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_installed_units_are_verified_as_they_are(server: BareServer) -> None:
    paths = " ".join(
        f"/etc/systemd/system/{name.replace('@.', f'@{server.colour}.')}"
        for name in UNITS
    )
    command = "systemd-analyze verify --recursive-errors=yes --man=no"
    assert server.machine.run(f"{command} {paths} 2>&1").stdout == ""


def test_deploys_and_a_roll_back_lose_nothing(
    server: BareServer, load: LoadProcess, deploys: int
) -> None:
    with Poller(server.internal, "/livez") as livez:
        for number in range(deploys):
            before = server.colour
            heading = UNDER_LOAD[number] if number < 3 else ""
            if heading:
                server.do(heading)
            else:
                assert server.deploy(str(1 + number % 3)).returncode == 0
            assert server.colour != before
            assert server.show(f"trip2g@{before}", "Result") == "success"
        assert server.release == "2"  # after 20, too
    assert_nothing_lost(server, load)
    # The new one takes the address of the probes over from the old one.
    assert {seen.status for seen in livez.seen} == {200}
    journal = server.machine.run("journalctl --unit 'trip2g@*' --output cat").stdout
    assert journal.count("event=internal_address_taken") >= deploys
    assert "Traceback" not in journal


def test_a_release_that_cannot_start_leaves_the_old_one_serving(
    server: BareServer, load: LoadProcess
) -> None:
    colour, release = server.colour, server.release
    pid = server.show(f"trip2g@{colour}", "MainPID")
    server.machine.run(
        f"""
        cp -a /opt/trip2g/releases/{release} /opt/trip2g/releases/broken
        echo 'raise SystemExit("this release is broken")' \\
            >>/opt/trip2g/releases/broken/gunicorn.conf.py
        """
    )
    failed = server.deploy("broken")
    assert failed.returncode == 1
    assert "this release is broken" in failed.stderr
    assert failed.stderr.endswith(
        "The deploy of /opt/trip2g/releases/broken has failed; "
        f"trip2g@{colour} is as it was.\n"
    )
    missing = server.deploy("nowhere")
    assert missing.returncode == 1
    # What the one before has logged is not its reason.
    assert "this release is broken" not in missing.stderr
    assert (server.colour, server.release) == (colour, release)
    assert server.show(f"trip2g@{server.other}", "ActiveState") != "activating"
    assert server.show(f"trip2g@{colour}", "MainPID") == pid
    assert_nothing_lost(server, load)


def test_an_interrupt_once_the_new_colour_is_enabled_leaves_one_enabled(
    server: BareServer,
) -> None:
    """With both enabled both would start at boot, and the next deploy stop either."""
    colour, release = server.colour, server.release
    server.machine.run(
        """
        echo '#!/bin/sh
        /usr/bin/systemctl "$@" || exit
        case $* in *" enable "*) kill -TERM $PPID;; esac' >/usr/local/sbin/systemctl
        chmod +x /usr/local/sbin/systemctl
        """
    )
    try:
        assert server.deploy(release).returncode == 1
    finally:
        server.machine.run("rm /usr/local/sbin/systemctl")
    assert server.enabled == [colour]
    assert server.active == [colour]


def test_the_command_takes_a_folder_as_seen_from_where_it_is_given(
    server: BareServer,
) -> None:
    said = server.machine.run(
        """
        cp -r /opt/trip2g/releases/1/docs /srv/vault
        cd /srv
        trip2g sync_vault --delete vault
        """
    )
    assert " published, 0 not " in said.stdout


def test_what_the_script_installs_may_be_read_by_the_site(server: BareServer) -> None:
    """Whatever the umask of who deploys."""
    folder = "/opt/trip2g/releases/unpacked"
    server.machine.run(
        f"""
        mkdir {folder}
        touch {folder}/requirements.txt
        echo "raise SystemExit(1)" >{folder}/manage.py
        """
    )
    server.machine.run("umask 077; trip2g-deploy unpacked", check=False)
    server.machine.run(f"runuser -u trip2g -- cat {folder}/.venv/pyvenv.cfg")


def test_one_deploy_at_a_time(server: BareServer) -> None:
    done = server.machine.run(
        "flock /run/trip2g-deploy.lock trip2g-deploy 1", check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "Another deploy is under way; wait for it.\n",
    )


def test_a_warmup_that_makes_progress_may_take_longer_than_the_time_out(
    server: BareServer,
) -> None:
    colour, other = server.colour, server.other
    unit = f"trip2g@{other}"
    server.machine.run(
        f"""
        cp -a /opt/trip2g/releases/{server.release} /opt/trip2g/releases/slow
        cd /opt/trip2g/releases/slow/trip2g_site
        echo 'LIFECYCLE_WARMUP_TASKS += ["trip2g_site.slow.warm"]' >>settings.py
        echo 'import time
def warm(context):
    for number in range(24):
        context.report(number, 24, "slow steps")
        time.sleep(0.5)
' >slow.py
        mkdir -p /run/systemd/system/trip2g@.service.d
        printf '[Service]\\nTimeoutStartSec=10\\nTimeoutStopSec=3\\n' \\
            >/run/systemd/system/trip2g@.service.d/hasty.conf
        systemctl daemon-reload
        ln -sfn /opt/trip2g/releases/slow /opt/trip2g/{other}
        systemctl start --no-block {unit}
        """
    )
    try:
        wait_until(lambda: "slow steps" in server.show(unit, "StatusText"), 30)
        assert server.show(unit, "StatusText").startswith("warming: ")
        assert server.show(unit, "ActiveState") == "activating"
        # Returns when the start that runs already is over.
        server.machine.run(f"systemctl start {unit}")
        # 12 s of steps alone are more than 10.
        assert server.show(unit, "NRestarts") == "0"
        assert server.show(unit, "StatusText") == "ready"
        # Grace and time-out are 3 s, too: the new one says that this is too little.
        journal = server.machine.run(f"journalctl --unit {unit} --output cat").stdout
        assert f'event=hazard id=lifecycle.W004 text="{unit}.service has ' in journal
    finally:
        server.machine.run(
            f"""
            rm /run/systemd/system/trip2g@.service.d/hasty.conf
            systemctl daemon-reload
            systemctl stop {unit}
            """
        )
    # The slot is the first one's again.
    wait_until(lambda: server.show(f"trip2g@{colour}", "StatusText") == "ready", 10)


def test_a_killed_colour_is_started_again(server: BareServer) -> None:
    colour = server.colour
    unit = f"trip2g@{colour}"
    pid = server.show(unit, "MainPID")
    server.machine.run(f"systemctl kill --kill-whom=main --signal=KILL {unit}")
    # Until systemd has noticed, the workers that are left may still accept.
    wait_until(lambda: server.show(unit, "MainPID") != pid, 10, interval=0.05)
    assert b"</html>" in server.read()
    try:
        wait_until(lambda: server.active == [colour], 20)
    except TimeoutError as exc:
        # It has happened once, and nothing was left to see why.
        look = f"systemctl status --no-pager {unit}; journalctl --no-pager --lines 100"
        exc.add_note(server.machine.run(look, check=False).stdout)
        raise
    assert server.show(unit, "NRestarts") == "1"
    assert server.colour == colour


def test_a_reader_starts_the_colour_that_is_enabled(server: BareServer) -> None:
    colour = server.colour
    unit = f"trip2g@{colour}"
    server.machine.run(f"systemctl stop --no-block {unit}")
    wait_until(lambda: server.show(unit, "StatusText") == "draining", 5)
    wait_until(lambda: server.show(unit, "ActiveState") == "inactive", 20)
    assert server.active == []
    assert b"</html>" in server.read()
    wait_until(lambda: server.active == [colour], 20)


def test_a_restart_loses_no_read(server: BareServer) -> None:
    colour = server.colour
    pid = server.show(f"trip2g@{colour}", "MainPID")
    restart, _ = server.commands("Restart")
    with loaded(server) as load:
        server.machine.run(restart)
        assert server.colour == colour
        assert server.show(f"trip2g@{colour}", "MainPID") != pid
        assert_nothing_lost(server, load)


def test_a_site_that_was_taken_down_refuses_and_comes_back(server: BareServer) -> None:
    colour = server.colour
    _, stop = server.commands("Restart")
    # Somebody tried to change the port, and this is the way out.
    restart = server.machine.run("systemctl restart trip2g.socket", check=False)
    assert restart.returncode != 0
    assert b"</html>" in server.read()
    assert server.deploy(server.release).returncode == 1
    server.machine.run(stop)
    with pytest.raises(ConnectionRefusedError):
        server.read()
    server.machine.run("systemctl start trip2g.service")
    assert b"</html>" in server.read()
    wait_until(lambda: server.active == [colour], 20)


def test_a_reboot_starts_the_colour_that_is_enabled(server: BareServer) -> None:
    if server.colour == "blue":
        assert server.deploy(server.release).returncode == 0
    # Blue is what comes first in every list.
    assert server.colour == "green"
    server.machine.reboot()
    assert b"</html>" in server.read()
    wait_until(lambda: server.active == ["green"], 20)
    assert "ready" in server.do("Look")
