"""
Hand the writer slot over under writes, and measure the gap that a writer sees.

    python bench/handoff.py --handoffs 50 --deploys 10 --markdown FILE --json FILE

Two instances share one listening socket. Fifty writes a second are sent at it, open
loop, with twice as many pages read, while the slot goes from one instance to the other
and back. For each handoff: how long it took as a whole, from the ask to the new epoch,
and the longest that a write or a read took which was due meanwhile. Spans of the same
length in which nothing is handed over show what the machine itself does to writes.

Then new instances are started, each of which takes the slot as in a deploy, and is
killed by SIGKILL, so that the one before it takes it back. Requests that such an
instance was answering are cut; what is lost at another time, or in another way, is an
error.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # as a program: modules are found from the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import asyncio
import contextlib
import dataclasses
import json
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence

from bench import machine
from bench.exchange import CUT, RESET
from bench.instance import REPOSITORY, Instance
from bench.load import Plan
from bench.load_process import LoadProcess
from bench.report import IDLE_RACE, OK, WRITE, Record, percentile
from bench.stage import Stage, find_pages
from bench.waiting import listening_socket, wait_until
from bench.writes import reconcile
from lifecycle import peers, timeline
from lifecycle.knobs import Address

PACKAGES = ("Django", "gunicorn")
# A write that is due this long before a handoff may still be caught by it, and one
# that is due after it may queue behind those that were held; in seconds.
_MARGIN = 0.1
_READS_PER_WRITE = 2
# Between two events, in seconds; nothing is awaited.
_PACE = 0.3


MOVED, CALM, DEPLOYED, KILLED = "moved", "calm", "deployed", "killed"
# From the kill of a master to the end of the last of its workers.
DYING = "dying"


@dataclasses.dataclass(frozen=True)
class Span:
    """When something happened, on the monotonic clock, and what."""

    kind: str
    began: float
    ended: float


@dataclasses.dataclass(frozen=True)
class Handoff:
    """
    One handoff, or a span without one; times in milliseconds.

    The whole of one that was moved is from the ask to the new epoch; of a deploy from
    the old holder's last word to the new one's first; of a death from the kill to that.
    """

    kind: str
    whole_ms: float
    longest_write_ms: float
    longest_read_ms: float


class Pair:
    """Two instances on one socket, one of which holds the slot."""

    def __init__(self, stage: Stage, instances: Sequence[Instance]) -> None:
        self._run_dir = peers.RunDir(Path(stage.knobs["DATA_DIR"]))
        self._instances = instances

    def _by_role(self) -> tuple[peers.Peer, peers.Peer]:
        """Return the holder and the other one."""
        living = peers.living(self._run_dir)
        holds = {
            peer.id: bool(peers.ask(self._run_dir, peer, "/status")["epoch"])
            for peer in living
        }
        (holder,) = [peer for peer in living if holds[peer.id]]
        (other,) = [peer for peer in living if not holds[peer.id]]
        return holder, other

    def move(self) -> Span:
        """Move the slot."""
        holder, other = self._by_role()
        ask = peers.ask(self._run_dir, other, "/identity")
        began = time.monotonic()
        answer = peers.post(self._run_dir, holder, "/slot", ask, timeout=20.0)
        if answer["refusal"]:
            raise RuntimeError(f"the holder refused: {answer['refusal']}")
        wait_until(
            lambda: peers.ask(self._run_dir, other, "/status")["epoch"],
            20,
            "the new epoch",
            interval=0.002,
        )
        return Span(MOVED, began, time.monotonic())


def deploy_and_kill(stage: Stage, new: Instance) -> list[Span]:
    """Let *new* take the slot, and whoever gave it take it back; *new* is gone then."""
    data_dir = Path(stage.knobs["DATA_DIR"])
    # The history has the time of day.
    offset = time.time() - time.monotonic()

    def entered(phase: str) -> list[float]:
        lines = timeline.read(data_dir)
        return [line["at"] - offset for line in lines if line["phase"] == phase]

    before = len(entered("ready"))
    new.start()
    new.wait_ready()
    time.sleep(_MARGIN)  # what was held meanwhile is answered
    deployed = Span(DEPLOYED, max(entered("standby")), entered("ready")[-1])
    time.sleep(_PACE)
    began = time.monotonic()
    new.send(signal.SIGKILL)
    wait_until(lambda: len(entered("ready")) > before + 1, 20, "the next holder")
    killed = Span(KILLED, began, entered("ready")[-1])
    new.kill()  # its workers, if they have not noticed
    return [deployed, killed, Span(DYING, began, time.monotonic())]


def measure(
    stage: Stage, handoffs: int, deploys: int, rate: float
) -> tuple[list[Handoff], dict[str, object]]:
    """Return the handoffs, and the sums of the load."""
    with contextlib.ExitStack() as resources:
        listener = resources.enter_context(listening_socket())
        instances = [
            resources.enter_context(stage.instance(listener=listener, name="handoff"))
            for _ in range(2)
        ]
        for instance in instances:
            instance.start()
            instance.wait_ready()
        pair = Pair(stage, instances)
        host, port = listener.getsockname()[:2]
        target = Address(host, port)
        pages = asyncio.run(find_pages(target))
        plan = Plan(
            target,
            pages,
            _READS_PER_WRITE * rate,
            grace=stage.grace,
            token=stage.make_token(),
            write_share=1 / _READS_PER_WRITE,
            only_new=True,
        )
        spans = []
        with LoadProcess(plan) as load:
            for _ in range(handoffs):
                time.sleep(_PACE)
                calm = time.monotonic()
                time.sleep(_PACE)
                moved = pair.move()
                spans.append(moved)
                spans.append(Span(CALM, calm, calm + moved.ended - moved.began))
            for _ in range(deploys):
                new = stage.instance(listener=listener, name="deployed")
                spans.extend(deploy_and_kill(stage, resources.enter_context(new)))
            time.sleep(0.5)
            report = load.stop()
            records = load.records
        for instance in reversed(instances):
            instance.stop()
    found = reconcile(stage.database, report.acknowledged)
    # The generator may be as late to notice as it was with a send.
    cut = cut_by_kills(records, spans, _MARGIN + report.lag_ms / 1000)
    sums: dict[str, object] = {
        "reads": report.reads,
        "reads_kept": report.reads_kept,
        "reads_cut_by_kills": sum(one.kind != WRITE for one in cut),
        "writes": report.writes,
        "writes_kept": report.writes_kept,
        "writes_cut_by_kills": sum(one.kind == WRITE for one in cut),
        "writes_lost": len(found.lost),
        "writes_duplicated": len(found.duplicated),
        "errors": _errors(records, cut),
    }
    return [_one(span, records) for span in spans if span.kind != DYING], sums


def cut_by_kills(
    records: Sequence[Record], spans: Sequence[Span], margin: float
) -> set[Record]:
    """Return the requests cut while an instance was dying by SIGKILL, or *margin* after."""
    dying = [span for span in spans if span.kind == DYING]
    return {
        one
        for one in records
        if one.outcome.removeprefix("write ") in {CUT, RESET}
        and any(
            span.began <= one.scheduled_at + one.latency <= span.ended + margin
            for span in dying
        )
    }


def _errors(records: Sequence[Record], cut: set[Record]) -> dict[str, int]:
    """Return how many requests came to which bad end, less those that were *cut*."""
    bad = (one.outcome for one in records if one not in cut)
    return dict(Counter(outcome for outcome in bad if outcome not in {OK, IDLE_RACE}))


def _one(span: Span, records: Sequence[Record]) -> Handoff:
    near = [
        one
        for one in records
        if one.outcome == OK
        and one.scheduled_at + one.latency >= span.began
        and one.scheduled_at <= span.ended + _MARGIN
    ]

    def longest(*, writes: bool) -> float:
        latencies = [one.latency for one in near if (one.kind == WRITE) == writes]
        return round(1000 * max(latencies, default=0.0), 1)

    return Handoff(
        kind=span.kind,
        whole_ms=round(1000 * (span.ended - span.began), 1),
        longest_write_ms=longest(writes=True),
        longest_read_ms=longest(writes=False),
    )


_ROWS = (
    (MOVED, "longest_write_ms", "handoff: the longest write (goal: p99 <= 100)"),
    (MOVED, "whole_ms", "handoff: as a whole"),
    (MOVED, "longest_read_ms", "handoff: the longest read meanwhile"),
    (CALM, "longest_write_ms", "a span as long without one: the longest write"),
    (DEPLOYED, "whole_ms", "deploy of a new instance: without a holder"),
    (DEPLOYED, "longest_write_ms", "deploy of a new instance: the longest write"),
    (KILLED, "whole_ms", "the holder killed: until the next one holds"),
    (KILLED, "longest_write_ms", "the holder killed: the longest write"),
)


def to_markdown(
    handoffs: Sequence[Handoff], sums: dict[str, object], head: Sequence[str]
) -> str:
    """Return the table, with its *head* above."""
    lines = [*machine.title("Handing the writer slot over"), *head, ""]
    lines += ["| of each | count | median ms | p99 ms | longest ms |"]
    lines += ["| --- | ---: | ---: | ---: | ---: |"]
    for kind, name, text in _ROWS:
        ordered = sorted(getattr(one, name) for one in handoffs if one.kind == kind)
        cells = [percentile(ordered, share) for share in (0.5, 0.99, 1.0)]
        if ordered:
            row = [text, str(len(ordered)), *map(str, cells)]
            lines.append(f"| {' | '.join(row)} |")
    lines += ["", *(f"- {name}: {value}" for name, value in sums.items())]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement that the command line describes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--handoffs", type=int, default=50)
    parser.add_argument("--deploys", type=int, default=10)
    parser.add_argument("--rate", type=float, default=50.0, help="writes a second")
    parser.add_argument("--vault", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the table here, too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="handoff-") as folder:
        stage = Stage(Path(folder), grace=1.0)
        stage.load_vault(options.vault)
        handoffs, sums = measure(stage, options.handoffs, options.deploys, options.rate)
    head = machine.describe(machine.command_line(), PACKAGES)
    table = to_markdown(handoffs, sums, head)
    print(table)
    if options.markdown:
        options.markdown.write_text(table, encoding="utf-8")
    if options.json:
        options.json.write_text(
            json.dumps([dataclasses.asdict(one) for one in handoffs], indent=1) + "\n",
            encoding="utf-8",
        )
    wrong = ("writes_lost", "writes_duplicated", "errors")
    return 1 if any(sums[name] for name in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
