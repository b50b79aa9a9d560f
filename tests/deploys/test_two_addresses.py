"""
The manual's two addresses of one machine, on a real systemd, behind HAProxy and nginx.

Each test finds one colour serving, and leaves one serving.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import programs, recipes, systemd_machine
from bench.load import Plan
from bench.load_process import LoadProcess
from bench.probes import probe
from bench.program import Program
from bench.rows import systemd_bluegreen
from bench.rows.balanced import HOSTS, shared_port
from bench.rows.systemd_bluegreen import SOURCE
from bench.stage import find_pages
from bench.systemd_machine import SystemdMachine
from lifecycle.knobs import Address
from tests.deploys.bare_server import PAGE, BareServer
from tests.deploys.scene import PATIENCE, free_address
from tests.documents import MANUAL, code_blocks, section
from tests.processes import wait_until

pytestmark = pytest.mark.process

WINDOW, GRACE = 3.0, 4.0
RATE = 100  # pages a second
CLONE = "git clone --quiet --depth 1 https://git.example.org/trip2g-django.git"


def blocks(page: str, heading: str = "") -> list[str]:
    """Return the shell commands of *page* of the manual, under *heading* alone."""
    text = (MANUAL / page).read_text()
    return [
        "\n".join(block.lines)
        for block in code_blocks(section(text, f"## {heading}") if heading else text)
        if block.info == "sh"
    ]


class Server(BareServer):
    """What the page's commands have made; each colour has ports of its own here."""

    def __init__(self, machine: SystemdMachine) -> None:
        super().__init__(machine)
        self.ports = {port: str(shared_port()) for port in ("8080", "8081")}

    def prepare(self) -> None:
        """Follow the manual up to the first deploy, and put its notes in."""
        packages, clone, *_ = blocks(PAGE.name, "Prepare the machine")
        install, *_ = blocks("two-addresses.md")
        self.machine.run(packages)
        assert CLONE in clone
        self.machine.run(clone.replace(CLONE, f"git clone --quiet file://{SOURCE}"))
        self.machine.run(install)
        for old, new in self.ports.items():
            self.machine.run(f"sed -i 's/:{old}$/:{new}/' /etc/trip2g-*.env")
        self.machine.run(
            f"""
            echo 'SHUTDOWN_GRACE_PERIOD={GRACE:g}s' >>/etc/trip2g.env
            echo 'SHUTDOWN_TIMEOUT=2s' >>/etc/trip2g.env
            trip2g-deploy 1
            cp --archive --link /opt/trip2g/releases/1 /opt/trip2g/releases/2
            cp --archive --link /opt/trip2g/releases/1 /opt/trip2g/releases/broken
            cd /opt/trip2g/releases/broken
            rm gunicorn.conf.py
            echo 'raise SystemExit("this release is broken")' >gunicorn.conf.py
            trip2g sync_vault /opt/trip2g/releases/1/docs
            """
        )

    def address(self, colour: str, port: str = "8080") -> Address:
        """Return where *colour* listens, by the *port* that the recipe names."""
        host = HOSTS[("blue", "green").index(colour)]
        return Address(host, int(self.ports[port]))

    def seen_at(self, colour: str, phase: str) -> float:
        """Return when *colour* came to *phase* the last time, as its journal has it."""
        lines = self.machine.run(
            f"journalctl --unit trip2g@{colour} --output short-unix --no-pager"
        ).stdout
        found = re.findall(
            rf"^([\d.]+) .*event=phase phase={phase}\b", lines, re.MULTILINE
        )
        return float(found[-1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Follow the manual up to the first deploy."""
    reason = systemd_machine.missing() or systemd_bluegreen.missing_source()
    if os.environ.get("CI"):
        reason = "a minute and more, which CI lacks: make test and make soak play it"
    if reason is not None:
        pytest.skip(reason)
    source = systemd_bluegreen.bare_clone(tmp_path_factory.mktemp("source"))
    with SystemdMachine([(source, SOURCE)]) as machine:
        made = Server(machine)
        made.prepare()
        yield made


def test_haproxy_has_seen_the_new_colour_before_the_old_one_is_stopped(
    server: Server, tmp_path: Path
) -> None:
    if (reason := programs.missing("haproxy")) is not None:
        pytest.skip(reason)
    file = recipes.install(
        "haproxy/haproxy.cfg",
        tmp_path / "haproxy.cfg",
        server.ports
        | {
            "bind :80\n": f"bind {server.public}\n",
            "/run/haproxy/admin.sock": f"{tmp_path}/admin.sock",
        },
    )
    token = server.machine.run("trip2g token create haproxy").stdout.strip()
    with Program(
        [programs.get("haproxy"), "-db", "-f", str(file)],
        log=tmp_path / "haproxy.log",
        is_up=lambda: probe(server.public, "/").status == 200,
    ) as haproxy:
        # It was started by root, and is not root any more.
        status = Path(f"/proc/{haproxy.pid}/status").read_text()
        assert "Uid:\t0\t" not in status
        pages = asyncio.run(find_pages(server.public))
        plan = Plan(
            server.public, pages, RATE, grace=GRACE, timeout=PATIENCE, token=token
        )
        with LoadProcess(plan) as load:
            for release in ("2", "1"):
                old, new = server.colour, server.other
                assert server.deploy(release).returncode == 0
                assert server.colour == new
                assert (
                    server.seen_at(old, "draining") - server.seen_at(new, "ready")
                    >= WINDOW
                )
            report = load.stop()
    assert report.lost == [], server.said()
    assert report.reads_kept == report.reads > RATE
    assert report.writes_kept == report.writes > 0


def test_one_colour_can_be_looked_at_by_its_address(server: Server) -> None:
    look = blocks("two-addresses.md")[-1].replace("8081", server.ports["8081"])
    colour, other = server.colour, server.other
    named = look.replace(HOSTS[1], server.address(colour).host)
    assert server.machine.run(named).stdout.startswith("ok")
    resting = look.replace(HOSTS[1], server.address(other).host)
    assert server.machine.run(resting, check=False).returncode == 7  # refused


def test_nginx_is_told_which_colour_serves(server: Server) -> None:
    if (reason := programs.missing("nginx")) is not None:
        pytest.skip(reason)
    public = free_address()
    (install,) = blocks("nginx.md")
    reload = "systemctl reload nginx"
    assert reload in install
    server.machine.run(install.replace(reload, ""))
    server.machine.run(
        f"""
        sed -i 's/listen 80;/listen {public};/' /etc/nginx/nginx.conf
        sed -i 's/:8080 /:{server.ports["8080"]} /' /etc/nginx/trip2g-upstream.conf
        nginx
        trip2g-route {server.colour}
        """
    )

    def upstream() -> str:
        return server.machine.run("cat /etc/nginx/trip2g-upstream.conf").stdout

    try:
        wait_until(lambda: probe(public, "/").status == 200, 10)
        for release in ("2", "1"):
            new = server.other
            assert server.deploy(release).returncode == 0
            assert server.colour == new
            assert upstream() == f"server {server.address(new)} max_fails=0;\n"
            # The other one is gone, so that nobody else can have answered.
            assert probe(public, "/").status == 200
        colour = server.colour
        assert server.deploy("broken").returncode == 1
        assert server.colour == colour
        assert upstream() == f"server {server.address(colour)} max_fails=0;\n"
        assert probe(public, "/").status == 200
    finally:
        server.machine.run("rm /usr/local/sbin/trip2g-route; nginx -s stop")
