"""
An open-loop load: each read is sent when it is due, whatever became of the others.

    python bench/load.py --target 127.0.0.1:8080 --rate 200 --seconds 10 --page /

A read is a page, then the stylesheet that the page names, then the first
attachment that it shows: as a browser does, on the page's kept connection or on
a fresh one each. No request is ever sent a second time. SIGTERM and SIGINT end
the schedule; what is under way is waited for, and the sums are the last line.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # as a program: modules are found from the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import asyncio
import dataclasses
import itertools
import json
import os
import signal
from collections.abc import Callable, Coroutine, Sequence

from bench.exchange import (
    CUT,
    RESET,
    STALLED,
    TIMEOUT,
    Answer,
    LostError,
    connect,
)
from bench.pool import Pool
from bench.references import find_attachment, find_stylesheet
from bench.report import IDLE_RACE, OK, WRITE, Record, summarize, write_records
from bench.writes import SHARE, Writers
from lifecycle.knobs import Address, Knob, KnobError, address, duration

PAGE_END = b"</html>"
RESTED_LIMIT = 4
"""Connections that rest longer than a drain lasts."""
STOP_INTERVAL = 0.1
"""Seconds within which the schedule notices that it is to end."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """
    What to send, and where.

    Attributes:
        target: the public port.
        pages: paths, read in turn.
        rate: page reads a second, half of them on kept connections. A few more
            come on connections that rest too long to be judged by their losses.
        grace: seconds a draining server goes on serving; a kept connection is
            used at least every half of it.
        timeout: seconds from the moment a request is due to giving it up.
        host: the Host header.
    """

    target: Address
    pages: Sequence[str]
    rate: float
    grace: float = 5.0
    timeout: float = 15.0
    host: str = "localhost"
    token: str = ""
    """With a token, writes are sent, too; see `bench.writes`."""
    write_share: float = SHARE
    """Writes for each page read."""
    only_new: bool = False
    """Whether a write that is made twice fails; see `bench.writes`."""
    first_write: int = 0
    """The number of the first write: another one where a load has been before."""
    ca: Path | None = None
    """The authority that signed the target's certificate; None: no TLS."""

    @property
    def kept_limit(self) -> int:
        """How many connections are kept: each is then used often enough."""
        return max(1, min(32, int(self.rate / 2 * self.grace / 4)))

    @property
    def rested_rate(self) -> float:
        """Reads a second on connections that then rest one and a half times *grace*."""
        return RESTED_LIMIT / (1.5 * self.grace)


