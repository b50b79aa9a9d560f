"""
Where the time of builds goes, by function, in the database of DATA_DIR.

    DATA_DIR=… python bench/profiles.py VAULT

A part of a cold boot, and what the builder and a worker do for single changes; all
in this process. The notes of VAULT, which is synced already, are changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # as a program: modules are found from the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import cProfile
import io
import os
import pickle
import pstats
import sysconfig
from collections import Counter

import django
from django.core.management import call_command

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLE = 1_000
CHANGES = 10
LINES = 12


def table(profile: cProfile.Profile, title: str) -> str:
    """Return the modules and the functions with most own time, as Markdown."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    modules: Counter[str] = Counter()
    for (file, line, _), (_, _, own, _, callers) in stats.items():
        if line or not callers:
            modules[_module(file)] += own
        else:  # built in: it is its callers' time
            for (caller, _, _), (_, _, part, _) in callers.items():
                modules[_module(caller)] += part
    shares = (f"`{name}` {own / total:.0%}" for name, own in modules.most_common(LINES))
    lines = [
        f"{title}; {total:.2f} s, with the profiler's own: {', '.join(shares)}.",
        "",
        "| function | own time | calls | own ms | ms with all that it calls |",
        "| --- | --- | --- | --- | --- |",
    ]
    most = sorted(stats.items(), key=lambda item: -item[1][2])[:LINES]
    for (file, line, name), (_, calls, own, whole, _) in most:
        # Of a function that is built in, the address in memory is of no interest.
        where = (
            f"{_short(file)}:{line} {name}"
            if line
            else name.partition(" at 0x")[0].strip("<>")
        )
        lines.append(
            f"| `{where}` | {own / total:.0%} | {calls:,} | {own * 1000:.1f} "
            f"| {whole * 1000:.1f} |"
        )
    return "\n".join([*lines, ""])


def _short(file: str) -> str:
    for folder in (str(REPOSITORY), sysconfig.get_path("stdlib")):
        file = file.removeprefix(f"{folder}/")
    return file.rpartition("site-packages/")[2]


def _module(file: str) -> str:
    """Return the file of a module of the project, or a library's name."""
    path = _short(file)
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "notes" else parts[0]


def main(vault: Path) -> int:
    """Print the tables."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trip2g_site.settings")
    django.setup()
    from dataclasses import replace

    from notes.differences import apply_difference, find_difference
    from notes.loading import load_everything
    from notes.looking import build_everything, catch_up
    from notes.team import Crew

    everything = load_everything()
    step = -(-len(everything.notes) // SAMPLE)
    sample = replace(everything, notes=everything.notes[::step])
    cold, single = cProfile.Profile(), cProfile.Profile()
    with cold:
        build_everything(sample)
    print(table(cold, f"A cold boot of {len(sample.notes):,} of the notes"))

    site = told = build_everything(everything, Crew(len(os.sched_getaffinity(0))))
    path = min(vault.rglob("*.md"))
    for number in range(CHANGES):
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\nprofiled change {number}\n")
        call_command("sync_vault", str(vault), stdout=io.StringIO())
        with single:
            after = catch_up(site)
            packed = pickle.dumps(find_difference(site, after))
            told = apply_difference(told, pickle.loads(packed))  # noqa: S301 - our own
        site = after
    print(table(single, f"{CHANGES} changes, by the builder and by one worker"))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
