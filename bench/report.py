"""What a run of the load measured: a record a request, and their sums."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

OK = "ok"
WRITE = "write"
IDLE_RACE = "idle_race"
"""Lost on a connection that had been idle too long to be judged."""


class Record(NamedTuple):
    """
    One request.

    Attributes:
        scheduled_at: when it was due, on the monotonic clock, in seconds.
        latency: from then to its end, in seconds.
        outcome: 'ok', 'idle_race', 'status NNN', or a word of `bench.exchange`.
        kind: 'page', 'stylesheet', 'attachment' or 'write'.
        connection: 'kept', 'fresh', 'rested' or 'writer'.
    """

    scheduled_at: float
    latency: float
    outcome: str
    kind: str
    connection: str


@dataclasses.dataclass(frozen=True)
class Report:
    """
    The sums of a run.

    Reads are all requests but writes and idle races, which have columns of their own.
    Latencies are those of the reads that were kept, from the moment each was due.
    What was lost or doubled of the writes is known once they are reconciled.
    """

    reads: int
    reads_kept: int
    writes: int
    writes_kept: int
    writes_lost: int
    writes_duplicated: int
    errors: dict[str, int]
    idle_race: int
    p50_ms: float | None
    p99_ms: float | None
    longest_ms: float | None
    by_kind: dict[str, int]
    lost: list[str]
    """The first reads that were lost, a line each for a person."""
    lag_ms: float
    """How late the generator itself was with a send, at worst."""
    longest_write_ms: float | None = None
    acknowledged: tuple[int, ...] = ()
    """The numbers of the writes that were answered with success."""


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of *ordered*; None when it is empty."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def summarize(
    records: Sequence[Record], lag: float, acknowledged: Sequence[int] = ()
) -> Report:
    """Return the sums of *records*; *lag* in seconds."""
    outcomes: Counter[str] = Counter()
    writes = [one for one in records if one.kind == WRITE and one.outcome != IDLE_RACE]
    kinds: Counter[str] = Counter()
    latencies = []
    for record in records:
        outcomes[record.outcome] += 1
        kinds[f"{record.connection} {record.kind}"] += 1
        if record.outcome == OK and record.kind != WRITE:
            latencies.append(record.latency)
    latencies.sort()
    races = outcomes.pop(IDLE_RACE, 0)
    writes_kept = sum(one.outcome == OK for one in writes)
    reads = outcomes.total() - len(writes)
    kept = outcomes.pop(OK, 0) - writes_kept
    return Report(
        reads=reads,
        reads_kept=kept,
        writes=len(writes),
        writes_kept=writes_kept,
        writes_lost=0,
        writes_duplicated=0,
        errors=dict(sorted(outcomes.items())),
        idle_race=races,
        p50_ms=_in_ms(percentile(latencies, 0.5)),
        p99_ms=_in_ms(percentile(latencies, 0.99)),
        longest_ms=_in_ms(percentile(latencies, 1.0)),
        by_kind=dict(sorted(kinds.items())),
        lost=_describe_lost(records),
        lag_ms=round(lag * 1000, 1),
        longest_write_ms=_in_ms(max((one.latency for one in writes), default=None)),
        acknowledged=tuple(acknowledged),
    )


def _describe_lost(records: Sequence[Record], limit: int = 20) -> list[str]:
    start = min((record.scheduled_at for record in records), default=0.0)
    lost = sorted(one for one in records if one.outcome not in {OK, IDLE_RACE})
    return [
        f"{one.outcome} after {one.latency:.3f} s: {one.connection} {one.kind} "
        f"due at {one.scheduled_at - start:.3f} s"
        for one in lost[:limit]
    ]


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def write_records(records: Iterable[Record], path: Path) -> None:
    """Write *records* to *path* as CSV, with a head."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Record._fields)
        for record in records:
            writer.writerow(
                (f"{record.scheduled_at:.6f}", f"{record.latency:.6f}", *record[2:])
            )


def read_records(path: Path) -> list[Record]:
    """Return what `write_records` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Record(
                float(row["scheduled_at"]),
                float(row["latency"]),
                row["outcome"],
                row["kind"],
                row["connection"],
            )
            for row in csv.DictReader(file)
        ]
