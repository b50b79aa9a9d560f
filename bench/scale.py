"""
How boots, changes and memory grow with the number of notes.

    python bench/scale.py [--large] [--vault DIR ...] [--profile WHAT ...]
        [--json FILE] [--markdown FILE]

Vaults of 1,000, 3,000 and 10,000 synthetic notes of 500 bytes (100,000 with --large),
and those that are given, go through the same: the first sync, a boot without the
render cache and one with it, the memory of all processes, single changes, new notes,
and a change of a tenth of the notes while a reader reads. Each instance is a real one.
Work is measured by the clock and in seconds of CPU, since others may use the machine.
What keeps a figure from its goal, the profiles beneath the table are to show: see
`bench.profiles`.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # as a program: modules are found from the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import dataclasses
import datetime
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from bench import machine
from bench.instance import REPOSITORY, Instance, bare_environ
from bench.waiting import free_port, wait_until
from lifecycle.knobs import Address

PACKAGES = ("Django", "gunicorn", "markdown-it-py")
SIZES = (1_000, 3_000, 10_000)
LARGE = 100_000
WORKERS = 2
CHANGES = 10
"""Single changes, a sync each; as many new notes after them, by threes."""
RATE = 50
"""Pages a second that the reader reads."""
REST = 5.0
"""Seconds that the reader reads at rest."""
TIMEOUT = 900.0
QUIET_TIMEOUT = 120.0
"""Seconds that an instance gets for what it does in the background once it is ready."""

PUBLISHED = {
    "notes": "10,000 x 500 B, the model's own pages (Go, one core; four in brackets)",
    "first_pages_s": "13.8 (6.8)",
    "change_ms": "382 (224)",
    "pss_mb": "1,000 (800), resident",
}
"""What the model publishes of itself; not measured here."""

GOALS = {
    "notes": "10,000 x 500 B on two idle cores",
    "cold_per_s": "≥ 1,000",
    "cached_s": "≤ 1.5 (100,000 notes: ≤ 20)",
    "pss_mb": "≤ 300",
    "pss_changed_mb": "≤ 300",
    "change_ms": "≤ 30",
    "visible_ms": "≤ 500",
    "batch_visible_s": "≤ 1",
    "batch_p99_ms": "≤ 2 x rest_p99_ms",
}
MISSES: dict[str, Callable[[Row], bool]] = {
    "cold_per_s": lambda row: row.cold_per_s < 1000,
    "cached_s": lambda row: row.cached_s > (1.5 if row.notes < LARGE else 20),
    "pss_mb": lambda row: row.pss_mb > 300,
    "pss_changed_mb": lambda row: row.pss_changed_mb > 300,
    "change_ms": lambda row: row.change_ms > 30,
    "visible_ms": lambda row: row.visible_ms > 500,
    "batch_visible_s": lambda row: row.batch_visible_s > 1,
    "batch_p99_ms": lambda row: (
        row.rest_p99_ms is not None
        and row.batch_p99_ms is not None
        and row.batch_p99_ms > 2 * row.rest_p99_ms
    ),
}
"""Whether a figure is not what its goal is, also of vaults that the goal is not for."""

T = TypeVar("T")

_FIELD = re.compile(r"(\w+)=(\S+)")


@dataclasses.dataclass(frozen=True)
class Row:
    """
    What one vault took.

    Attributes:
        first_sync_s: from an empty database, the command's whole run.
        first_pages_s: first_sync_s and cold_s together: what is published of the
            model's first push is with the making of its pages.
        cold_s, cached_s: making the Site at a boot, without the cache and with it.
        cold_cpu_s, cached_cpu_s: the same in seconds of CPU, of all processes.
        cold_ready_s, cached_ready_s: from exec to /readyz 200.
        squeezed_s: from READY until every page is squeezed, in the background; none
            where that takes more than two minutes: it goes on, at nice 19, while
            memory and reads are measured, and its process is in pss_all_mb.
        cache_mb: the render cache.
        pss_mb: of the master and two workers, after a boot from the cache and reads.
        pss_all_mb: of the builder and the writer too.
        pss_changed_mb, pss_all_changed_mb: the same after all of the changes.
        change_ms, change_cpu_ms: of the builder's work for one changed note, by the
            clock and of CPU, the median.
        added_cpu_ms: the same for one new note.
        told_ms: of a worker's work for one of them, by the clock, the longest.
        visible_ms: from the commit until every worker serves it, the longest of
            ten changed notes and four new ones.
        batch_s, batch_cpu_s: of the builder's work for a tenth of the notes.
        batch_visible_s: from the commit of the tenth until every worker serves it.
        rest_reads, batch_reads: how many reads the two lines below are of.
        rest_p99_ms, batch_p99_ms: of reads, at rest and while the tenth arrives, from
            the start of the sync until every worker serves it.
        yardstick_ms: a million additions in Python take this, of CPU.
        note_yards, change_yards: CPU of one note of a cold boot, and of one change, in
            thousandths of the yardstick: for a comparison with another machine.
    """

    vault: str
    notes: int
    first_sync_s: float
    first_pages_s: float
    cold_s: float
    cold_per_s: int
    cold_cpu_s: float
    cold_ready_s: float
    squeezed_s: float | None
    cached_s: float
    cached_cpu_s: float
    cached_ready_s: float
    cache_mb: float
    pss_mb: int
    pss_all_mb: int
    pss_changed_mb: int
    pss_all_changed_mb: int
    change_ms: float
    change_cpu_ms: float
    added_cpu_ms: float
    told_ms: float
    visible_ms: float
    batch_notes: int
    batch_s: float
    batch_cpu_s: float
    batch_visible_s: float
    rest_reads: int
    batch_reads: int
    rest_p99_ms: float | None
    batch_p99_ms: float | None
    yardstick_ms: float
    note_yards: float
    change_yards: float


@dataclasses.dataclass(frozen=True)
class Change:
    """What one sync took, once the writer had committed it; in seconds."""

    work: float
    cpu: float
    told: float
    visible: float


class Bed:
    """A vault, a data directory, and the programs that use them."""

    def __init__(self, folder: Path, vault: Path) -> None:
        self.vault = vault
        self.data = folder / "data"
        self.log = folder / "log"
        self.public = free_port()
        self.environ = {
            "DATA_DIR": str(self.data),
            "LISTEN_ADDR": f"127.0.0.1:{self.public}",
            "WORKERS": str(WORKERS),
            "SHUTDOWN_GRACE_PERIOD": "0s",
        }

    def manage(self, *arguments: str) -> float:
        """Run a command; return how many seconds it took."""
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=bare_environ() | self.environ,
            check=True,
            capture_output=True,
        )
        return time.monotonic() - began

    def instance(self) -> Instance:
        """Return an instance that is not started yet."""
        internal = Address(host="127.0.0.1", port=free_port())
        return Instance(self.environ, log=self.log, internal=internal)

    def start(self, instance: Instance) -> float:
        """Start *instance*; return the seconds until it is ready."""
        began = time.monotonic()
        instance.start()
        instance.wait_ready(TIMEOUT)
        return time.monotonic() - began

    def sync(self) -> int:
        """Hand the vault to the instance; return the sequence it is at then."""
        self.manage("sync_vault", str(self.vault))
        return max(int(event["sequence"]) for event in events(self.log, "sync"))


def events(log: Path, name: str) -> list[dict[str, str]]:
    """Return the fields of each line of *log* that tells of the event *name*."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [dict(_FIELD.findall(line)) for line in lines if f"event={name} " in line]


