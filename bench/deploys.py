"""
Replace instances under load, a row after another, and count what was lost.

    python bench/deploys.py --row systemd-restart --deploys 10 --rate 200 --json FILE

Each row starts a first instance on a data directory of its own with a vault in it,
sends an open load at its public port, and deploys again and again. The table goes
to standard output as Markdown.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # as a program: modules are found from the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence

from bench import chart, gallery, machine, rows
from bench.exchange import LostError
from bench.gallery import COLUMNS, METHOD, RULE, Exhibit
from bench.images import ImageError
from bench.instance import REPOSITORY, InstanceError
from bench.load_process import LoadError
from bench.performance import perform
from bench.program import ProgramError
from bench.recipes import RecipeError
from bench.releases import Releases
from bench.result import Result, to_result, to_row
from bench.stage import Stage, StageError
from lifecycle.knobs import Knob, KnobError, duration

PACKAGES = ("Django", "gunicorn")
# The generator itself was too late for its latencies to mean much, in milliseconds.
_LAG_LIMIT_MS = 100.0


def to_markdown(results: Sequence[Result], head: Sequence[str]) -> str:
    """Return the table, with its *head* above."""
    lines = [*machine.title("Deploys under load"), METHOD, "", *head, "", COLUMNS, RULE]
    skipped = []
    for one in results:
        if one.skipped is not None:
            skipped.append(f"- {one.row}: skipped, {one.skipped}")
            continue
        lines.append(to_row(one))
    if skipped:
        lines += ["", *skipped]
    return "\n".join(lines) + "\n"


def run(
    options: argparse.Namespace, head: list[str], say: Callable[[str], None]
) -> tuple[list[Result], bool]:
    """Play the rows that *options* name; return results, and whether all claims held."""
    results = []
    holds = True
    for name in options.row:
        reason = rows.why_skipped(name)
        if reason is not None:
            say(f"{name}: skipped, {reason}")
            results.append(Result(name, options.deploys, options.rate, skipped=reason))
            continue
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stage = Stage(
                folder,
                grace=options.grace,
                refresh=options.refresh,
                reload=options.reload,
                releases=Releases(folder) if options.releases else None,
            )
            if options.data is not None:
                stage.load_copy(options.data)
            else:
                say(f"{name}: {stage.load_vault(options.vault)}")
            row = rows.ROWS[name](stage)
            done = perform(row, deploys=options.deploys, rate=options.rate)
        report = done.report
        results.append(to_result(name, options.deploys, options.rate, report))
        if options.out is not None:
            step, bars = chart.count(done.records, done.began_at, done.ended_at)
            exhibit = Exhibit(
                *(results[-1], row.claim.value, head, row.settings),
                *(step, bars, done.lives),
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
        if not row.claim.is_met(report):
            holds = False
            say(f"{name}: {row.claim.value}, and did not")
    return results, holds


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the rows of the command line; return 1 when one could not be played."""
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
    if options.deploys < 1 or options.rate <= 0:
        parser.error("--deploys and --rate must be above 0")
    if not options.vault.is_dir():
        parser.error(f"--vault {options.vault} is not a folder")
    try:
        for name in ("grace", "refresh"):
            knob = Knob(f"--{name}", duration, "", "")
            setattr(options, name, knob.read({f"--{name}": getattr(options, name)}))
    except KnobError as exc:
        parser.error(str(exc))
    head = machine.describe(machine.command_line(), PACKAGES)
    try:
        results, holds = run(
            options, head, lambda line: print(line, file=sys.stderr, flush=True)
        )
    except (
        ImageError,
        InstanceError,
        LoadError,
        LostError,
        ProgramError,
        RecipeError,
        StageError,
    ) as exc:
        print(exc, file=sys.stderr)
        return 1
    table = to_markdown(results, head)
    print(table, end="")
    if options.out is not None:
        exhibits = gallery.read(options.out, rows.NAMES)
        page = gallery.to_page(options.out, exhibits)
        options.out.with_suffix(".md").write_text(page, encoding="utf-8")
    if options.markdown is not None:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(table, encoding="utf-8")
    if options.json is not None:
        values = [dataclasses.asdict(one) for one in results]
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return 0 if holds or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
