"""sync_vault: make the site what a folder of notes is."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from notes.complaints import complaint
from notes.conf import conf
from notes.models import Attachment, Change, Note
from notes.sync import SyncReport, sync_vault
from notes.vault import compile_exclude, open_vault


class Command(BaseCommand):
    """
    Parses and prints; `notes.sync` does the work, where the writer is.

    Exit codes: 0 done; 1 failed, or done but for some files that were skipped;
    2 the vault or a glob is bad; 3 not now.
    """

    help = "Makes the site what the vault in DIR is. Only what changed is written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", metavar="DIR", type=_folder, help="the vault")
        parser.add_argument(
            "--delete",
            action="store_true",
            help="also when more than 10 notes and more than 20 %% of them would go",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="write nothing, and print what would be written",
        )
        parser.add_argument(
            "--exclude",
            metavar="GLOB",
            action="append",
            help="leave these files out, as in a .gitignore; may be repeated; "
            f"default: the setting, {' '.join(conf.exclude) or 'none'}",
        )
        parser.add_argument(
            "--if-empty",
            action="store_true",
            help="do nothing when something has been brought in before",
        )
        parser.add_argument(
            "--json", action="store_true", help="print the report as JSON"
        )

    def handle(
        self,
        *,
        directory: Path,
        delete: bool,
        dry_run: bool,
        exclude: list[str] | None,
        **options: Any,
    ) -> None:
        """
        Sync, and print a line for each file that was skipped, and the summary.

        Raises:
            CommandError: nothing was written, or with *dry_run* would be.
            SystemExit: with 1, when files were skipped.
        """
        as_json: bool = options["json"]
        globs = tuple(conf.exclude if exclude is None else exclude)
        bar = _Bar(is_shown=not as_json and self.stderr.isatty())
        try:
            # The writer may be another process: what is wrong with the words of
            # the command line is said without it.
            open_vault(directory)
            compile_exclude(globs)
            if options["if_empty"] and not _is_empty():
                return
            if dry_run:
                report = sync_vault(
                    directory,
                    exclude=globs,
                    delete=delete,
                    dry_run=True,
                    progress=bar.show,
                )
            else:
                params = {
                    "directory": str(directory.absolute()),
                    "exclude": list(globs),
                    "delete": delete,
                }
                result = conf.run_as_writer("sync_vault", params, bar.show)
                report = SyncReport.from_dict(result)
        except Exception as exc:
            raise complaint(exc) from exc
        finally:
            bar.close()
        if as_json:
            self.stdout.write(json.dumps(report.as_dict(), ensure_ascii=False))
        else:
            self._print(report)
        if report.refusal:
            raise CommandError(report.refusal, returncode=3)
        if report.skipped:
            # A CommandError would print one more line after the summary, which
            # is to be the last.
            sys.exit(1)

    def _print(self, report: SyncReport) -> None:
        for verb, path in report.touched:
            self.stdout.write(f"{verb} {path}")
        for path, reason in report.skipped:
            self.stdout.write(f"skipped {path}: {reason}")
        self.stdout.write(report.summary())


def _folder(text: str) -> Path:
    """Return *text* as a path; '' is none, though it would be the current folder's."""
    if not text:
        raise ArgumentTypeError("it is empty")
    return Path(text)


def _is_empty() -> bool:
    """Return whether nothing was ever brought in: what was emptied is not empty."""
    return not any(model.objects.exists() for model in (Note, Attachment, Change))


class _Bar:
    """A progress bar on standard error, one after another for each phase."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._phase = ""
        self._bar: tqdm[Any] | None = None

    def show(self, state: dict[str, Any]) -> None:
        if not self._is_shown:
            return
        if self._bar is None or state["phase"] != self._phase:
            self.close()
            self._phase = state["phase"]
            self._bar = tqdm(
                desc=self._phase, total=state["total"], unit="file", leave=False
            )
        self._bar.total = state["total"]
        self._bar.n = state["done"]
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
