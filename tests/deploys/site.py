"""The real site under writes: instances on one data directory and one socket."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shutil
import socket
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench.instance import Instance
from bench.load import Plan
from bench.load_process import LoadProcess
from bench.report import Report
from bench.stage import Stage
from bench.waiting import free_port
from bench.writes import reconcile
from lifecycle import peers
from lifecycle.knobs import Address
from tests.deploys import exclusive
from tests.deploys.scene import PATIENCE
from tests.notes.trees import write_tree
from tests.processes import wait_until

GUNICORN = ("-c", "gunicorn.conf.py")
HOLD_SECONDS = 30
HEALTHY = (sys.executable, "-m", "gunicorn", *GUNICORN)


def faulty(step: str) -> tuple[str, ...]:
    """Return what starts an instance of which a process dies, or stops, at *step*."""
    return (sys.executable, "-m", "tests.deploys.dying", step, *GUNICORN)


class Prepared:
    """A data directory with one note and a token, to be copied for each test."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(
            folder,
            grace=0.5,
            timeout=3.0,
            command=HEALTHY,
            environ=(
                ("DJANGO_SETTINGS_MODULE", "tests.deploys.chaos_settings"),
                # So long that a busy machine lets no write give up.
                ("WRITE_HOLD_TIMEOUT", f"{HOLD_SECONDS}s"),
            ),
        )
        vault = folder / "vault"
        write_tree(vault, {"index.md": "# Home\n"})
        self.stage.load_vault(vault)
        self.token = self.stage.make_token()


class Site:
    """Instances on one data directory and one socket, and the writes at it."""

    def __init__(
        self, folder: Path, listener: socket.socket, prepared: Prepared
    ) -> None:
        self.stage = dataclasses.replace(prepared.stage, folder=folder)
        shutil.copytree(prepared.stage.database.parent, self.stage.database.parent)
        self.token = prepared.token
        self.listener = listener
        self.run_dir = peers.RunDir(self.stage.database.parent)
        self.started = contextlib.ExitStack()
        self._loads = itertools.count()

    @property
    def data_dir(self) -> Path:
        """The data directory of all instances."""
        return self.stage.database.parent

    def start(
        self,
        step: str = "",
        *,
        apart: bool = False,
        release: str = "",
        knobs: Mapping[str, str] = MappingProxyType({}),
    ) -> Instance:
        """
        Start an instance of *release* with *knobs*, healthy or faulty at *step*.

        One that is *apart* has a port of its own: what it gets of the load's writes is
        forwarded to it.
        """
        stage = dataclasses.replace(
            self.stage,
            command=faulty(step) if step else HEALTHY,
            environ=(*self.stage.environ, ("RELEASE", release), *knobs.items()),
        )
        if apart:
            instance = stage.instance(public=Address("127.0.0.1", free_port()))
        else:
            instance = stage.instance(listener=self.listener)
        self.started.enter_context(instance)
        instance.start()
        return instance

    def load(self, rate: float = 20, write_share: float = 1.0) -> LoadProcess:
        """Return a load of *rate* pages a second, with so many writes for each."""
        host, port = self.listener.getsockname()[:2]
        return LoadProcess(
            Plan(
                Address(host, port),
                ["/"],
                rate=rate,
                grace=0.5,
                timeout=HOLD_SECONDS + 15,
                token=self.token,
                write_share=write_share,
                only_new=True,
                first_write=next(self._loads) * 1_000_000,
            )
        )

    def statuses(self) -> list[dict[str, object]]:
        """Return what each living instance that answers says of itself."""
        found = []
        for peer in peers.living(self.run_dir):
            with contextlib.suppress(OSError):
                found.append(peers.ask(self.run_dir, peer, "/status", timeout=1.0))
        return found

    def status(self, instance: Instance) -> dict[str, object]:
        """Return what *instance* says of itself."""
        return next(one for one in self.statuses() if one["pid"] == instance.pid)

    def writer(self) -> str:
        """Return the id of the instance that writes; '' for none."""
        writing = [one for one in self.statuses() if one["epoch"]]
        assert len(writing) <= 1
        return str(writing[0]["id"]) if writing else ""

    def move_slot(self, taker: Instance) -> None:
        """
        Let *taker* have the slot, as `handoff acquire` does.

        The holder cannot end its tenure while another thread of a worker that is
        frozen has SQLite's lock: it refuses, and is asked again.
        """
        ids = {peer.record["pid"]: peer for peer in peers.living(self.run_dir)}
        ask = peers.ask(self.run_dir, ids[taker.pid], "/identity")
        holder = self.writer()
        (peer,) = [peer for peer in ids.values() if peer.id == holder]
        refusals = []

        def is_given() -> bool:
            refusals.append(peers.post(self.run_dir, peer, "/slot", ask, timeout=20))
            return not refusals[-1]["refusal"] or bool(self.status(taker)["epoch"])

        try:
            wait_until(is_given, PATIENCE, "the slot", interval=0.5)
        except TimeoutError as exc:
            raise AssertionError(refusals) from exc

    def rows(self) -> list[tuple[int, int]]:
        """Return (sequence, epoch) of every change, in order."""
        with contextlib.closing(sqlite3.connect(self.stage.database)) as connection:
            return connection.execute(
                "SELECT sequence, epoch FROM notes_change ORDER BY sequence"
            ).fetchall()

    def check(self, load: LoadProcess, *, clash: bool = False) -> Report:
        """
        Stop the load: nothing acknowledged is missing, and epochs only grew.

        Nor did writer subsystems run in two instances at once, unless they may *clash*.
        """
        report = load.stop()
        found = reconcile(self.stage.database, report.acknowledged)
        assert found.lost == []
        assert found.duplicated == []
        epochs = [epoch for _, epoch in self.rows()]
        assert epochs == sorted(epochs)
        assert report.acknowledged
        assert exclusive.has_run(self.data_dir)
        assert clash or not exclusive.has_clashed(self.data_dir)
        return report
