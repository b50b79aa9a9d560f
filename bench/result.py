"""One row of the table of deploys, as others script against it."""

from __future__ import annotations

import dataclasses

from bench.report import Report


@dataclasses.dataclass(frozen=True)
class Result:
    """
    One row of the table; the fields are those of the JSON.

    What a skipped row did not measure is None.
    """

    row: str
    deploys: int
    rate: float
    reads: int | None = None
    reads_kept: int | None = None
    writes: int | None = None
    writes_kept: int | None = None
    writes_lost: int | None = None
    writes_duplicated: int | None = None
    errors: dict[str, int] | None = None
    idle_race: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    longest_ms: float | None = None
    skipped: str | None = None


def to_result(row: str, deploys: int, rate: float, report: Report) -> Result:
    """Return the row of the table for *report*."""
    measured = {field.name for field in dataclasses.fields(Result)}
    sums = {
        name: value
        for name, value in dataclasses.asdict(report).items()
        if name in measured
    }
    return Result(row=row, deploys=deploys, rate=rate, **sums)


def to_row(one: Result, label: str, unit: str) -> str:
    """Return *one* as a line of a Markdown table; *unit* is its rate's."""
    errors = ", ".join(f"{n} {kind}" for kind, n in (one.errors or {}).items())
    wrong = (one.writes_lost or 0) + (one.writes_duplicated or 0)
    cells = (
        *(label, one.deploys, f"{one.rate:g} {unit}"),
        *(one.reads, _share(one.reads_kept, one.reads)),
        *(one.writes, _share(one.writes_kept, one.writes), wrong),
        *(errors or "none", one.idle_race),
        *(one.p50_ms, one.p99_ms, one.longest_ms),
    )
    return (
        "| " + " | ".join("-" if cell is None else str(cell) for cell in cells) + " |"
    )


def _share(kept: int | None, of: int | None) -> str | None:
    """Return *kept* of *of* in percent, never rounded up: 100 % means all."""
    if kept is None or not of:
        return None
    thousandths = kept * 100_000 // of
    return f"{thousandths / 1000:.3f} %" if kept < of else "100 %"
