"""The bare server of the manual, on a machine with a real systemd."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
from pathlib import Path

from bench.rows.systemd_bluegreen import SOURCE, use_ports
from bench.systemd_machine import SystemdMachine
from tests.deploys.scene import free_address, get
from tests.documents import MANUAL, code_blocks, section

PAGE = MANUAL / "systemd.md"
_PUBLISHED_SOURCE = "https://git.example.org/trip2g-django.git"
# Installing takes a minute of a busy machine; the first deploy shows that it works,
# and in a soak all of them do.
_GIVE_PACKAGES = """\
cd /opt/trip2g/releases
[ -e {0}/.venv ] || [ ! -e 1/.venv ] || cp --archive --link 1/.venv {0}/
trip2g-deploy {0}"""


class BareServer:
    """
    What the manual's commands have made, and what is seen of it.

    Attributes:
        public: where readers come, in place of port 80.
        internal: where the probes answer, in place of 8081.
    """

    def __init__(self, machine: SystemdMachine) -> None:
        self.machine = machine
        self.public = free_address()
        self.internal = free_address()

    def commands(self, heading: str) -> list[str]:
        """Return the shell blocks under *heading*, with this server's ports and source."""
        blocks = code_blocks(section(PAGE.read_text(), f"## {heading}"))
        return [
            self._adapt("\n".join(block.lines))
            for block in blocks
            if block.info == "sh"
        ]

    def _adapt(self, script: str) -> str:
        script = script.replace(_PUBLISHED_SOURCE, f"file://{SOURCE}")
        script = script.replace("localhost:8081", str(self.internal))
        script = script.replace("http://localhost/", f"http://{self.public}/")
        if os.environ.get("SOAK"):
            return script
        return re.sub(
            r"^trip2g-deploy (\S+)$",
            lambda command: _GIVE_PACKAGES.format(command[1]),
            script,
            flags=re.MULTILINE,
        )

    def do(self, heading: str) -> str:
        """Run what the manual has under *heading*; return what it prints."""
        return "".join(self.machine.run(one).stdout for one in self.commands(heading))

    def use_own_ports(self) -> None:
        """Change, as an administrator would, what two machines here would fight over."""
        use_ports(self.machine, self.public, self.internal, grace=1.0, timeout=2.0)

    @property
    def database(self) -> Path:
        """The SQLite file of the site."""
        return self.machine.root / "var/lib/trip2g/trip2g.sqlite3"

    def said(self) -> str:
        """Return the end of what the colours have logged, but for requests."""
        return self.machine.run(
            "journalctl --unit 'trip2g@*' --output short-precise --no-pager"
            " | grep -v event=request | tail --lines 300"
        ).stdout

    def deploy(self, release: str) -> subprocess.CompletedProcess[str]:
        """Deploy *release*, however that ends."""
        return self.machine.run(f"trip2g-deploy {release}", check=False)

    def show(self, unit: str, name: str) -> str:
        """Return a property of *unit*, as systemd has it."""
        return self.machine.run(
            f"systemctl show --property={name} --value {unit}"
        ).stdout.strip()

    @property
    def enabled(self) -> list[str]:
        """The colours that start at boot."""
        return [
            colour
            for colour in ("blue", "green")
            if self.machine.run(
                f"systemctl is-enabled trip2g@{colour}", check=False
            ).stdout.strip()
            == "enabled"
        ]

    @property
    def active(self) -> list[str]:
        """The colours that are ready, as systemd has it."""
        return [
            colour
            for colour in ("blue", "green")
            if self.show(f"trip2g@{colour}", "ActiveState") == "active"
        ]

    @property
    def colour(self) -> str:
        """The one colour that runs and is enabled."""
        (colour,) = self.active
        assert self.enabled == [colour]
        return colour

    @property
    def other(self) -> str:
        """The colour that rests."""
        return "green" if self.colour == "blue" else "blue"

    @property
    def release(self) -> str:
        """The name of the release that the colour is of."""
        link = f"/opt/trip2g/{self.colour}"
        return self.machine.run(f"basename $(readlink {link})").stdout.strip()

    def read(self, timeout: float = 30.0) -> bytes:
        """Return the home page; a reader waits for it in the kernel's queue."""
        response, body = get(self.public, timeout=timeout)
        assert response.status == http.client.OK
        return body
