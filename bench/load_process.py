"""The load in a process of its own, so that what starts instances does not slow it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from bench.load import Plan
from bench.report import Record, Report, read_records

REPOSITORY = Path(__file__).resolve().parent.parent


class LoadError(Exception):
    """The generator itself failed; the message is what it wrote."""


class LoadProcess:
    """
    A load that runs from `with` to `stop`.

    Entering returns when the first read has been answered, or lost.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.records: list[Record] = []
        """Every request, once stopped."""

    def __enter__(self) -> LoadProcess:
        self._folder = tempfile.TemporaryDirectory(prefix="load-")
        folder = Path(self._folder.name)
        self._records = folder / "records.csv"
        pages = folder / "pages"
        pages.write_text("\n".join(self.plan.pages), encoding="utf-8")
        self._errors = (folder / "errors").open("w+", encoding="utf-8")
        command = [
            *(sys.executable, "-m", "bench.load"),
            *("--target", str(self.plan.target)),
            *("--rate", str(self.plan.rate)),
            *("--pages", str(pages)),
            *("--grace", f"{self.plan.grace}s"),
            *("--timeout", f"{self.plan.timeout}s"),
            *("--host", self.plan.host),
            *("--write-share", str(self.plan.write_share)),
            *(["--only-new"] if self.plan.only_new else []),
            *("--first-write", str(self.plan.first_write)),
            *("--records", str(self._records)),
            *(("--ca", str(self.plan.ca)) if self.plan.ca else ()),
        ]
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            # Not a flag: a command line can be read by everybody.
            env=os.environ | {"BENCH_TOKEN": self.plan.token},
            stdout=subprocess.PIPE,
            stderr=self._errors,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            self._read_line()
        except BaseException:  # at a signal, too
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()
        self._folder.cleanup()

    def stop(self) -> Report:
        """
        End the schedule, wait for what is under way, and return the sums.

        Raises:
            LoadError: the generator died.
        """
        self._process.terminate()
        report = Report(**json.loads(self._read_line()))
        self._process.wait()
        self.records = read_records(self._records)
        return report

    def _read_line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise LoadError(
                f"The load ended with {self._process.returncode}: "
                f"{self._errors.read().strip() or 'no message'}"
            )
        return line
