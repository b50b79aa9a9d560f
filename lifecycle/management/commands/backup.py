"""manage.py backup: make backups, look at them, and bring one back."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from lifecycle import gate
from lifecycle.backup import (
    creating,
    drill,
    manifest,
    pruning,
    restoring,
    site,
    verifying,
    workplace,
)
from lifecycle.backup.errors import BackupError
from lifecycle.backup.store import Store


class Command(BaseCommand):
    """Make a backup, list, verify, restore, prune, or try a restore."""

    help = "Make a backup, list, verify, restore or prune them, or rehearse a restore."
    requires_system_checks = []  # noqa: RUF012 - Django's own attribute
    _bar: tqdm[Any] | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the actions."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, text in (
            ("create", "back the site up now, beside a living instance or without one"),
            ("list", "the backups of this site, the newest first"),
            ("verify", "read a backup and check all of it; exit 1 when it is damaged"),
            ("restore", "bring the newest backup that verifies back"),
            ("prune", "remove what is older than what is to be kept"),
            ("drill", "restore into a folder that is then removed, and compare"),
        ):
            action = actions.add_parser(name, help=text, description=text)
            # What was given before the action must not be undone by a default here.
            action.add_argument(
                "--json",
                action="store_true",
                default=argparse.SUPPRESS,
                help="print JSON",
            )
            getattr(self, f"_add_to_{name}", lambda _: None)(action)

    def _add_to_create(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--reason", default="command", help=argparse.SUPPRESS)
        parser.add_argument(
            "--wait",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="for a backup that is at work, before exit 3 (default 0)",
        )

    def _add_to_list(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--site", default="", metavar="ID", help="of another site")

    def _add_to_verify(self, parser: argparse.ArgumentParser) -> None:
        self._add_choice(parser)
        parser.add_argument(
            "--all", action="store_true", help="every backup, not only the newest"
        )

    def _add_to_drill(self, parser: argparse.ArgumentParser) -> None:
        self._add_choice(parser)

    def _add_to_prune(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be removed"
        )

    def _add_to_restore(self, parser: argparse.ArgumentParser) -> None:
        self._add_choice(parser)
        parser.add_argument(
            "--move-aside",
            action="store_true",
            help="first move the database that is here to DATA_DIR/replaced",
        )
        parser.add_argument(
            "--into",
            type=Path,
            metavar="DIR",
            help="restore into this empty folder instead; the site goes on",
        )

    def _add_choice(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--site", default="", metavar="ID", help="of which site")
        parser.add_argument(
            "--at",
            default=None,
            metavar="TIME",
            help="the one of that name from the list, or the newest of that time "
            "(ISO 8601) or before",
        )

    def handle(self, *, action: str, **options: Any) -> None:
        """Run the action."""
        gate.set_authority(gate.NoAuthority())
        self._as_json = options["json"]
        self._verbosity: int = options["verbosity"]
        at = options.get("at")
        try:
            options["at"] = None if at is None else manifest.parse_at(at)
        except ValueError as exc:
            raise CommandError(
                f"--at {at!r} is not a time: give a name from `backup list`, or ISO "
                "8601 as '2026-07-31T03:00'.",
                returncode=2,
            ) from exc
        try:
            getattr(self, f"_{action}")(options)
        except BackupError as exc:
            raise CommandError(str(exc), returncode=exc.returncode) from exc
        finally:
            self._close_bar()

    # -- the actions ----------------------------------------------------------

    def _create(self, options: dict[str, Any]) -> None:
        made = creating.create(options["reason"], self._progress, options["wait"])
        self._say(
            f"{made.name}: {_megabytes(made.stored_bytes)}, {made.file_count} files, "
            f"{made.seconds:.1f} s",
            made,
        )

    def _list(self, options: dict[str, Any]) -> None:
        store = Store()
        wanted = options["site"] or site.current()
        found = []
        for each in [wanted] if wanted else store.sites():
            for name in store.names(each):
                try:
                    made = store.manifest(each, name)
                    found.append({**dataclasses.asdict(made), "problem": ""})
                except BackupError as exc:
                    found.append({"site": each, "name": name, "problem": str(exc)})
        if self._as_json:
            self._print_json(found)
            return
        for row in found:
            self.stdout.write(
                f"{row['site']}  {row['name']}  {row['problem']}"
                if row["problem"]
                else f"{row['site']}  {row['name']}  "
                f"{_megabytes(row['database']['stored_size'])}  "
                f"{row['file_count']} files  {row['reason']}"
            )
        if not found:
            self.stdout.write(f"No backup in {store}.")

    def _verify(self, options: dict[str, Any]) -> None:
        results = verifying.verify(
            self._progress,
            at=options["at"],
            site=options["site"],
            every=options["all"],
        )
        if self._as_json:
            self._print_json(
                [{"name": name, "problem": problem} for name, problem in results]
            )
        else:
            for name, problem in results:
                self.stdout.write(f"{name}: {problem or 'good'}")
        if any(problem for _, problem in results):
            raise SystemExit(1)

    def _restore(self, options: dict[str, Any]) -> None:
        at, wanted, into = options["at"], options["site"], options["into"]
        if into is not None:
            restored = restoring.restore_into(into, self._progress, at=at, site=wanted)
        else:
            with restoring.alone():
                restored = restoring.restore(
                    self._progress,
                    at=at,
                    site=wanted,
                    move_aside=options["move_aside"],
                )
        self._report(restored)
        if restored.lost:
            raise CommandError(
                f"The database is restored; {len(restored.lost)} files are not.",
                returncode=1,
            )

    def _report(self, restored: restoring.Restored, **facts: Any) -> None:
        if self._as_json:
            self._print_json(
                {
                    "name": restored.manifest.name,
                    "skipped": restored.skipped,
                    "files": restored.files,
                    "lost": restored.lost,
                    "seconds": round(restored.seconds, 3),
                    "aside": str(restored.aside) if restored.aside else None,
                    **facts,
                }
            )
            return
        for line in (*restored.skipped, *restored.lost):
            self.stderr.write(line)
        if restored.aside:
            self.stdout.write(f"What was here is now in {restored.aside}.")
        age = datetime.datetime.now(datetime.UTC).timestamp()
        age -= restored.manifest.created_at
        self.stdout.write(
            f"{restored.manifest.name} restored: the database of {age / 60:.0f} minutes "
            f"ago, {restored.files} files, in {restored.seconds:.1f} s."
        )

    def _prune(self, options: dict[str, Any]) -> None:
        here = site.current()
        if not here:
            self._say("This data directory has no backup.", {"removed": []})
            return
        with workplace.opened() as work:
            store = Store()
            if options["dry_run"]:
                names = pruning.Plan(store, here).names
            else:
                names = pruning.prune(store, here, work)
        verb = "would be removed" if options["dry_run"] else "removed"
        self._say("\n".join([*names, f"{len(names)} {verb}."]), {"removed": names})

    def _drill(self, options: dict[str, Any]) -> None:
        restored, counts = drill.drill(
            self._progress, at=options["at"], site=options["site"]
        )
        if not self._as_json:
            width = max((len(count.what) for count in counts), default=0)
            for count in counts:
                difference = count.live - count.restored
                self.stdout.write(
                    f"{count.what.ljust(width)}  {count.restored:>9} restored  "
                    f"{count.live:>9} now  {difference:+d}"
                    if difference
                    else f"{count.what.ljust(width)}  {count.restored:>9} restored  "
                    f"{count.live:>9} now"
                )
        self._report(restored, counts=[dataclasses.asdict(count) for count in counts])

    # -- printing -------------------------------------------------------------

    def _progress(self, what: str, done: int, total: int) -> None:
        """Show how far it is, to a person at a terminal."""
        if self._verbosity < 1 or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = tqdm(unit_scale=True, leave=False)
        self._bar.set_description(what)
        self._bar.total = total or None
        self._bar.n = done
        self._bar.refresh()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say(self, text: str, facts: Any) -> None:
        if self._as_json:
            made = isinstance(facts, manifest.Manifest)
            self._print_json(dataclasses.asdict(facts) if made else facts)
        elif self._verbosity > 0:
            self.stdout.write(text)

    def _print_json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, indent=2))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
