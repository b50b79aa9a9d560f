"""The generator counts each way of losing a request, and sends none twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bench.load import RESTED_LIMIT, Load, Plan
from bench.load_process import REPOSITORY, LoadError, LoadProcess
from bench.references import find_attachment, find_stylesheet
from bench.report import summarize
from lifecycle.knobs import Address
from tests.bench.stub import PAGE, Stub
from tests.processes import free_port

Drive = Callable[[Load, Stub], Awaitable[None]]


def run(
    *pages: str,
    reads: int = 8,
    rate: float = 200,
    grace: float = 5.0,
    timeout: float = 10.0,
    address: Address | None = None,
    stub: Stub | None = None,
    drive: Drive | None = None,
) -> tuple[Load, Stub]:
    """Load a stub: *reads* page reads in turn of *pages*, or as long as *drive* runs."""

    async def scene() -> tuple[Load, Stub]:
        server = stub or Stub()
        await server.start(address or Address("127.0.0.1", 0))
        plan = Plan(server.address, pages, rate, grace=grace, timeout=timeout)
        load = Load(plan)
        seconds = None if drive else reads / rate
        driven = asyncio.create_task(load.run(seconds, lambda: None))
        try:
            if drive:
                await drive(load, server)
                load.stop.set()
            await driven
        finally:
            await server.stop()
        return load, server

    return asyncio.run(scene())


def outcomes(load: Load) -> dict[str, int]:
    return dict(Counter(record.outcome for record in load.records))


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/", "ok"),
        ("/closing", "ok"),
        ("/chunked", "ok"),
        ("/trailer", "ok"),
        ("/interim", "ok"),
        ("/to-the-end", "ok"),
        ("/unready", "status 503"),
        ("/missing", "status 404"),
        ("/reset", "reset"),
        ("/cut", "cut"),
        ("/cut-chunked", "cut"),
        ("/no-answer", "cut"),
        ("/no-page-end", "cut"),
        ("/nonsense", "malformed"),
        ("/bad-chunk", "malformed"),
        ("/too-long", "malformed"),
    ],
)
def test_each_end_of_a_request_is_counted_as_what_it_is(path, outcome):
    load, stub = run(path)
    pages = [record for record in load.records if record.kind == "page"]
    assert [record.outcome for record in pages] == [outcome] * 9
    assert Counter(r.connection for r in pages) == {"kept": 4, "fresh": 4, "rested": 1}
    assert stub.requests[path] == 9, "a request was sent twice, or not at all"


@pytest.mark.parametrize(
    ("path", "outcome"), [("/silent", "timeout"), ("/stalled", "stalled")]
)
def test_an_answer_that_does_not_come_in_time_is_counted(path, outcome):
    load, _ = run(path, timeout=0.2)
    assert outcomes(load) == {outcome: 9}


def test_no_listener_is_refused():
    async def drive(load: Load, stub: Stub) -> None:
        await stub.stop()
        await until(lambda: len(load.records) >= 8)

    load, _ = run("/bare", drive=drive)
    assert outcomes(load)["refused"] >= 7  # the first may be sent before the stop


def test_a_missing_unix_socket_is_refused(tmp_path):
    async def scene() -> Load:
        plan = Plan(Address("", 0, str(tmp_path / "none")), ["/"], 200)
        load = Load(plan)
        await load.run(0.02, lambda: None)
        return load

    assert outcomes(asyncio.run(scene())) == {"refused": 5}


def test_sends_are_due_on_schedule_whatever_earlier_ones_do():
    """No answer comes before all 60 have been sent: a closed loop would wait for ever."""
    stub = Stub()
    stub.gate = 61
    load, _ = run("/gated", reads=60, stub=stub)
    assert outcomes(load) == {"ok": 61}
    due = sorted(r.scheduled_at for r in load.records if r.connection != "rested")
    assert due == pytest.approx([due[0] + n / 200 for n in range(60)])
    # All ended together, so those that were due first took longest.
    by_due = sorted(load.records)
    assert by_due[0].latency > by_due[-1].latency + 0.2


def test_a_page_brings_its_stylesheet_and_its_first_attachment():
    load, stub = run("/")
    assert stub.requests == {"/": 9, "/static/site.css?v=1&x=2": 8, "/files/a.png": 8}
    assert Counter(r.kind for r in load.records) == {
        "page": 9,  # one of them on a connection that rests
        "stylesheet": 8,
        "attachment": 8,
    }


def test_what_a_page_names_elsewhere_is_not_fetched():
    page = b'<link rel="stylesheet" href="//cdn.test/a.css"><img src="data:,x">'
    assert find_stylesheet(page, "/") is None
    assert find_attachment(page, "/") is None
    assert find_stylesheet(PAGE, "/folder/page") == "/static/site.css?v=1&x=2"
    assert find_attachment(PAGE, "/folder/page") == "/folder/files/a.png"
    assert find_attachment(b"<img src='/\xc3\xa9.png#x'>", "/") == "/%C3%A9.png"


def test_kept_connections_are_used_in_turn_and_fresh_ones_once():
    load, stub = run("/bare", reads=100, rate=400, grace=0.2)
    assert load.plan.kept_limit == 10
    kept = [count for count in stub.by_connection if count > 1]
    assert len(kept) == 10
    assert min(kept) >= 3, "one rested while another was used"  # of 5 at the mean
    assert stub.by_connection.count(1) >= 50 + RESTED_LIMIT  # fresh, or resting


def test_a_connection_that_says_close_is_not_used_again():
    load, stub = run("/closing", reads=20)
    assert outcomes(load) == {"ok": 21}
    assert stub.by_connection == [1] * 21


def test_a_reset_of_a_connection_in_use_is_a_loss():
    load, _ = run("/moody", reads=30, rate=40, grace=2.0)
    # 15 kept reads on 10 connections, which are reset at their second read.
    lost = [r for r in load.records if r.outcome != "ok"]
    assert lost
    assert {(r.outcome, r.connection) for r in lost} == {("reset", "kept")}


def test_a_reset_of_a_connection_that_rested_too_long_is_told_apart():
    load, _ = run("/moody", reads=400, rate=400, grace=0.4)
    races = [r for r in load.records if r.outcome == "idle_race"]
    rested = {r.outcome for r in load.records if r.connection == "rested"}
    assert rested == {"ok", "idle_race"}
    report = summarize(load.records, load.lag)
    assert report.idle_race == len(races)
    assert report.reads == len(load.records) - len(races)
    assert "idle_race" not in report.errors


def test_a_restart_loses_what_came_in_between_and_nothing_else():
    async def drive(load: Load, stub: Stub) -> None:
        await until(lambda: outcomes(load).get("ok", 0) >= 20)
        await stub.stop()
        await until(lambda: outcomes(load).get("refused", 0) >= 10)
        await stub.start()
        whole = outcomes(load)["ok"]
        await until(lambda: outcomes(load)["ok"] >= whole + 20)

    load, _ = run("/bare", drive=drive)
    counts = outcomes(load)
    # A stop cuts what is under way, too.
    assert set(counts) <= {"ok", "refused", "reset", "cut"}
    bad = [r for r in sorted(load.records) if r.outcome == "refused"]
    first, last = bad[0].scheduled_at, bad[-1].scheduled_at
    between = {
        r.outcome
        for r in load.records
        if first < r.scheduled_at < last and r.connection == "fresh"
    }
    assert between == {"refused"}


@pytest.mark.parametrize("host", ["unix", "::1"])
def test_unix_sockets_and_ipv6_are_targets(host, tmp_path):
    address = (
        Address("", 0, str(tmp_path / "s")) if host == "unix" else Address("::1", 0)
    )
    load, _ = run("/bare", address=address)
    assert outcomes(load) == {"ok": 9}


async def until(predicate: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not predicate():
            await asyncio.sleep(0.005)


def load_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "bench/load.py", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_prints_its_sums_and_writes_its_records(tmp_path):
    port = free_port()
    done = load_command(
        *("--target", f"127.0.0.1:{port}", "--rate", "100", "--seconds", "0.1"),
        *("--records", str(tmp_path / "records.csv")),
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, done.stderr) == (0, "")
    assert report["reads"] == 11
    assert report["errors"] == {"refused": 11}
    assert report["p50_ms"] is None
    assert len((tmp_path / "records.csv").read_text().splitlines()) == 12


@pytest.mark.parametrize(
    "arguments",
    [
        ["--target", "nowhere"],
        ["--target", "127.0.0.1:1", "--rate", "0"],
        ["--target", "127.0.0.1:1", "--grace", "soon"],
    ],
)
def test_the_command_refuses_what_does_not_parse(arguments):
    done = load_command(*arguments)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_process_runs_till_it_is_stopped():
    plan = Plan(Address("127.0.0.1", free_port()), ["/a", "/b"], 100)
    with LoadProcess(plan) as process:
        report = process.stop()
    assert report.reads >= 1
    assert report.errors == {"refused": report.reads}
    assert len(process.records) == report.reads


def test_a_process_that_fails_says_why(tmp_path):
    plan = Plan(Address("127.0.0.1", 1), ["/"], -1)
    with pytest.raises(LoadError, match="--rate must be above 0"), LoadProcess(plan):
        pass
    assert Path(tmp_path).exists()
