"""
Replace instances under load, a row after another, and count what was lost.

    python bench/deploys.py --row systemd-restart --deploys 10 --rate 200 --json FILE

Each row starts a first instance on a data directory of its own with a vault in it,
sends an open load at its public port, and deploys again and again. The table goes
to standard output as Markdown.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

if __name__ == "__main__":  # as a program: modules are found from the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import contextlib
import dataclasses
import json
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import chart, gallery, machine, rows
from bench.exchange import LostError
from bench.gallery import COLUMNS, METHOD, RULE, Exhibit
from bench.images import ImageError
from bench.instance import REPOSITORY, InstanceError
from bench.load_process import LoadError
from bench.node import ClusterError
from bench.performance import PAGES, REQUESTS, perform
from bench.program import ProgramError
from bench.recipes import RecipeError
from bench.releases import Releases
from bench.result import Result, to_result, to_row
from bench.stage import Stage, StageError
from lifecycle.knobs import Knob, KnobError, duration

PACKAGES = ("Django", "gunicorn")
FAILURES = (
    ClusterError,
    ImageError,
    InstanceError,
    LoadError,
    LostError,
    OSError,
    ProgramError,
    RecipeError,
    StageError,
)
"""What a row may meet; anything else is a mistake here, and has a traceback."""
# The generator itself was too late for its latencies to mean much, in milliseconds.
_LAG_LIMIT_MS = 100.0


@dataclasses.dataclass(frozen=True)
class Part:
    """
    A row in one of its ways, under one load.

    Attributes:
        way: what of the stage is other than the command line has it.
    """

    row: str
    rate: float
    unit: str
    way: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Played:
    """What became of a part; settings as those of its row."""

    result: Result
    unit: str
    settings: Mapping[str, str]


def to_parts(options: argparse.Namespace) -> list[Part]:
    """Return what *options* ask for, in order: all at one load, then at the next."""
    loads = [(rate, REQUESTS) for rate in options.requests or ()]
    return [
        Part(name, rate, unit, way)
        for rate, unit in loads or [(options.rate, PAGES)]
        for name in options.row
        for way in (rows.ways(name) if options.ways else ({},))
    ]


def to_markdown(played: Sequence[Played], head: Sequence[str]) -> str:
    """Return the table, with its *head* above."""
    lines = [*machine.title("Deploys under load"), METHOD, "", *head, "", COLUMNS, RULE]
    skipped = []
    for one in played:
        name = gallery.label(one.result.row, one.settings)
        if one.result.skipped is not None:
            skipped.append(f"- {name}: skipped, {one.result.skipped}")
            continue
        lines.append(to_row(one.result, name, one.unit))
    if skipped:
        lines += ["", *skipped]
    return "\n".join(lines) + "\n"


def play(
    part: Part, options: argparse.Namespace, say: Callable[[str], None]
) -> tuple[Played, bool]:
    """Play *part*, and keep it; return what became of it, and whether it must be so."""
    name = part.row
    head = machine.describe(machine.command_line(), PACKAGES)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage(
            folder,
            grace=options.grace,
            refresh=options.refresh,
            reload=options.reload,
            releases=Releases(folder) if options.releases else None,
        )
        stage = dataclasses.replace(stage, **part.way)
        if options.data is not None:
            stage.load_copy(options.data)
        else:
            say(f"{name}: {stage.load_vault(options.vault)}")
        row = rows.ROWS[name](stage)
        done = perform(row, deploys=options.deploys, rate=part.rate, unit=part.unit)
    report = done.report
    result = to_result(name, options.deploys, part.rate, report)
    if options.out is not None:
        step, bars = chart.count(done.records, done.began_at, done.ended_at)
        exhibit = Exhibit(
            *(result, row.claim.value, head, row.settings),
            *(step, bars, done.lives, part.unit),
        )
        gallery.keep(options.out, exhibit)
    say(
        f"{name}: {report.reads_kept} of {report.reads} reads kept, "
        f"{report.writes_kept} of {report.writes} writes"
    )
    for line in report.lost:
        say(f"{name}: {line}")
    if report.lag_ms > _LAG_LIMIT_MS:
        say(f"{name}: the generator was late by {report.lag_ms} ms at worst")
    holds = row.claim.is_met(report)
    if not holds:
        say(f"{name}: {row.claim.value}, and did not")
    return Played(result, part.unit, row.settings), holds


def run(
    options: argparse.Namespace, head: list[str], say: Callable[[str], None]
) -> int:
    """
    Play every part that *options* ask for, and write each as soon as it is there.

    What cannot be played is said, and the others are played.

    Returns:
        The exit code.
    """
    played: list[Played] = []
    has_failed = False
    holds = True
    for part in to_parts(options):
        why = rows.why_skipped(part.row)
        if why is not None:
            say(f"{part.row}: skipped, {why}")
        else:
            try:
                one, is_met = play(part, options, say)
                played.append(one)
                holds = holds and is_met
            # Whatever it is, it must not take the rows that are left with it.
            except Exception as exc:  # noqa: BLE001
                if not isinstance(exc, FAILURES):
                    traceback.print_exc()
                say(f"{part.row}: failed: {exc}")
                why = f"failed: {str(exc).partition(chr(10))[0]}"
                has_failed = True
        if why is not None:
            result = Result(part.row, options.deploys, part.rate, skipped=why)
            played.append(Played(result, part.unit, {}))
        write(options, played, head)
    print(to_markdown(played, head), end="")
    return 1 if has_failed or (options.check and not holds) else 0


def write(
    options: argparse.Namespace, played: Sequence[Played], head: Sequence[str]
) -> None:
    """Write the files that *options* name, as far as there is something to write."""
    if options.out is not None:
        exhibits = gallery.read(options.out, rows.NAMES)
        shown = {one.result.row for one in exhibits}
        said = {one.result.row: one.result.skipped for one in played}
        absent = {
            name: said.get(name) or rows.why_skipped(name) or "not played yet"
            for name in rows.NAMES
            if name not in shown
        }
        page = gallery.to_page(options.out, exhibits, absent)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".md").write_text(page, encoding="utf-8")
    if options.markdown is not None:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(to_markdown(played, head), encoding="utf-8")
    if options.json is not None:
        values = [dataclasses.asdict(one.result) for one in played]
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the rows of the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument(
        "--row",
        nargs="+",
        action="extend",
        choices=rows.NAMES,
        metavar="NAME",
        help="default: all",
    )
    parser.add_argument("--deploys", type=int, default=10, help="a row (10)")
    parser.add_argument(
        "--rate", type=float, default=200.0, help="pages a second (200)"
    )
    parser.add_argument(
        "--requests",
        type=float,
        nargs="+",
        metavar="RATE",
        help="instead: requests a second in all, writes too; every row at each",
    )
    parser.add_argument(
        "--ways",
        action="store_true",
        help="a row in each of its ways: with a reload, with a quick and a slow refresh",
    )
    parser.add_argument("--grace", default="5s", help="SHUTDOWN_GRACE_PERIOD (5s)")
    parser.add_argument(
        "--refresh", default="5s", help="how often Traefik asks Consul (5s)"
    )
    parser.add_argument(
        "--reload", action="store_true", help="in the row caddy, reload Caddy once"
    )
    parser.add_argument(
        "--releases",
        action="store_true",
        help="each deploy brings a migration and another stylesheet",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="keep each row there, with its picture; write the table beside it",
    )
    parser.add_argument("--vault", type=Path, default=REPOSITORY / "docs")
    parser.add_argument(
        "--data", type=Path, help="a copy of this data directory instead"
    )
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--markdown", type=Path, help="write the table here, too")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 when a row is not what it must be"
    )
    options = parser.parse_args(arguments)
    options.row = options.row or list(rows.NAMES)
    if options.list:
        print("\n".join(rows.NAMES))
        return 0
    if options.deploys < 1 or min(options.requests or [options.rate]) <= 0:
        parser.error("--deploys, --rate and --requests must be above 0")
    if not options.vault.is_dir():
        parser.error(f"--vault {options.vault} is not a folder")
    try:
        for name in ("grace", "refresh"):
            knob = Knob(f"--{name}", duration, "", "")
            setattr(options, name, knob.read({f"--{name}": getattr(options, name)}))
    except KnobError as exc:
        parser.error(str(exc))
    head = machine.describe(machine.command_line(), PACKAGES)
    return run(options, head, lambda line: print(line, file=sys.stderr, flush=True))


if __name__ == "__main__":
    # As at Ctrl-C: else all that the row has started would stay behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Ended before the last row was played.")
