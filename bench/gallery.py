"""
What was measured, kept in a folder: JSON and a picture a row, and one table of all.

Rows are kept one by one, so that each may come from a run of its own; the table
beside the folder says when and how each was run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import chart, machine
from bench.chart import Bar, Life
from bench.performance import PAGES
from bench.result import Result, to_row

COLUMNS = (
    "| row | deploys | load | reads | reads kept | writes | writes kept "
    "| lost or doubled | errors | idle race | p50 ms | p99 ms | longest ms |"
)
RULE = "| --- " + "| ---: " * 7 + "| --- " + "| ---: " * 4 + "|"
METHOD = (
    "An open load reads pages at the public port, half of them on kept connections, "
    "each with its stylesheet and first attachment, while instances replace one "
    "another; no request is sent twice. Writes are numbered and looked up in the "
    "database afterwards. Each asks for a new note: one that comes a second time is "
    "refused and counts as failed. Times are those of the reads that were kept, from "
    "the moment each was due. There is a write for every ten pages; a load in pages/s "
    "counts pages alone, one in requests/s all that is sent. 'idle race': lost on "
    "connections that had rested longer than half of the grace; printed, and not judged."
)


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """
    One row as it was played.

    Attributes:
        claim: what it must show, in words.
        head: machine, software, date, command.
        settings: what the row was played with, for a person.
    """

    result: Result
    claim: str
    head: list[str]
    settings: dict[str, str]
    step: float
    bars: list[Bar]
    lives: list[Life]
    unit: str = PAGES

    @property
    def name(self) -> str:
        """The name of its files, less their suffix."""
        words = [f"{name}-{value}" for name, value in self.settings.items()]
        unit = [] if self.unit == PAGES else ["requests"]
        parts = [self.result.row, f"{self.result.rate:g}", *unit, *words]
        return "-".join(parts)

    @property
    def title(self) -> str:
        """What stands over its picture."""
        words = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return (
            f"{self.result.row}: {self.result.deploys} deploys at "
            f"{self.result.rate:g} {self.unit}" + (f", {words}" if words else "")
        )


def keep(folder: Path, exhibit: Exhibit) -> None:
    """Write JSON and picture of *exhibit* to *folder*, over what was there of it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dataclasses.asdict(exhibit), separators=(",", ":"))
    (folder / f"{exhibit.name}.json").write_text(text + "\n", encoding="utf-8")
    picture = chart.draw(exhibit.title, exhibit.step, exhibit.bars, exhibit.lives)
    (folder / f"{exhibit.name}.svg").write_text(picture, encoding="utf-8")


def read(folder: Path, order: Sequence[str]) -> list[Exhibit]:
    """Return what *folder* has, in the *order* of rows, then by rate and settings."""
    found = [
        _exhibit(json.loads(path.read_text(encoding="utf-8")))
        for path in folder.glob("*.json")
    ]
    return sorted(
        found,
        key=lambda one: (
            order.index(one.result.row),
            (one.unit, one.result.rate),
            [float(value.removesuffix("s")) for value in one.settings.values()],
        ),
    )


def _exhibit(value: dict[str, Any]) -> Exhibit:
    return Exhibit(
        **value
        | {
            "result": Result(**value["result"]),
            "bars": [Bar(*bar) for bar in value["bars"]],
            "lives": [
                Life(name, [chart.Span(*span) for span in spans])
                for name, spans in value["lives"]
            ],
        }
    )


def to_page(
    folder: Path, exhibits: Sequence[Exhibit], absent: Mapping[str, str]
) -> str:
    """
    Return the page of the manual that shows *exhibits*, which are in *folder*.

    *absent* says of each row without one why it has none.
    """
    lines = [*machine.title("Deploys under load"), METHOD, "", COLUMNS, RULE]
    lines += [
        to_row(one.result, label(one.result.row, one.settings), one.unit)
        for one in exhibits
    ]
    if absent:
        lines += ["", "Rows that are not in the table:", ""]
        lines += [f"- {name}: {reason}" for name, reason in absent.items()]
    lines += ["", "## How each row was run"]
    for one in exhibits:
        lines += [
            *("", f"### {one.title}", ""),
            f"This row {one.claim}.",
            *("", f"![{one.title}]({folder.name}/{one.name}.svg)", ""),
            *one.head,
        ]
    return "\n".join(lines) + "\n"


def label(row: str, settings: Mapping[str, str]) -> str:
    """Return what names *row* in the table: with *settings*, where it has some."""
    words = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{row} ({words})" if words else row
