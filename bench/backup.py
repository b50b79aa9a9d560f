"""
What a backup costs those who write: their p99 while it is made, as a ratio.

`python bench/backup.py --megabytes 1000 --json FILE` makes a database of that size,
writes to it at a steady rate, and compares the writes while nothing else happens,
before the backups and after them, with those during a backup: the one that the site
makes, and the other ways that SQLite has. A write is one transaction of one row, as
durable as the site's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a program, from anywhere
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine
from lifecycle.backup import packing, snapshot

_ROW_BYTES = 2000
_BLOB_BYTES = 16_384
# A way that has not ended by then never does, under these writes; in seconds.
_LIMIT = 60.0


def fill(database: Path, megabytes: int) -> None:
    """Make *database* of that size; half of it can be compressed."""
    blob_half = _BLOB_BYTES // 2
    with contextlib.closing(sqlite3.connect(database)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE ballast (id INTEGER PRIMARY KEY, b BLOB)")
        raw.execute("CREATE TABLE written (id INTEGER PRIMARY KEY, t TEXT)")
        with raw:
            raw.executemany(
                "INSERT INTO ballast (b) VALUES (?)",
                (
                    (os.urandom(blob_half) + b"x" * blob_half,)
                    for _ in range(megabytes * 1_000_000 // _BLOB_BYTES)
                ),
            )
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()  # it returns when all is written: no write after it pays for these


def write_while(
    database: Path, rate: float, is_over: Callable[[], bool]
) -> list[float]:
    """Write at *rate* a second until *is_over*; return what each took, in seconds."""
    took: list[float] = []
    with contextlib.closing(
        sqlite3.connect(database, timeout=30, isolation_level=None)
    ) as raw:
        began = time.perf_counter()
        while not is_over():
            # Late is late: what waits for a slow write counts from when it was due.
            due = began + len(took) / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("INSERT INTO written (t) VALUES (?)", ("y" * _ROW_BYTES,))
            raw.execute("COMMIT")
            took.append(time.perf_counter() - due)
    return took


# -- the ways, each in a process of its own ------------------------------------


def _site(database: Path, folder: Path) -> None:
    """The site's own: snapshot, check, pack; the store is another machine."""
    raw = folder / "database"
    snapshot.take(database, raw, lambda *_: None)
    packing.pack(raw, folder / "packed")


def _steps(database: Path, folder: Path) -> None:
    """The backup API in steps, without a transaction around them."""
    _by_steps(database, folder, pages=256)


def _once(database: Path, folder: Path) -> None:
    """The backup API in one step."""
    _by_steps(database, folder, pages=-1)


def _by_steps(database: Path, folder: Path, pages: int) -> None:
    deadline = time.monotonic() + _LIMIT

    def give_up(*_: int) -> None:
        if time.monotonic() > deadline:
            sys.exit(f"not done after {_LIMIT:g} s")
        time.sleep(0.005)

    with (
        contextlib.closing(snapshot.connect(database)) as live,
        contextlib.closing(sqlite3.connect(folder / "database")) as copy,
    ):
        live.backup(copy, pages=pages, progress=give_up)


def _vacuum_into(database: Path, folder: Path) -> None:
    """VACUUM INTO."""
    with contextlib.closing(snapshot.connect(database)) as live:
        live.execute("VACUUM INTO ?", (str(folder / "database"),))


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "site": _site,
    "backup-api-in-steps": _steps,
    "backup-api-at-once": _once,
    "vacuum-into": _vacuum_into,
}


@contextlib.contextmanager
def _running(way: str, database: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [
            "nice",
            "--adjustment=5",
            sys.executable,
            __file__,
            f"--run={way}",
            str(database),
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def measure(
    database: Path, ways: list[str], rate: float, quiet: float
) -> list[dict[str, Any]]:
    """
    Return an object for each of *ways*, between two for no backup at all.

    Ratios are to the writes of these two together.
    """
    before = _write_alone(database, rate, quiet)
    measured = []
    for way in ways:
        began = time.perf_counter()
        with _running(way, database) as process:
            took = write_while(database, rate, lambda: process.poll() is not None)
            said = process.stderr.read().strip() if process.stderr else ""
            failed = said.splitlines()[-1] if process.returncode else ""
        measured.append((way, took, time.perf_counter() - began, failed))
        os.sync()  # one way must not weigh on what comes after it
    after = _write_alone(database, rate, quiet)
    alone = before + after
    return [
        _row("none", before, alone, quiet, ""),
        *(
            _row(way, took, alone, seconds, failed)
            for way, took, seconds, failed in measured
        ),
        _row("none-after", after, alone, quiet, ""),
    ]


def _write_alone(database: Path, rate: float, seconds: float) -> list[float]:
    end = time.perf_counter() + seconds
    return write_while(database, rate, lambda: time.perf_counter() >= end)


def _row(
    way: str, took: list[float], alone: list[float], seconds: float, failed: str
) -> dict[str, Any]:
    return {
        "way": way,
        "seconds": round(seconds, 2),
        "writes": len(took),
        "p50_ms": round(_quantile(took, 0.5) * 1e3, 2),
        "p99_ms": round(_quantile(took, 0.99) * 1e3, 2),
        "longest_ms": round(max(took) * 1e3, 1),
        "ratio_p99": round(_quantile(took, 0.99) / _quantile(alone, 0.99), 2),
        "failed": failed,
    }


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def to_markdown(rows: list[dict[str, Any]], head: list[str]) -> str:
    """Return the table as a page of the manual."""
    lines = [
        *machine.title("What a backup costs those who write"),
        *head,
        "",
        "Before the first row and after each way, everything is on disk: the writes do "
        "not pay for the making of the database, nor for the backup before. Nothing "
        "else happens in the first row and in the last; a ratio is to the p99 of the "
        "writes of both together. Where these two are far apart, the machine was not "
        "idle, and the ratios say little.",
        "",
        "| while | seconds | writes | p50 ms | p99 ms | longest ms | p99, as a ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        lines.append(
            f"| {_WHILE[row['way']]}{', ' + row['failed'] if row['failed'] else ''} "
            f"| {row['seconds']} | {row['writes']} | {row['p50_ms']} | {row['p99_ms']} "
            f"| {row['longest_ms']} | {row['ratio_p99']} |"
        )
    return "\n".join(lines) + "\n"


_WHILE = {
    "none": "nothing else happens, before",
    "none-after": "nothing else happens, after",
    "site": "the site backs up: snapshot, check, pack",
    "backup-api-in-steps": "SQLite's backup API in steps, no transaction around them",
    "backup-api-at-once": "SQLite's backup API in one step",
    "vacuum-into": "`VACUUM INTO`",
}


def main(arguments: list[str]) -> None:
    """Measure, and print or write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0, help="writes a second")
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds without one")
    parser.add_argument("--way", choices=WAYS, action="append", help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--run", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("database", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        with tempfile.TemporaryDirectory(dir=options.database.parent) as folder:
            WAYS[options.run](options.database, Path(folder))
        return
    head = machine.describe(machine.command_line())
    with tempfile.TemporaryDirectory(prefix="bench-backup-") as folder:
        database = Path(folder) / "site.sqlite3"
        fill(database, options.megabytes)
        rows = measure(database, options.way or list(WAYS), options.rate, options.quiet)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    table = to_markdown(rows, head)
    if options.markdown:
        options.markdown.write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
