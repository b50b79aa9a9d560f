"""The command that others script against: rows, fields, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import deploys as deploys_command
from bench import rows
from bench.instance import REPOSITORY, InstanceError
from bench.programs import SOURCES
from bench.rows.row import Claim, Row
from bench.waiting import wait_until

FIELDS = [
    "row",
    "deploys",
    "rate",
    "reads",
    "reads_kept",
    "writes",
    "writes_kept",
    "writes_lost",
    "writes_duplicated",
    "errors",
    "idle_race",
    "p50_ms",
    "p99_ms",
    "longest_ms",
    "skipped",
]
ROWS = [
    "naive-restart",
    "naive-caddy",
    "naive-traefik",
    "traefik",
    "traefik-retry",
    "consul-traefik",
    "nomad-consul-traefik",
    "caddy",
    "caddy-tls",
    "haproxy",
    "nginx-flip",
    "kubernetes",
    "container",
    "reuseport",
    "handover",
    "systemd-bluegreen",
    "systemd-restart",
]


def deploys(
    *arguments: str, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "bench/deploys.py", *arguments],
        cwd=REPOSITORY,
        env=os.environ | ({"PATH": str(path)} if path else {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_list_names_every_row():
    done = deploys("--list")
    assert done.returncode == 0
    assert done.stdout.split() == ROWS


def test_only_traefik_alone_and_the_flip_of_nginx_are_printed_and_not_judged():
    claims = {name: row.claim for name, row in rows.ROWS.items()}
    naive = {name for name in ROWS if name.startswith("naive-")}
    printed = {"traefik", "nginx-flip"}
    assert {name for name in ROWS if claims[name] is Claim.LOSES} == naive
    assert {name for name in ROWS if claims[name] is Claim.PRINTED} == printed
    gated = {name for name in ROWS if claims[name] is Claim.KEEPS_ALL}
    assert gated == {*ROWS} - naive - printed


def test_a_row_whose_program_is_not_here_says_how_to_get_it(tmp_path):
    lacking = {
        "haproxy": "haproxy",
        "nginx-flip": "nginx",
        "nomad-consul-traefik": "nomad",
    }
    file = tmp_path / "rows.json"
    done = deploys("--row", *lacking, "--json", str(file), "--check", path=tmp_path)
    assert done.returncode == 0
    for name, result in zip(lacking, json.loads(file.read_text()), strict=True):
        assert list(result) == FIELDS
        assert result["row"] == name
        program = lacking[name]
        assert result["skipped"] == f"{program} is missing: {SOURCES[program]}"
        assert {result[field] for field in FIELDS[3:-1]} == {None}
        assert f"- {name}: skipped, {result['skipped']}" in done.stdout


def test_every_row_is_built():
    assert {*rows.ROWS} == {*ROWS}


class Broken(Row):
    """A row that cannot be played."""

    name = "caddy"
    ways = ({}, {"refresh": 15.0, "grace": 16.0})

    @property
    def target(self):
        raise InstanceError("never reached")

    def start(self):
        raise InstanceError(f"it broke, grace {self.stage.grace:g}s\nand its log")

    def deploy(self):
        raise InstanceError("never reached")


class Mistaken(Broken):
    """A row with a mistake in it, which nobody foresaw."""

    def start(self):
        raise KeyError("unforeseen")


def test_a_row_that_fails_takes_no_other_with_it(tmp_path, monkeypatch, capsys):
    broken = {"caddy": Broken, "haproxy": Mistaken}
    monkeypatch.setattr(rows, "ROWS", broken)
    vault, file, table = tmp_path / "vault", tmp_path / "a.json", tmp_path / "a.md"
    vault.mkdir()
    code = deploys_command.main(
        [
            *("--row", "caddy", "haproxy", "nginx-flip", "--ways", "--deploys", "2"),
            *("--requests", "80", "500", "--vault", str(vault)),
            *("--json", str(file), "--markdown", str(table)),
        ]
    )
    assert code == 1
    results = [
        (one["row"], one["rate"], one["skipped"])
        for one in json.loads(file.read_text())
    ]
    ways = ("failed: it broke, grace 5s", "failed: it broke, grace 16s")
    mistake = "failed: 'unforeseen'"
    assert results == [
        (name, rate, reason)
        for rate in (80.0, 500.0)
        for name, reasons in (
            ("caddy", ways),
            ("haproxy", (mistake, mistake)),
            ("nginx-flip", ("not built yet",)),
        )
        for reason in reasons
    ]
    said = capsys.readouterr()
    assert said.out == table.read_text()
    assert "and its log" in said.err
    assert said.err.count("Traceback") == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["--row", "no-such-row"],
        ["--deploys", "0"],
        ["--rate", "0"],
        ["--requests", "80", "0"],
        ["--grace", "soon"],
        ["--vault", "/no/such/folder"],
    ],
)
def test_a_wrong_call_is_refused(arguments):
    done = deploys(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_a_restart_on_one_socket_keeps_what_a_bare_restart_loses(tmp_path):
    file, table = tmp_path / "rows.json", tmp_path / "rows.md"
    done = deploys(
        *("--row", "naive-restart", "systemd-restart", "--deploys", "1"),
        *("--rate", "100", "--grace", "1s", "--check"),
        *("--json", str(file), "--markdown", str(table)),
    )
    assert done.returncode == 0, done.stderr
    naive, systemd = json.loads(file.read_text())
    assert list(naive) == list(systemd) == FIELDS
    assert naive["errors"]["refused"] > 0
    assert naive["reads"] > naive["reads_kept"] > 0
    assert systemd["errors"] == {}
    assert systemd["reads"] == systemd["reads_kept"] > 100
    for result in (naive, systemd):
        assert result["skipped"] is None
        assert result["p50_ms"] <= result["p99_ms"] <= result["longest_ms"]
        assert result["writes_lost"] == result["writes_duplicated"] == 0
    assert systemd["writes"] == systemd["writes_kept"] > 10
    assert naive["writes"] > naive["writes_kept"] > 0
    assert table.read_text() == done.stdout
    assert "| systemd-restart | 1 | 100 pages/s |" in done.stdout
    for word in (
        "- Machine: ",
        "- Software: Python ",
        "- Date: ",
        "- Command: `python ",
    ):
        assert word in done.stdout


def test_ended_by_a_signal_it_leaves_no_process(tmp_path):
    command = [sys.executable, "bench/deploys.py", "--row", "naive-restart"]
    environ = os.environ | {"TMPDIR": str(tmp_path)}

    def started() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"TMPDIR={tmp_path}".encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().decode())
        return found

    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environ, stderr=subprocess.PIPE, text=True
    ) as bench:
        wait_until(
            lambda: (
                any("bench.load" in one for one in started())
                and any("gunicorn" in one for one in started())
            ),
            60,
            "the load",
        )
        bench.terminate()
        _, said = bench.communicate(timeout=60)
    assert bench.returncode == 1
    assert said.splitlines()[-1] == "Ended before the last row was played."
    assert started() == []
