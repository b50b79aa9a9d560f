"""systemd-bluegreen: two services on one socket unit, on a real systemd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench import systemd_machine
from bench.instance import REPOSITORY
from bench.rows.row import Claim, Row
from bench.stage import Stage
from bench.systemd_machine import SystemdMachine
from bench.waiting import free_port
from lifecycle.knobs import Address

SOURCE = "/srv/trip2g-django.git"
"""Where a machine has the repository that it clones."""
_DATA = "/var/lib/trip2g"
_INSTALL = f"""
useradd --system --home-dir {_DATA} --shell /usr/sbin/nologin trip2g
chown -R trip2g:trip2g {_DATA}
mkdir -p /opt/trip2g/releases
git clone --quiet --depth 1 file://{SOURCE} /opt/trip2g/releases/1
cd /opt/trip2g/releases/1/deploy/systemd
install -m 644 trip2g.socket trip2g.service trip2g@.service /etc/systemd/system/
install -m 640 -g trip2g trip2g.env /etc/trip2g.env
"""
_DEPLOY = "/opt/trip2g/releases/1/deploy/systemd/deploy.sh"
# The second release is the same code; its packages need not be fetched again.
_COPY = "cp --archive --link /opt/trip2g/releases/1 /opt/trip2g/releases/2"


def missing_source() -> str | None:
    """Return why a machine could not clone this repository, or None."""
    if shutil.which("git") is None:
        return "git is missing: apt-get install git"
    if not (REPOSITORY / ".git").exists():
        return "this is no checkout, so there is nothing to clone"
    return None


def bare_clone(folder: Path) -> Path:
    """Return a repository in *folder* with what is committed here."""
    path = folder / "source.git"
    command = ["git", "clone", "--quiet", "--bare", str(REPOSITORY), str(path)]
    subprocess.run(command, check=True)
    return path


def use_ports(
    machine: SystemdMachine,
    public: Address,
    internal: Address,
    *,
    grace: float,
    timeout: float,
) -> None:
    """Change, as an administrator would, ports and times of the installed site."""
    machine.run(
        f"""
        mkdir -p /etc/systemd/system/trip2g.socket.d
        printf '[Socket]\\nListenStream=\\nListenStream={public}\\n' \\
            >/etc/systemd/system/trip2g.socket.d/port.conf
        sed -i '/^INTERNAL_LISTEN_ADDR=/d' /etc/trip2g.env
        echo 'INTERNAL_LISTEN_ADDR={internal}' >>/etc/trip2g.env
        echo 'SHUTDOWN_GRACE_PERIOD={grace}s' >>/etc/trip2g.env
        echo 'SHUTDOWN_TIMEOUT={timeout}s' >>/etc/trip2g.env
        systemctl daemon-reload
        """
    )


class SystemdBluegreen(Row):
    """deploy/systemd as it is, on a machine of its own that shares the data."""

    name = "systemd-bluegreen"
    claim = Claim.KEEPS_ALL

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._public = Address("127.0.0.1", free_port())
        self._release = 1
        source = bare_clone(stage.folder)
        data = Path(stage.knobs["DATA_DIR"])
        self._machine = SystemdMachine([(source, SOURCE)], [(data, _DATA)])

    @classmethod
    def missing(cls) -> str | None:
        """Return what it takes to boot a machine and is not here."""
        return systemd_machine.missing() or missing_source()

    @property
    def target(self) -> Address:
        """The socket that systemd holds."""
        return self._public

    def start(self) -> None:
        """Boot the machine, install the site, deploy its first release."""
        machine = self.resources.enter_context(self._machine)
        machine.run(_INSTALL)
        use_ports(
            machine,
            self._public,
            Address("127.0.0.1", free_port()),
            grace=self.stage.grace,
            timeout=self.stage.timeout,
        )
        machine.run(f"{_DEPLOY} 1")
        machine.run(_COPY)

    def deploy(self) -> None:
        """Deploy the other release by the recipe's script."""
        self._release = 3 - self._release
        self._machine.run(f"{_DEPLOY} {self._release}")
