"""
Pages a second on one core, beside gunicorn's best and nginx.

    python bench/pages.py --vault ../shared/vaults/trip2g-docs --markdown FILE

Three servers with one worker each share one core, and wrk has another: the site,
which is asked for every page of the vault in turn; gunicorn's gthread worker with
one constant body of the median size; and nginx, which sends the site's own bodies
from disk (gzip_static). They are measured in turn, round after round, so that what
else the machine does falls on all of them.
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
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence

from bench import contestants, groups, machine
from bench.contestants import Contestant
from bench.exchange import LostError
from bench.instance import REPOSITORY, InstanceError
from bench.stage import Stage, StageError

PACKAGES = ("Django", "gunicorn")
GOAL = 0.75
"""The share of the constant body's rate that the site is to reach."""
CONNECTIONS = 16


class MeasureError(Exception):
    """A measurement that means nothing; the message says why."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """
    What one server did.

    Attributes:
        rates: pages a second, a round each.
        ratios: of the site's rate to this one's, a round each.
        cpu_us: microseconds of CPU a page, a round each. What else the machine
            does at the time changes the rate, and this hardly.
    """

    name: str
    rates: list[float]
    ratios: list[float]
    cpu_us: list[float]
    p99_ms: float

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)


def missing() -> list[str]:
    """Return the Debian packages that this needs and the machine lacks."""
    programs = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux"}
    return [package for name, package in programs.items() if not shutil.which(name)]


def wrk(
    contestant: Contestant, folder: Path, core: int, seconds: int
) -> dict[str, float]:
    """
    Return what wrk on *core* counted in *seconds* of asking *contestant*.

    And, as 'cpu_seconds', what the contestant's processes used meanwhile.
    """
    paths = folder / "paths"
    paths.write_text("\n".join(contestant.paths) + "\n", encoding="utf-8")
    script = REPOSITORY / "bench" / "wrk.lua"
    command = [
        *("taskset", "-c", str(core), "wrk", "--threads", "1"),
        *("--connections", str(CONNECTIONS), "--duration", f"{seconds}s"),
        *("--script", str(script), f"http://{contestant.address}/"),
        *("--", str(paths)),
    ]
    began = groups.cpu_seconds(contestant.group)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    counted: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    counted["cpu_seconds"] = groups.cpu_seconds(contestant.group) - began
    if counted["errors"] or not counted["requests"]:
        raise MeasureError(f"{contestant.name}: {done.stdout}")
    return counted


def measure(
    stage: Stage, rounds: int, seconds: int
) -> tuple[list[Measured], list[int]]:
    """Return what each server did, the site first, and the sizes of the bodies sent."""
    server, client = sorted(os.sched_getaffinity(0))[:2]
    stage = dataclasses.replace(
        stage,
        command=contestants.site_command(server),
        environ=(("WORKERS", "1"), ("ACCESS_LOG", "false")),
    )
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(contestants.site(stage))
        bodies = contestants.collect(site)
        sizes = [len(body.compressed) for body in bodies]
        size = int(statistics.median(sizes))
        running = [
            site,
            stack.enter_context(contestants.constant(size, stage.folder, server)),
            stack.enter_context(
                contestants.nginx(bodies, stage.folder / "nginx", server)
            ),
        ]
        for one in running:
            wrk(one, stage.folder, client, min(seconds, 2))
        counted = [
            [wrk(one, stage.folder, client, seconds) for one in running]
            for _ in range(rounds)
        ]
    measured: list[Measured] = []
    for number, one in enumerate(running):
        column = [line[number] for line in counted]
        rates = [cell["requests"] / cell["seconds"] for cell in column]
        own = measured[0].rates if measured else rates
        measured.append(
            Measured(
                one.name,
                rates,
                [a / b for a, b in zip(own, rates, strict=True)],
                [cell["cpu_seconds"] / cell["requests"] * 1e6 for cell in column],
                statistics.median(cell["p99_ms"] for cell in column),
            )
        )
    return measured, sizes


def to_markdown(
    measured: Sequence[Measured], sizes: Sequence[int], head: Sequence[str]
) -> str:
    """Return the table, with its *head* above."""
    lines = [
        *machine.title("Pages a second on one core"),
        "Three servers with one worker each share one core; wrk has another, with "
        f"{CONNECTIONS} kept connections, and takes gzip. The site is asked for every "
        "page of the vault in turn; gunicorn's own gthread worker sends one constant "
        "body of the median size; nginx sends the site's bodies from disk "
        "(gzip_static). They are measured in turn, round after round; no access log.",
        "",
        *head,
        f"- Vault: {len(sizes)} pages; sent for each, compressed: "
        f"{int(statistics.median(sizes))} bytes at the median, {max(sizes)} at most",
        f"- Rounds: {len(measured[0].rates)}",
        "",
        "| server | pages/s, median | lowest | highest | CPU µs a page | p99 ms "
        "| this site, of it |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in measured:
        share = "" if one is measured[0] else f"{one.ratio:.1%}"
        lines.append(
            f"| {one.name} | {statistics.median(one.rates):.0f} | {min(one.rates):.0f} "
            f"| {max(one.rates):.0f} | {statistics.median(one.cpu_us):.0f} "
            f"| {one.p99_ms:.1f} | {share} |"
        )
    verdict = "reached" if measured[1].ratio >= GOAL else "missed"
    lines += [
        "",
        f"The goal, {GOAL:.0%} of what gunicorn does with a constant body, is {verdict}: "
        f"{measured[1].ratio:.1%} (median of the rounds' ratios).",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--vault", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="a server and round")
    parser.add_argument("--json", type=Path, help="write rates and ratios here")
    parser.add_argument("--markdown", type=Path, help="write the table here, too")
    parser.add_argument("--check", action="store_true", help="exit 1 below the goal")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    if lacking := missing():
        print(f"Missing: apt-get install {' '.join(lacking)}", file=sys.stderr)
        return 2
    if len(os.sched_getaffinity(0)) < 2:
        print("This needs two cores: one for the server, one for wrk.", file=sys.stderr)
        return 2
    head = machine.describe(machine.command_line(), PACKAGES)
    try:
        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(Path(folder), grace=0.1, timeout=1.0)
            print(stage.load_vault(options.vault), file=sys.stderr)
            measured, sizes = measure(stage, options.rounds, options.seconds)
    except (InstanceError, LostError, StageError, MeasureError) as exc:
        print(exc, file=sys.stderr)
        return 1
    table = to_markdown(measured, sizes, head)
    print(table, end="")
    if options.markdown is not None:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(table, encoding="utf-8")
    if options.json is not None:
        values = [dataclasses.asdict(one) for one in measured]
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return 0 if measured[1].ratio >= GOAL or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
