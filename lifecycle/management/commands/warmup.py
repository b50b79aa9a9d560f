"""manage.py warmup: build ahead what a start would build."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from lifecycle import database, gate, peers, schema
from lifecycle.conf import conf
from lifecycle.exceptions import LifecycleError
from lifecycle.warmup import WarmupContext, run_tasks


class Command(BaseCommand):
    """Run the warmup tasks and say what they did."""

    help = "Build what can be built ahead of a start; --check renders everything."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --check and --json."""
        parser.add_argument(
            "--check",
            action="store_true",
            help="report every problem, a line each; exit 1 when there is one",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *, check: bool, json: bool, **options: Any) -> None:
        """Run the tasks, print a summary."""
        began = time.monotonic()
        gate.set_authority(gate.NoAuthority())
        try:
            database.check()
            if not database.exists():
                raise CommandError(
                    f"There is no database at {conf.database_path}. "
                    "Run: python manage.py migrate",
                    returncode=1,
                )
            with contextlib.ExitStack() as stack:
                pending = [verdict.name for verdict in schema.pending()]
                if pending:
                    # As a start does: new code may read what only they make.
                    folder = tempfile.TemporaryDirectory(dir=conf.data_dir)
                    copy = Path(stack.enter_context(folder)) / "rehearsal"
                    stack.enter_context(database.rehearsed(copy, pending))
                bar = not json and self.stderr.isatty()
                figures, problems = self._warm(check, bar=bar)
        except LifecycleError as exc:
            raise CommandError(str(exc), returncode=1) from exc
        except database.DatabaseError as exc:
            raise CommandError(str(database.unfit(exc)), returncode=1) from exc
        seconds = time.monotonic() - began
        self._print(figures, problems, seconds, check=check, as_json=json)
        if problems:
            raise SystemExit(1)

    def _warm(self, check: bool, *, bar: bool) -> tuple[dict[str, Any], list[str]]:
        figures: dict[str, Any] = {}
        problems: list[str] = []
        with tqdm(disable=not bar, file=self.stderr, unit="") as progress:

            def report(done: int, total: int, what: str) -> None:
                progress.total, progress.desc = total, what
                progress.update(done - progress.n)

            context = WarmupContext(
                report,
                has_peers=bool(peers.living(peers.RunDir(conf.data_dir))),
                check=check,
            )
            for _, answer, _ in run_tasks(context):
                if isinstance(answer, dict):
                    figures.update(answer)
                elif answer:
                    problems.extend(answer)
        return figures, problems

    def _print(
        self,
        figures: dict[str, Any],
        problems: list[str],
        seconds: float,
        *,
        check: bool,
        as_json: bool,
    ) -> None:
        if as_json:
            self.stdout.write(
                _json(
                    {
                        "figures": figures,
                        "problems": problems,
                        "seconds": round(seconds, 3),
                    }
                )
            )
            return
        for problem in problems:
            self.stdout.write(problem)
        shown = ", ".join(f"{value} {name}" for name, value in figures.items())
        if check:
            shown = f"{len(problems)} problems"
        self.stdout.write(f"warm in {seconds:.2f} s" + (f": {shown}" if shown else ""))


def _json(value: object) -> str:
    return json.dumps(value)
