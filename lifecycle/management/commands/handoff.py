"""manage.py handoff: look at the writer slot, and move it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from lifecycle import database, epochs, gate, locks, peers, schema, timeline
from lifecycle.conf import conf
from lifecycle.phases import Phase
from lifecycle.slot import WriterSlot

_MOVE_TIMEOUT = 20.0


class Command(BaseCommand):
    """Show who holds the writer slot, move it, retire an instance, judge migrations."""

    help = "Show the instances and the writer slot, move the slot, retire an instance."
    requires_system_checks = []  # noqa: RUF012 - Django's own attribute

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the actions."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, text, takes_id in (
            ("status", "all instances of this data directory, and the slot", False),
            (
                "acquire",
                "let instance ID (else the youngest standby) take the slot",
                True,
            ),
            ("release", "let the holder give the slot to the youngest standby", False),
            ("retire", "ask instance ID (else the eldest standby) to drain", True),
            ("wait", "wait until the instance of process PID is ready", False),
            ("history", "deploys as timelines", False),
            (
                "check",
                "verdict on the pending migrations; exit 1 on a breaking one",
                False,
            ),
        ):
            action = actions.add_parser(name, help=text, description=text)
            # What was given before the action must not be undone by a default here.
            action.add_argument(
                "--json",
                action="store_true",
                default=argparse.SUPPRESS,
                help="print JSON",
            )
            if takes_id:
                action.add_argument("id", nargs="?", default="", metavar="ID")
            if name == "wait":
                action.add_argument("id", metavar="PID", help="of the gunicorn master")
                action.add_argument(
                    "--timeout",
                    type=float,
                    default=60.0,
                    metavar="SECONDS",
                    help="give up after this long, exit 3 (default 60)",
                )

    def handle(self, *, action: str, **options: Any) -> None:
        """Run the action."""
        gate.set_authority(gate.NoAuthority())
        self._as_json = options["json"]
        self._timeout: float = options.get("timeout", _MOVE_TIMEOUT)
        self._run_dir = peers.RunDir(conf.data_dir)
        getattr(self, f"_{action}")(options.get("id", ""))

    # -- looking --------------------------------------------------------------

    def _statuses(self) -> list[dict[str, Any]]:
        """Return what each living instance says; one that is silent is marked."""
        found = []
        for peer in peers.living(self._run_dir):
            try:
                found.append(peers.ask(self._run_dir, peer, "/status"))
            except OSError:
                found.append({"id": peer.id, **peer.record, "phase": "silent"})
        return found

    def _status(self, _: str) -> None:
        statuses = self._statuses()
        last = None
        unfit = ""
        if database.exists():  # looking must not make one
            try:
                connection.ensure_connection()
                last = epochs.last()
            except DatabaseError as exc:
                unfit = str(exc)
        # The row says who took it, and the lock whether somebody has it: perhaps one
        # that has not begun, while the row still names another, which was killed.
        is_held = locks.is_locked(WriterSlot(conf.data_dir, "").path)
        # Of a database that cannot be read, nothing is known.
        slot = (
            None
            if unfit
            else {
                "epoch": last.epoch if last else 0,
                "holder": last.holder
                if last and is_held and _lives(last.holder, statuses)
                else "",
                "last": last.taken_by if last else "",
                "since": last.since if last else None,
            }
        )
        if self._as_json:
            self._print_json({"slot": slot, "instances": statuses})
        else:
            self._tell(slot, statuses)
        if unfit:
            raise CommandError(unfit)

    def _tell(
        self, slot: Mapping[str, Any] | None, statuses: list[dict[str, Any]]
    ) -> None:
        if slot is not None:
            nobody = "nobody holds the slot"
            if slot["last"]:
                nobody += f"; last: {slot['last']}"
            self.stdout.write(
                f"writer slot: epoch {slot['epoch']}, "
                + (f"held by {slot['holder']}" if slot["holder"] else nobody)
            )
        self._table(
            [
                "id",
                "phase",
                "slot",
                "version",
                "pid",
                "public",
                "internal",
                "held",
                "forwarded",
            ],
            [
                [
                    status["id"],
                    _phase(status),
                    "holds" if status.get("epoch") else "",
                    status.get("version", ""),
                    status.get("pid", ""),
                    status.get("public", ""),
                    status.get("internal", ""),
                    status.get("writes_held", ""),
                    status.get("writes_forwarded", ""),
                ]
                for status in statuses
            ],
        )

    def _history(self, _: str) -> None:
        # Looked for twice: one may end, and another begin, while the file is read.
        living = self._statuses()
        lines = timeline.read(conf.data_dir)
        living += [{"id": peer.id} for peer in peers.living(self._run_dir)]
        found = timeline.deploys(lines, living)
        if self._as_json:
            self._print_json(found)
            return
        self._table(
            [
                "started",
                "instance",
                "version",
                "phases",
                "epochs",
                "held",
                "forwarded",
                "longest hold",
            ],
            [
                [
                    time.strftime(
                        "%Y-%m-%d %H:%M:%S", time.localtime(deploy["started_at"])
                    ),
                    deploy["instance"],
                    deploy["version"],
                    _phases(deploy),
                    ",".join(map(str, deploy["epochs"])),
                    deploy["writes_held"],
                    deploy["writes_forwarded"],
                    f"{deploy['longest_hold_ms']} ms",
                ]
                for deploy in found
            ],
        )

    def _check(self, _: str) -> None:
        try:
            database.check()
            verdicts = schema.pending() if database.exists() else []
        except database.DatabaseUnfitError as exc:
            raise CommandError(str(exc), returncode=1) from exc
        except database.DatabaseError as exc:
            raise CommandError(str(database.unfit(exc)), returncode=1) from exc
        if self._as_json:
            self._print_json(
                [
                    {
                        "migration": v.name,
                        "compatible": v.is_compatible,
                        "reasons": v.reasons,
                    }
                    for v in verdicts
                ]
            )
        else:
            for verdict in verdicts:
                self.stdout.write(str(verdict))
            if not verdicts:
                self.stdout.write("No migration is pending.")
        if not all(verdict.is_compatible for verdict in verdicts):
            raise SystemExit(1)

    # -- moving ---------------------------------------------------------------

    def _acquire(self, wanted: str) -> None:
        self._move(wanted)

    def _release(self, _: str) -> None:
        self._move("")

    def _move(self, wanted: str) -> None:
        """Let the holder release the slot to *wanted*, or to the youngest standby."""
        statuses = self._statuses()
        holder = next((s for s in statuses if s.get("epoch")), None)
        if holder is None:
            raise CommandError(
                "No living instance holds the writer slot.", returncode=3
            )
        if holder["id"] == wanted:
            self._say(f"{wanted} holds the writer slot already", holder=wanted)
            return
        standbys = [s for s in statuses if s["phase"] == "standby"]
        taker = next(
            (s for s in reversed(standbys) if s["id"] == (wanted or s["id"])), None
        )
        if taker is None:
            raise CommandError(
                f"No instance {wanted} stands by."
                if wanted
                else "No other instance stands by: nobody could take the writer slot.",
                returncode=3,
            )
        living = {peer.id: peer for peer in peers.living(self._run_dir)}
        try:
            identity = peers.ask(self._run_dir, living[taker["id"]], "/identity")
            answer = peers.post(
                self._run_dir,
                living[holder["id"]],
                "/slot",
                identity,
                timeout=_MOVE_TIMEOUT,
            )
        except (OSError, KeyError) as exc:
            raise CommandError(
                f"The instances gave no answer: {exc}.", returncode=1
            ) from exc
        if answer["refusal"]:
            raise CommandError(
                f"{holder['id']} keeps the writer slot: {answer['refusal']}.",
                returncode=3,
            )
        self._await_holder(taker["id"])

    def _await_holder(self, taker: str) -> None:
        deadline = time.monotonic() + _MOVE_TIMEOUT
        while time.monotonic() < deadline:
            if any(s["id"] == taker and s.get("epoch") for s in self._statuses()):
                self._say(f"{taker} holds the writer slot", holder=taker)
                return
            time.sleep(0.05)
        raise CommandError(
            f"{taker} was given the writer slot and has not taken it yet; "
            "see: manage.py handoff status",
            returncode=1,
        )

    def _wait(self, pid: str) -> None:
        """Wait until the instance whose master is *pid* holds the slot and serves."""
        deadline = time.monotonic() + self._timeout
        while True:
            mine = [s for s in self._statuses() if str(s.get("pid")) == pid]
            if any(status["phase"] == "ready" for status in mine):
                self._say(f"{mine[0]['id']} is ready", ready=str(mine[0]["id"]))
                return
            if not Path(f"/proc/{pid}").exists():
                raise CommandError(
                    f"Process {pid} has ended; its log says why.", returncode=1
                )
            if time.monotonic() >= deadline:
                states = "".join(f": {_phase(status)}" for status in mine)
                raise CommandError(
                    f"Process {pid} is not ready after {self._timeout:g} s{states}.",
                    returncode=3,
                )
            time.sleep(0.1)

    def _retire(self, wanted: str) -> None:
        statuses = self._statuses()
        candidates = (
            [s for s in statuses if s["id"] == wanted]
            if wanted
            else [s for s in statuses if s["phase"] == "standby"]
        )
        if not candidates:
            raise CommandError(
                f"No instance {wanted} lives here."
                if wanted
                else "No instance stands by; name the one to drain.",
                returncode=3,
            )
        living = {peer.id: peer for peer in peers.living(self._run_dir)}
        chosen = candidates[0]["id"]
        try:
            peers.post(self._run_dir, living[chosen], "/retire", {}, timeout=5.0)
        except (OSError, KeyError) as exc:
            raise CommandError(
                f"{chosen} gave no answer: {exc}.", returncode=1
            ) from exc
        self._say(f"{chosen} drains", retired=chosen)

    # -- printing -------------------------------------------------------------

    def _say(self, text: str, **facts: str) -> None:
        if self._as_json:
            self._print_json(facts)
        else:
            self.stdout.write(text)

    def _print_json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, indent=2))

    def _table(self, heads: list[str], rows: list[list[Any]]) -> None:
        cells = [heads, *[[str(cell) for cell in row] for row in rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
        for row in cells:
            line = "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))
            self.stdout.write(line.rstrip())


def _lives(holder: str, statuses: list[dict[str, Any]]) -> bool:
    """Return whether *holder* may hold the slot: an instance that lives, or a command."""
    return " " in holder or any(status["id"] == holder for status in statuses)


def _phase(status: Mapping[str, Any]) -> str:
    """Return what the table says of an instance's phase, and how far its warmup is."""
    text = f"{status['phase']} {status.get('phase_seconds', 0):.0f}s"
    if status["phase"] == Phase.WARMING.value and status.get("progress"):
        text += f": {status['progress']}"
    return text


def _phases(deploy: Mapping[str, Any]) -> str:
    """Return what the table of history says of a deploy's phases."""
    told = [
        phase["phase"] + (f" {phase['seconds']:.1f}s" if "seconds" in phase else "")
        for phase in deploy["phases"]
    ]
    if not deploy["lives"] and told[-1] != Phase.STOPPED.value:
        told.append("died")
    return " > ".join(told)
