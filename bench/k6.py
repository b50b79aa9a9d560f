"""
Count by k6 what a row loses: a second opinion on bench/deploys.py.

    python bench/k6.py --row haproxy --rate 100 --seconds 120

Nothing of what counts is this project's: k6 sends and judges. It opens a connection
for each request, and pages come without what they need.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # as a program: modules are found from the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import asyncio
import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Sequence

from bench import machine, programs, rows
from bench.exchange import LostError
from bench.instance import REPOSITORY, InstanceError, bare_environ
from bench.program import ProgramError
from bench.releases import Releases
from bench.rows.row import Row
from bench.stage import Stage, StageError, find_pages

_SCRIPT = REPOSITORY / "bench" / "k6.js"


class K6Error(Exception):
    """k6 did not run to its end; the message is what it wrote."""


@dataclasses.dataclass(frozen=True)
class Count:
    """
    What k6 counted while *deploys* deploys went on.

    Attributes:
        not_sent: reads that were due, but k6 had no client free to send them.
    """

    deploys: int
    reads_kept: int
    reads_lost: int
    writes_kept: int
    writes_lost: int
    not_sent: int


def count(row: Row, *, rate: int, seconds: int, folder: Path) -> Count:
    """
    Deploy again and again while k6 reads *rate* pages a second for *seconds*.

    Raises:
        K6Error: k6 could not.
    """
    with row:
        row.start()
        pages = folder / "pages.json"
        pages.write_text(json.dumps(asyncio.run(find_pages(row.target))))
        # Not flags: a command line can be read by everybody.
        environ = {
            "URL": f"http://localhost:{row.target.port}",
            "RATE": str(rate),
            "SECONDS": str(seconds),
            "PAGES": str(pages),
            "TOKEN": row.make_token(),
        }
        command = [programs.get("k6"), "run", "--quiet", "--no-color"]
        with (folder / "k6.log").open("w+") as log:
            process = subprocess.Popen(
                [*command, "--no-usage-report", "--address=", str(_SCRIPT)],
                env=bare_environ() | environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            deploys = 0
            try:
                while process.poll() is None:
                    row.deploy()
                    deploys += 1
                said, _ = process.communicate()
            finally:
                process.kill()
                process.wait()
            log.seek(0)
            errors = log.read()
    if process.returncode != 0:
        raise K6Error(f"k6 ended with {process.returncode}:\n{errors}")
    print(errors, end="", file=sys.stderr)
    return Count(deploys, **json.loads(said))


def to_markdown(name: str, rate: int, counted: Count, head: Sequence[str]) -> str:
    """Return the table."""
    values = dataclasses.asdict(counted)
    columns = ("row", "pages/s", *(key.replace("_", " ") for key in values))
    cells = (name, rate, *values.values())
    return "\n".join(
        [
            *machine.title("Deploys as k6 counts them"),
            "k6, which knows nothing of this project, reads pages of a row of "
            "[[benchmarks/deploys|Deploys under load]] and writes a note for every ten, "
            "a new connection each, while instances replace one another. What is not "
            "answered with success within 15 s is lost.",
            *("", *head, ""),
            "| " + " | ".join(columns) + " |",
            "| --- |" + " ---: |" * (len(columns) - 1),
            "| " + " | ".join(map(str, cells)) + " |",
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Count as the command line says; return 1 when something was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--row", default="haproxy", choices=sorted(rows.ROWS))
    parser.add_argument("--rate", type=int, default=100, help="pages a second (100)")
    parser.add_argument("--seconds", type=int, default=120, help="of load (120)")
    parser.add_argument("--vault", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--markdown", type=Path, help="write the table here, too")
    options = parser.parse_args(arguments)
    if min(options.rate, options.seconds) < 1:
        parser.error("--rate and --seconds must be above 0")
    why = programs.missing("k6") or rows.why_skipped(options.row)
    if why is not None:
        print(why, file=sys.stderr)
        return 1
    version = subprocess.run(
        [programs.get("k6"), "version"], check=True, capture_output=True, text=True
    )
    head = machine.describe(machine.command_line(), ("Django", "gunicorn"))
    head.append(f"- {version.stdout.strip()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stage = Stage(folder, releases=Releases(folder))
        try:
            stage.load_vault(options.vault)
            row = rows.ROWS[options.row](stage)
            counted = count(
                row, rate=options.rate, seconds=options.seconds, folder=folder
            )
        except (InstanceError, K6Error, LostError, ProgramError, StageError) as exc:
            print(exc, file=sys.stderr)
            return 1
    table = to_markdown(options.row, options.rate, counted, head)
    print(table, end="")
    if options.markdown is not None:
        options.markdown.write_text(table, encoding="utf-8")
    return 1 if counted.reads_lost or counted.writes_lost else 0


if __name__ == "__main__":
    sys.exit(main())
