"""`manage.py serve` up to the moment at which it becomes gunicorn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lifecycle.knobs import KNOBS, Knob, KnobError, KnobTable, text
from lifecycle.serve import main, make_parser
from tests.lifecycle.children import ROOT


class Became(Exception):  # noqa: N818 - no error
    """Raised in place of becoming another program."""


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return (program, command, environment) of the program that would begin."""
    found: list[Any] = []

    def execve(program: str, command: list[str], environ: dict[str, str]) -> None:
        found.extend([program, command, environ])
        raise Became

    for name in [*(knob.name for knob in KNOBS), "PYTHONPATH"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "manage.py"), "serve"])
    return found


def environ_of(
    executed: list[Any], *arguments: str, knobs: KnobTable = KNOBS
) -> dict[str, str]:
    with pytest.raises(Became):
        main(knobs, list(arguments))
    environ: dict[str, str] = executed[2]
    return environ


def test_it_becomes_gunicorn_with_the_projects_own_file(executed: list[Any]) -> None:
    environ = environ_of(executed)
    program, command, _ = executed
    assert program == sys.executable
    assert command == [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        str(ROOT / "gunicorn.conf.py"),
    ]
    assert environ["PYTHONPATH"] == str(ROOT)


def test_a_pythonpath_that_is_there_stays(
    executed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert environ_of(executed)["PYTHONPATH"] == f"{ROOT}{os.pathsep}/elsewhere"


def test_a_flag_wins_over_its_variable_and_that_over_the_default(
    executed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERS", "3")
    monkeypatch.setenv("THREADS", "4")
    environ = environ_of(executed, "--workers", "5", "--listen-addr=:9")
    assert KNOBS.load(environ)["WORKERS"] == 5
    assert KNOBS.load(environ)["THREADS"] == 4
    assert KNOBS.load(environ)["LISTEN_ADDR"].port == 9
    assert KNOBS.load(environ)["SHUTDOWN_TIMEOUT"] == 10


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--simple-backup", True),
        ("--simple-backup=true", True),
        ("--simple-backup=1", True),
        ("--simple-backup=false", False),
        ("--simple-backup=0", False),
    ],
)
def test_a_boolean_flag_is_written_as_in_go(
    executed: list[Any], argument: str, expected: bool
) -> None:
    environ = environ_of(executed, argument)
    assert KNOBS.load(environ)["SIMPLE_BACKUP"] is expected


def test_a_flag_can_turn_off_what_a_variable_turned_on(
    executed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILL_FROZEN_HOLDER", "true")
    environ = environ_of(executed, "--kill-frozen-holder=false")
    assert KNOBS.load(environ)["KILL_FROZEN_HOLDER"] is False


def test_a_value_that_does_not_parse_begins_nothing(executed: list[Any]) -> None:
    with pytest.raises(KnobError, match=r"^SHUTDOWN_TIMEOUT='1d' is not valid"):
        main(KNOBS, ["--shutdown-timeout", "1d"])
    assert executed == []


def test_a_secret_has_no_flag() -> None:
    knobs = KnobTable(Knob("TOKEN", text, "", "", secret=True))
    with pytest.raises(SystemExit) as caught:
        make_parser(knobs).parse_args(["--token", "x"])
    assert caught.value.code == 2


def test_no_flag_may_be_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        make_parser(KNOBS).parse_args(["--worker", "3"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --worker 3" in capsys.readouterr().err


def test_help_shows_every_flag_with_its_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        make_parser(KNOBS).parse_args(["--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for knob in KNOBS:
        assert knob.flag in shown
        assert not knob.default or f"(default {knob.default})" in shown


def manage(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["serve", "--workers=none"], {}),
        (["serve"], {"WORKERS": "none"}),
        (["check"], {"WORKERS": "none"}),
    ],
)
def test_a_bad_value_stops_any_command_with_one_line_and_status_2(
    arguments: list[str], environ: dict[str, str]
) -> None:
    done = manage(*arguments, **environ)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "WORKERS='none' is not valid: expected a whole number from 1 to 256.\n",
    )


def test_a_bad_value_stops_a_plain_gunicorn_with_one_line_and_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"],
        cwd=Path(__file__).parent / "sample",
        env={**os.environ, "THREADS": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "THREADS='0' is not valid: expected a whole number from 1 to 4096.\n",
    )
