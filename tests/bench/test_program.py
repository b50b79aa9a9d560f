"""Programs beside the instances: they run from entering to leaving, or say why not."""

from __future__ import annotations

import sys

import pytest

from bench import program
from bench.program import Program, ProgramError
from tests.deploys.scene import wait_gone


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_a_program_runs_till_it_is_left(tmp_path):
    up = tmp_path / "up"
    script = f"import pathlib, time; pathlib.Path({str(up)!r}).touch(); time.sleep(600)"
    with Program(
        python(script), log=tmp_path / "log", is_up=up.exists, environ={}
    ) as running:
        assert running.pid > 0
    wait_gone([running.pid], 5)


def test_a_program_that_ends_says_why(tmp_path):
    made = Program(
        python("raise SystemExit('no such port')"),
        log=tmp_path / "log",
        is_up=lambda: False,
    )
    with pytest.raises(ProgramError) as caught, made:
        pass
    assert str(caught.value).endswith("ended with 1.\nno such port\n")


def test_a_program_that_does_not_obey_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "_STOP_TIMEOUT", 0.1)
    up = tmp_path / "up"
    script = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(up)!r}).touch(); time.sleep(600)"
    )
    with Program(python(script), log=tmp_path / "log", is_up=up.exists) as running:
        pass
    wait_gone([running.pid], 5)


def test_a_program_is_found_beside_this_python_or_not_at_all():
    assert program.find("pip") == sys.executable.rpartition("/")[0] + "/pip"
    assert program.find("no-such-program") is None