class Load:
    """One run of a plan; its records grow as answers come."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.records: list[Record] = []
        self.lag = 0.0
        """How late a send was at worst for the generator's own sake, in seconds."""
        self.stop = asyncio.Event()
        self._pools = {
            "kept": Pool(plan.kept_limit),
            "fresh": Pool(0),
            "rested": Pool(RESTED_LIMIT),
        }
        self.writers = Writers(
            plan.target,
            plan.host,
            plan.token,
            plan.grace / 2,
            plan.ca,
            only_new=plan.only_new,
        )

    async def run(self, seconds: float | None, begun: Callable[[], None]) -> None:
        """Send on schedule for *seconds*, or till `stop`; then wait for the rest."""
        start = asyncio.get_running_loop().time()
        end = float("inf") if seconds is None else start + seconds
        await asyncio.gather(
            self._keep_schedule(start, end, self.plan.rate, self._read, begun),
            self._keep_schedule(
                start, end, self.plan.rested_rate, self._read_rested, lambda: None
            ),
            *self._write_schedule(start, end),
        )
        for pool in self._pools.values():
            pool.close()
        self.writers.close()

    def _write_schedule(
        self, start: float, end: float
    ) -> list[Coroutine[None, None, None]]:
        if not self.plan.token:
            return []
        rate = self.plan.rate * self.plan.write_share
        return [self._keep_schedule(start, end, rate, self._write, lambda: None)]

    async def _write(self, number: int, due: float) -> None:
        number += self.plan.first_write
        outcome = await self.writers.write(number, due + self.plan.timeout)
        latency = asyncio.get_running_loop().time() - due
        self.records.append(Record(due, latency, outcome, WRITE, "writer"))

    async def _keep_schedule(
        self,
        start: float,
        end: float,
        rate: float,
        read: Callable[[int, float], Coroutine[None, None, None]],
        begun: Callable[[], None],
    ) -> None:
        clock = asyncio.get_running_loop().time
        reads: set[asyncio.Task[None]] = set()
        for number in itertools.count():
            due = start + number / rate
            if due >= end or not await self._sleep_until(due):
                break
            self.lag = max(self.lag, clock() - due)
            task = asyncio.create_task(read(number, due))
            reads.add(task)
            task.add_done_callback(reads.discard)
            if number == 0:
                task.add_done_callback(lambda _: begun())
        await asyncio.gather(*reads)

    async def _sleep_until(self, due: float) -> bool:
        """Return True at *due*, or False soon after `stop`."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(min(max(0.0, due - clock()), STOP_INTERVAL))
            if self.stop.is_set() or clock() >= due:
                return not self.stop.is_set()

    async def _read(self, number: int, due: float) -> None:
        """Read a page and what it needs, as one reader does."""
        connection = "fresh" if number % 2 else "kept"
        path = self.plan.pages[number // 2 % len(self.plan.pages)]
        page = await self._fetch("page", path, due, connection)
        if page is None:
            return
        clock = asyncio.get_running_loop().time
        for kind, found in (
            ("stylesheet", find_stylesheet(page.body, path)),
            ("attachment", find_attachment(page.body, path)),
        ):
            if found is not None:
                await self._fetch(kind, found, clock(), connection)

    async def _read_rested(self, number: int, due: float) -> None:
        path = self.plan.pages[number % len(self.plan.pages)]
        await self._fetch("page", path, due, "rested")

    async def _fetch(
        self, kind: str, path: str, due: float, connection: str
    ) -> Answer | None:
        """Send one request, record what became of it; return a whole 200."""
        clock = asyncio.get_running_loop().time
        pool = self._pools[connection]
        used = pool.take()
        is_idle = used is not None and clock() - used.used_at > self.plan.grace / 2
        answer: Answer | None = None
        try:
            async with asyncio.timeout_at(due + self.plan.timeout):
                if used is None:
                    used = await connect(self.plan.target, self.plan.host, self.plan.ca)
                answer = await used.get(
                    path, self.plan.host, close=connection == "fresh"
                )
            outcome = self._judge(kind, answer)
        except LostError as exc:
            outcome = exc.outcome
            if is_idle and outcome in {RESET, CUT} and not exc.has_begun:
                outcome = IDLE_RACE
        except TimeoutError:
            has_begun = used is not None and used.has_begun
            outcome = STALLED if has_begun else TIMEOUT
        pool.give_back(used, is_whole=answer is not None)
        self.records.append(Record(due, clock() - due, outcome, kind, connection))
        return answer if outcome == OK else None

    @staticmethod
    def _judge(kind: str, answer: Answer) -> str:
        if answer.status != 200:
            return f"status {answer.status}"
        if kind == "page" and not answer.body.rstrip().endswith(PAGE_END):
            return CUT
        return OK


async def _main(plan: Plan, seconds: float | None, records: Path | None) -> None:
    load = Load(plan)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stop.set)
    await load.run(
        seconds, lambda: print(json.dumps({"begun_at": loop.time()}), flush=True)
    )
    if records is not None:
        write_records(load.records, records)
    report = summarize(load.records, load.lag, load.writers.acknowledged)
    print(json.dumps(dataclasses.asdict(report)), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load that the command line describes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--target", required=True, help="'127.0.0.1:8080', 'unix:…'")
    parser.add_argument("--rate", type=float, default=200.0, help="page reads a second")
    parser.add_argument("--seconds", type=float, help="default: till SIGTERM")
    parser.add_argument("--page", action="append", default=[], help="a path; repeats")
    parser.add_argument("--pages", type=Path, help="a file with a path a line")
    parser.add_argument("--grace", default="5s", help="the server's grace (5s)")
    parser.add_argument("--timeout", default="15s", help="for one request (15s)")
    parser.add_argument(
        "--write-share", type=float, default=SHARE, help="writes a read"
    )
    parser.add_argument(
        "--only-new", action="store_true", help="let a write made twice fail"
    )
    parser.add_argument(
        "--first-write", type=int, default=0, help="number writes from this one on"
    )
    parser.add_argument("--host", default="localhost", help="Host header (localhost)")
    parser.add_argument(
        "--ca", type=Path, help="read by TLS; certificates of its authority"
    )
    parser.add_argument("--records", type=Path, help="write a CSV line a request here")
    options = parser.parse_args(arguments)
    pages = options.page + (
        options.pages.read_text(encoding="utf-8").split() if options.pages else []
    )
    if options.rate <= 0:
        parser.error("--rate must be above 0")
    try:
        plan = Plan(
            target=Knob("--target", address, "", "").read({"--target": options.target}),
            pages=pages or ["/"],
            rate=options.rate,
            grace=Knob("--grace", duration, "", "").read({"--grace": options.grace}),
            timeout=Knob("--timeout", duration, "", "").read(
                {"--timeout": options.timeout}
            ),
            host=options.host,
            token=os.environ.get("BENCH_TOKEN", ""),
            write_share=options.write_share,
            only_new=options.only_new,
            first_write=options.first_write,
            ca=options.ca,
        )
    except KnobError as exc:
        parser.error(str(exc))
    asyncio.run(_main(plan, options.seconds, options.records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
