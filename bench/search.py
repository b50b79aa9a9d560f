"""
How long a search takes, and the index.

    python bench/search.py --vault ../shared/vaults/oldwinter [--markdown FILE]

The vault's notes are brought into a database of their own and made into a Site in this
process, as a worker has it. Queries are one to three words, or runs of Chinese, taken
from the notes by chance and cut short, as one types them. Each is asked as a page asks
(`/-/search`): the index, the titles and the snippets. One at a time, in one thread.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # as a program: modules are found from the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import dataclasses
import os
import random
import re
import tempfile
import time
from collections.abc import Sequence

from bench import machine
from bench.report import percentile

QUERIES = 1000
_LATIN = re.compile(r"[A-Za-z]{3,}")
_HAN = re.compile(r"[\u4e00-\u9fff]{2,}")


@dataclasses.dataclass(frozen=True)
class Measured:
    """
    What was measured; times in seconds.

    Attributes:
        build_s: to make the index, by the clock; `build_cpu_s` of this process.
        index_mb: what the index holds in memory.
        follow_ms: to follow a change of one note.
        latencies: of each query, by kind: 'words' or 'runs'.
        found: how many of the queries found the note that they were taken from,
            among the first 50.
    """

    notes: int
    build_s: float
    build_cpu_s: float
    index_mb: float
    follow_ms: float
    latencies: dict[str, list[float]]
    found: dict[str, int]


def make_queries(texts: Sequence[str], count: int, seed: int) -> list[tuple[str, str]]:
    """Return *count* pairs of kind and query, half of each kind where there are both."""
    chance = random.Random(seed)
    queries: list[tuple[str, str]] = []
    patterns = {"words": _LATIN, "runs": _HAN}
    kinds = [kind for kind, has in patterns.items() if any(map(has.search, texts))]
    if not kinds:
        return []
    while len(queries) < count:
        kind = kinds[len(queries) % len(kinds)]
        words = patterns[kind].findall(chance.choice(texts))
        if not words:
            continue
        if kind == "runs":
            run = chance.choice(words)
            start = chance.randrange(len(run) - 1)
            queries.append((kind, run[start : start + chance.randint(2, 4)]))
        else:
            chosen = chance.sample(words, min(len(words), chance.randint(1, 3)))
            # The last word is on its way.
            chosen[-1] = chosen[-1][: chance.randint(2, len(chosen[-1]))]
            queries.append((kind, " ".join(chosen)))
    return queries


def measure(vault: Path, count: int, seed: int) -> Measured:
    """Measure searches in *vault*; Django must be set up for a database of its own."""
    from django.core.management import call_command

    from notes import site as sites
    from notes.building import change_site
    from notes.loading import load_everything
    from notes.looking import catch_up
    from notes.packing import unpack
    from notes.search.answers import make_search_list
    from notes.search.index import index
    from notes.search.words import text_of

    call_command("migrate", verbosity=0)
    call_command("sync_vault", str(vault), stdout=sys.stderr)
    site = catch_up(None)
    sites.publish(site)
    before = _resident_mb()
    began, cpu = time.monotonic(), time.process_time()
    index().follow()
    build_s, build_cpu_s = time.monotonic() - began, time.process_time() - cpu
    index_mb = _resident_mb() - before

    note = load_everything().notes[0]
    sites.publish(change_site(site, site.sequence + 1, {note.path}, [note], []))
    began = time.monotonic()
    index().follow()
    follow_ms = (time.monotonic() - began) * 1000

    texts = [text_of(unpack(packed)) for packed in site.packed.values() if packed]
    latencies: dict[str, list[float]] = {"words": [], "runs": []}
    found = dict.fromkeys(latencies, 0)
    for kind, query in make_queries(texts, count, seed):
        asked = f"q={query.replace(' ', '+')}"
        began = time.monotonic()
        answer = make_search_list(asked)
        latencies[kind].append(time.monotonic() - began)
        found[kind] += b'role="option"' in answer.body
    return Measured(
        len(site.facts), build_s, build_cpu_s, index_mb, follow_ms, latencies, found
    )


def _resident_mb() -> float:
    """Return the memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def table(measured: Measured, vault: str) -> list[str]:
    """Return the table, as lines of Markdown."""
    lines = [
        f"- Vault: {vault}, {measured.notes:,} notes",
        f"- The index: made in {measured.build_s:.2f} s by the clock, "
        f"{measured.build_cpu_s:.2f} s of CPU, {measured.index_mb:.0f} MB in each worker; "
        f"a changed note is in it after {measured.follow_ms:.1f} ms",
        "",
        "| queries | asked | with a hit | p50 ms | p99 ms | longest ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    names = {"words": "one to three words", "runs": "2 to 4 Chinese characters"}
    for kind, name in names.items():
        ordered = sorted(measured.latencies[kind])
        if not ordered:
            continue
        values = (percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1])
        figures = " | ".join(f"{(value or 0) * 1000:.1f}" for value in values)
        lines.append(
            f"| {name} | {len(ordered)} | {measured.found[kind]} | {figures} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table; return the exit code."""
    parser = argparse.ArgumentParser(
        description="How long a search takes in a vault, and its index."
    )
    parser.add_argument("--vault", type=Path, required=True, metavar="DIR")
    parser.add_argument("--queries", type=int, default=QUERIES, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write here")
    options = parser.parse_args(arguments)
    if not options.vault.is_dir():
        parser.error(f"{options.vault} is not a directory")
    head = machine.describe(machine.command_line(), ("Django",))
    with tempfile.TemporaryDirectory(prefix="bench-search-") as folder:
        os.environ["DATA_DIR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "trip2g_site.settings"
        import django

        django.setup()
        measured = measure(options.vault, options.queries, options.seed)
    lines = [*head, *table(measured, options.vault.name)]
    print("\n".join(lines))
    if options.markdown is not None:
        text = "\n".join([*machine.title("Search"), *lines])
        options.markdown.write_text(f"{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