def write_vault(folder: Path, count: int) -> None:
    """Write *count* notes of about 500 bytes, each with a tag and a few links."""
    chance = random.Random(count)
    words = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9)))
        for _ in range(2000)
    ]
    for number in range(count):
        text = f"---\ntags: [t{number % 50}]\n---\n# Note {number}\n\n"
        while len(text) < 420:
            text += " ".join(chance.choices(words, k=12))
            text += f" [[note-{chance.randrange(count)}]].\n\n"
        path = folder / f"folder-{number % 100}" / f"note-{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def measure(name: str, vault: Path, folder: Path) -> Row:
    """Return what *vault* takes; its notes are changed."""
    bed = Bed(folder, vault)
    paths = sorted(vault.rglob("*.md"))
    yard = yardstick()
    bed.manage("migrate")
    first_sync = bed.manage("sync_vault", str(vault))
    with bed.instance() as instance:
        cold_ready = bed.start(instance)
        cold = events(bed.log, "site_warm")[-1]
        squeezed = _wait_quiet(bed)
        instance.stop(TIMEOUT)
    cache = sum(path.stat().st_size for path in (bed.data / "render-cache").iterdir())
    with bed.instance() as instance:
        cached_ready = bed.start(instance)
        cached = events(bed.log, "site_warm")[-1]
        _wait_quiet(bed)
        rest = _read(bed, REST)
        pss, pss_all = _pss(bed, instance)
        changes = [_change(bed, paths[:1], number) for number in range(CHANGES)]
        added = [_add(bed, number) for number in range((CHANGES + 2) // 3)]
        batch = paths[: len(paths) // 10]
        reader = _reader(bed, None)
        large = _change(bed, batch, CHANGES)
        reader.terminate()
        busy = json.loads(reader.communicate(timeout=TIMEOUT)[0].splitlines()[-1])
        pss_changed, pss_all_changed = _pss(bed, instance)
        instance.stop(TIMEOUT)
    notes, seconds = int(cold["notes"]), float(cold["seconds"])
    cold_cpu = float(cold["cpu_seconds"])
    change_cpu = statistics.median(change.cpu for change in changes)
    singles = [*changes, *added]
    return Row(
        vault=name,
        notes=notes,
        first_sync_s=round(first_sync, 2),
        first_pages_s=round(first_sync + seconds, 2),
        cold_s=round(seconds, 2),
        cold_per_s=round(notes / seconds),
        cold_cpu_s=round(cold_cpu, 2),
        cold_ready_s=round(cold_ready, 2),
        squeezed_s=squeezed,
        cached_s=round(float(cached["seconds"]), 2),
        cached_cpu_s=round(float(cached["cpu_seconds"]), 2),
        cached_ready_s=round(cached_ready, 2),
        cache_mb=round(cache / 2**20, 1),
        pss_mb=pss,
        pss_all_mb=pss_all,
        pss_changed_mb=pss_changed,
        pss_all_changed_mb=pss_all_changed,
        change_ms=_ms(statistics.median(change.work for change in changes)),
        change_cpu_ms=_ms(change_cpu),
        added_cpu_ms=_ms(statistics.median(change.cpu for change in added)),
        told_ms=_ms(max(change.told for change in singles)),
        visible_ms=round(max(change.visible for change in singles) * 1000),
        batch_notes=len(batch),
        batch_s=round(large.work, 2),
        batch_cpu_s=round(large.cpu, 2),
        batch_visible_s=round(large.visible, 2),
        rest_reads=round(rest["reads_kept"]),
        batch_reads=busy["reads_kept"],
        rest_p99_ms=rest["p99_ms"],
        batch_p99_ms=busy["p99_ms"],
        yardstick_ms=_ms(yard),
        note_yards=round(1000 * cold_cpu / notes / yard, 1),
        change_yards=round(1000 * change_cpu / yard, 1),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def yardstick() -> float:
    """Return the seconds of CPU that a million additions take in Python."""
    tries = []
    for _ in range(5):
        began = time.process_time()
        total = 0
        for number in range(1_000_000):
            total += number
        tries.append(time.process_time() - began)
    return min(tries)


def _wait_quiet(bed: Bed) -> float | None:
    """
    Wait until the last instance has done what it does in the background.

    Returns:
        How many seconds it took to squeeze the pages; None where it took too long.
    """

    def searches() -> bool:
        text = _last_boot(bed.log)
        return text.count("event=search_indexed ") >= WORKERS

    wait_until(searches, TIMEOUT, "the search of every worker")
    ended = re.compile(r"event=companion_ended name=notes\.squeezing.* seconds=(\S+)")
    try:
        (seconds,) = wait_until(
            lambda: ended.findall(_last_boot(bed.log)), QUIET_TIMEOUT, "squeezed pages"
        )
    except TimeoutError:
        return None
    return float(seconds)


def _last_boot(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").rpartition("event=start ")[
        2
    ]


def _change(bed: Bed, paths: Sequence[Path], number: int) -> Change:
    """Change the notes at *paths*, and sync."""
    for path in paths:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\nchange {number}\n")
    return _sync(bed)


def _add(bed: Bed, number: int) -> Change:
    """Add a note beside others, and sync."""
    beside = min(bed.vault.rglob("*.md"))
    text = f"---\ntags: [t{number}]\n---\nA new one. [[{beside.stem}]]\n"
    (beside.parent / f"new-note-{number}.md").write_text(text, encoding="utf-8")
    return _sync(bed)


def _sync(bed: Bed) -> Change:
    """Sync what was changed, and wait until every worker serves it."""
    sequence = bed.sync()

    def of(name: str) -> list[dict[str, str]]:
        return [e for e in events(bed.log, name) if int(e["sequence"]) == sequence]

    def published() -> list[dict[str, str]]:
        found = of("site_published")
        return found if len(found) == WORKERS else []

    seen = wait_until(published, TIMEOUT, "every worker's site")
    (commit,) = of("sync")
    (built,) = of("site_built")
    began = datetime.datetime.fromisoformat(commit["time"])
    ended = max(datetime.datetime.fromisoformat(event["time"]) for event in seen)
    return Change(
        work=float(built["seconds"]),
        cpu=float(built["cpu_seconds"]),
        told=max(float(event["seconds"]) for event in seen),
        visible=max(0.0, (ended - began).total_seconds()),
    )


def _reader(bed: Bed, seconds: float | None) -> subprocess.Popen[str]:
    limit = [] if seconds is None else ["--seconds", str(seconds)]
    reader = subprocess.Popen(
        [
            *(sys.executable, "bench/load.py", "--rate", str(RATE), *limit),
            *("--target", f"127.0.0.1:{bed.public}", "--page", "/"),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    if reader.stdout is None:
        raise RuntimeError("the reader has no pipe")
    reader.stdout.readline()  # it has begun
    return reader


def _read(bed: Bed, seconds: float) -> dict[str, float]:
    output = _reader(bed, seconds).communicate(timeout=TIMEOUT)[0]
    sums: dict[str, float] = json.loads(output.splitlines()[-1])
    return sums


def _pss(bed: Bed, instance: Instance) -> tuple[int, int]:
    """
    Return proportional set sizes, in MB.

    Returns:
        That of the master and its workers, and that of all of the instance.
    """
    sizes = {}
    for pid in instance.group_pids():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        sizes[pid] = int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0])
    booted = re.findall(r"Booting worker with pid: (\d+)", _last_boot(bed.log))
    serving = {instance.pid, *map(int, booted)}
    own = sum(size for pid, size in sizes.items() if pid in serving)
    return own >> 10, sum(sizes.values()) >> 10


def profile(name: str, vault: Path, folder: Path) -> str:
    """Return what the time goes into with *vault*; its notes are changed."""
    bed = Bed(folder, vault)
    bed.manage("migrate")
    bed.manage("sync_vault", str(vault))
    run = subprocess.run(
        [sys.executable, "bench/profiles.py", str(vault)],
        cwd=REPOSITORY,
        env=bare_environ() | bed.environ,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return f"## Where the time goes: {name}\n\n{run.stdout}"


def to_markdown(
    rows: Sequence[Row], head: Sequence[str], profiles: Sequence[str] = ()
) -> str:
    """Return the page: the head, a line for each of the fields, and *profiles*."""
    names = [field.name for field in dataclasses.fields(Row)]
    table = [
        ["", *(row.vault for row in rows), "goal", "model, published"],
        ["---"] * (len(rows) + 3),
    ]
    for name in names[1:]:
        cells = [_cell(row, name) for row in rows]
        table.append([name, *cells, GOALS.get(name, ""), PUBLISHED.get(name, "")])
    lines = [*machine.title("Scale"), *head, ""]
    lines += [f"| {' | '.join(cells)} |" for cells in table]
    meaning = (Row.__doc__ or "").partition("Attributes:")[2]
    lines += [
        "",
        "Figures in **bold** are not what the goal is. The goals are for "
        f"{GOALS['notes']}: longer notes, more of them, or a batch of more than a "
        "thousand may take more.",
        "",
        "What the lines mean:",
        "",
    ]
    for entry in re.findall(r"^ {8}(\w.*?:.*(?:\n {12}.*)*)", meaning, re.MULTILINE):
        lines.append(f"- {' '.join(entry.split())}")
    return "\n".join([*lines, *(f"\n{text.rstrip()}" for text in profiles)]) + "\n"


def _cell(row: Row, name: str) -> str:
    value = getattr(row, name)
    text = "-" if value is None else f"{value:,}"
    return f"**{text}**" if name in MISSES and MISSES[name](row) else text


def _in_folder(source: Path | int, measurement: Callable[[str, Path, Path], T]) -> T:
    """Return what *measurement* says of a copy of a vault, or of so many notes."""
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        if isinstance(source, Path):
            shutil.copytree(source, folder / "vault")
        else:
            write_vault(folder / "vault", source)
        label = source.name if isinstance(source, Path) else f"{source:,} x 500 B"
        return measurement(label, folder / "vault", folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line names; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--size", type=int, action="append", help="notes; repeats")
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} notes too")
    parser.add_argument("--vault", type=Path, action="append", default=[])
    parser.add_argument(
        "--profile",
        type=lambda text: int(text) if text.isdigit() else Path(text),
        action="append",
        default=[],
        help="notes, or a vault, whose builds are profiled; repeats",
    )
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--markdown", type=Path, help="write the page here")
    parser.add_argument("--remark", help="how the machine was shared, for the page")
    options = parser.parse_args(arguments)
    sizes = [*(options.size or SIZES), *([LARGE] if options.large else [])]
    head = machine.describe(machine.command_line(), PACKAGES)
    rows = []
    for source in (*options.vault, *sizes):
        rows.append(_in_folder(source, measure))
        print(json.dumps(dataclasses.asdict(rows[-1])), flush=True)
    profiles = [_in_folder(source, profile) for source in options.profile]
    head.append(
        f"- Load average after the run: {os.getloadavg()[0]:.1f}; others used the "
        "machine if it was not near 0 when it began"
    )
    if options.remark:
        head.append(f"- Remark: {options.remark}")
    if options.json is not None:
        text = json.dumps([dataclasses.asdict(row) for row in rows], indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    page = to_markdown(rows, head, profiles)
    if options.markdown is not None:
        options.markdown.write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
