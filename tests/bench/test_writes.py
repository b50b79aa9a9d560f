"""Writes are sent once, by eight clients, and reconciled with what is stored."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from bench import writes
from bench.report import IDLE_RACE, OK, Record, summarize
from bench.writes import CLIENTS, Reconciled, Writers, path_of, reconcile
from lifecycle.knobs import Address
from tests.bench.stub import ANSWERS, Stub

Act = Callable[[Writers, Stub], Coroutine[None, None, list[str]]]


def run(act: Act, *, rest_limit: float = 60.0) -> tuple[list[str], Writers, Stub]:
    """Let *act* write to a stub; return what became of the writes."""

    async def scene() -> tuple[list[str], Writers, Stub]:
        stub = Stub()
        await stub.start(Address("127.0.0.1", 0))
        writers = Writers(stub.address, "localhost", "secret", rest_limit)
        try:
            outcomes = await act(writers, stub)
        finally:
            writers.close()
            await stub.stop()
        return outcomes, writers, stub

    return asyncio.run(scene())


def send(count: int, timeout: float = 10.0) -> Act:
    async def act(writers: Writers, stub: Stub) -> list[str]:
        give_up_at = asyncio.get_running_loop().time() + timeout
        return await asyncio.gather(
            *(writers.write(number, give_up_at) for number in range(count))
        )

    return act


@pytest.mark.parametrize(
    ("like", "outcome"),
    [
        ("/closing", OK),
        ("/unready", "write status 503"),
        ("/cut", "write cut"),
        ("/no-answer", "write cut"),
        ("/nonsense", "write malformed"),
    ],
)
def test_each_end_of_a_write_is_counted_and_none_is_sent_twice(
    monkeypatch, like, outcome
):
    for number in range(20):
        monkeypatch.setitem(ANSWERS, path_of(number), ANSWERS[like])
    monkeypatch.setattr("tests.bench.stub.CLOSING", {path_of(n) for n in range(20)})
    outcomes, writers, stub = run(send(20))
    assert outcomes == [outcome] * 20
    assert stub.requests == {path_of(number): 1 for number in range(20)}
    assert sorted(writers.acknowledged) == (list(range(20)) if outcome == OK else [])


def test_eight_are_under_way_at_once_and_no_more(monkeypatch):
    monkeypatch.setattr(writes, "path_of", lambda number: "/gated")

    async def act(writers: Writers, stub: Stub) -> list[str]:
        stub.gate = CLIENTS  # none is answered before all eight have come
        return await send(20)(writers, stub)

    outcomes, _, stub = run(act)
    assert outcomes == [OK] * 20
    # A connection carries one at a time, and there were no more than these.
    assert sorted(stub.by_connection) == [2] * 4 + [3] * 4


def test_a_write_whose_turn_does_not_come_in_time_is_not_sent(monkeypatch):
    monkeypatch.setattr(writes, "path_of", lambda number: "/silent")
    outcomes, _, stub = run(send(CLIENTS + 1, timeout=0.2))
    assert outcomes == ["write timeout"] * (CLIENTS + 1)
    assert stub.requests == {"/silent": CLIENTS}


@pytest.mark.parametrize(("rest_limit", "connections"), [(60.0, 1), (0.0, 2)])
def test_a_connection_that_rested_too_long_is_not_used_again(rest_limit, connections):
    async def act(writers: Writers, stub: Stub) -> list[str]:
        give_up_at = asyncio.get_running_loop().time() + 10
        return [await writers.write(number, give_up_at) for number in (0, CLIENTS)]

    outcomes, _, stub = run(act, rest_limit=rest_limit)
    assert outcomes == [OK, OK]
    assert len(stub.by_connection) == connections


def test_no_listener_is_refused():
    async def act(writers: Writers, stub: Stub) -> list[str]:
        await stub.stop()
        return await send(3)(writers, stub)

    assert run(act)[0] == ["write refused"] * 3


def test_writes_have_columns_of_their_own():
    records = [
        Record(1.0, 0.01, OK, "page", "kept"),
        Record(1.0, 0.50, OK, "write", "writer"),
        Record(1.0, 0.20, "write status 503", "write", "writer"),
        Record(1.0, 0.20, IDLE_RACE, "page", "rested"),
    ]
    report = summarize(records, 0, [1])
    assert (report.reads, report.reads_kept) == (1, 1)
    assert (report.writes, report.writes_kept) == (2, 1)
    assert report.errors == {"write status 503": 1}
    assert (report.longest_ms, report.longest_write_ms) == (10.0, 500.0)


def test_what_was_acknowledged_is_reconciled_with_the_rows(tmp_path: Path):
    database = tmp_path / "site.sqlite3"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE notes_note (path)")
    connection.execute("CREATE TABLE notes_change (path)")
    rows = [("bench/0.md",), ("bench/1.md",), ("bench/3.md",), ("other.md",)]
    connection.executemany("INSERT INTO notes_note VALUES (?)", rows)
    changes = [*rows, ("bench/1.md",), ("other.md",)]
    connection.executemany("INSERT INTO notes_change VALUES (?)", changes)
    connection.commit()
    connection.close()
    # 3 was stored without a word of it, which is no loss.
    assert reconcile(database, [0, 1, 2]) == Reconciled(lost=[2], duplicated=[1])
