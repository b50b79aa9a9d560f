"""Where rows are played: a data directory with a vault in it, and how to start there."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from bench.exchange import connect
from bench.instance import REPOSITORY, SERVE, Instance, bare_environ
from bench.releases import Releases
from bench.waiting import free_port
from lifecycle.knobs import Address

_LOCATION = re.compile(r"<loc>\s*([^<\s]+)\s*</loc>")


class StageError(Exception):
    """The stage cannot be set; the message is what the command said."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """
    One data directory, and the knobs that all instances on it share.

    Attributes:
        folder: for the data and the logs; whoever made it removes it.
        grace: SHUTDOWN_GRACE_PERIOD, in seconds.
        timeout: SHUTDOWN_TIMEOUT, in seconds.
        command: what starts an instance.
        refresh: how often a load balancer asks a registry, in seconds.
        reload: whether a load balancer loads its configuration again, once.
        environ: further knobs.
        releases: where each instance gets its code; else all run this repository's.
    """

    folder: Path
    grace: float = 5.0
    timeout: float = 10.0
    refresh: float = 5.0
    reload: bool = False
    command: Sequence[str] = SERVE
    environ: tuple[tuple[str, str], ...] = ()
    releases: Releases | None = None

    @property
    def takes_writes(self) -> bool:
        """Whether instances here are the site's, with its API."""
        return tuple(self.command) == SERVE

    @property
    def database(self) -> Path:
        """The SQLite file of the site."""
        return self.folder / "data" / "trip2g.sqlite3"

    def make_token(self) -> str:
        """Return a new token of the API; for use while an instance runs, or none."""
        name = f"bench-{secrets.token_hex(4)}"
        return self._manage("token", "create", name).strip()

    @property
    def knobs(self) -> dict[str, str]:
        """The knobs, as variables."""
        return {
            "DATA_DIR": str(self.folder / "data"),
            "SHUTDOWN_GRACE_PERIOD": f"{self.grace}s",
            "SHUTDOWN_TIMEOUT": f"{self.timeout}s",
            "SIMPLE_BACKUP_ON_SHUTDOWN": "false",
            **dict(self.environ),
        }

    def instance(
        self,
        *,
        listener: socket.socket | None = None,
        public: Address | None = None,
        internal: Address | None = None,
        name: str = "instance",
        way: str = "bind",
    ) -> Instance:
        """
        Return an instance, not started: with *listener* inherited, or on *public*.

        *way* is its LISTENER in the second case.

        Its log is NAME-1.log in the stage's folder, the next one's NAME-2.log; its
        probes answer on *internal*, by default on a free port.
        """
        log = (
            self.folder / f"{name}-{1 + len([*self.folder.glob(f'{name}-*.log')])}.log"
        )
        log.touch()
        environ = dict(self.knobs)
        if listener is not None:
            environ["LISTENER"] = "inherit"
        if public is not None:
            environ["LISTENER"] = way
            environ["LISTEN_ADDR"] = str(public)
        return Instance(
            environ,
            log=log,
            internal=internal or Address("127.0.0.1", free_port()),
            listener=listener,
            command=self.command,
            code=self.releases.make_next() if self.releases else REPOSITORY,
        )

    def load_vault(self, vault: Path) -> str:
        """
        Put *vault* into the data directory; return the last line of the sync.

        Notes that cannot be read are left out, as the sync does.
        """
        self._manage("migrate", "--no-input", "--verbosity", "0")
        said = self._manage("sync_vault", str(vault), accepted=(0, 1))
        return said.strip().rpartition("\n")[2]

    def load_copy(self, data_dir: Path) -> None:
        """
        Put a copy of the site in *data_dir* here: its database and its attachments.

        It may be in use: SQLite's own backup makes the copy.
        """
        self.database.parent.mkdir(parents=True)
        source = data_dir / self.database.name
        with (
            contextlib.closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
            ) as original,
            contextlib.closing(sqlite3.connect(self.database)) as copy,
        ):
            original.backup(copy)
        if (data_dir / "attachments").is_dir():
            shutil.copytree(
                data_dir / "attachments", self.database.parent / "attachments"
            )

    def _manage(self, *arguments: str, accepted: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=bare_environ() | self.knobs,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in accepted:
            raise StageError(
                f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n"
                f"{done.stderr or done.stdout}"
            )
        return done.stdout


async def find_pages(
    target: Address, host: str = "localhost", ca: Path | None = None
) -> list[str]:
    """
    Return the paths of the sitemap, in order; *ca* as in `bench.exchange.connect`.

    Raises:
        LostError: it cannot be had.
        StageError: it names no page.
    """
    pages: dict[str, None] = {}
    maps = ["/sitemap.xml"]
    for path in maps:
        connection = await connect(target, host, ca)
        answer = await connection.get(path, host, close=True)
        await connection.end()
        if answer.status != 200:
            raise StageError(f"{path} answered {answer.status}")
        text = answer.body.decode()
        found = [
            urllib.parse.urlsplit(location.replace("&amp;", "&"))
            for location in _LOCATION.findall(text)
        ]
        paths = [one._replace(scheme="", netloc="").geturl() or "/" for one in found]
        if "<sitemapindex" in text:
            maps.extend(paths)
        else:
            pages.update(dict.fromkeys(paths))
    if not pages:
        raise StageError("The sitemap names no page.")
    return list(pages)
