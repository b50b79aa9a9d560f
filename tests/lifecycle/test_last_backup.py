"""The backup at the end of an instance."""

from __future__ import annotations

import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from lifecycle import hazards, last_backup
from lifecycle.knobs import KNOBS

ON = KNOBS.load({"SIMPLE_BACKUP": "true", "SIMPLE_BACKUP_SHUTDOWN_TIMEOUT": "20s"})


def instance(**knobs: Any) -> Any:
    return SimpleNamespace(
        knobs=ON | knobs, is_rushed=False, page=SimpleNamespace(epoch=7)
    )


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is run in place of the command; a test may change it."""
    made = [sys.executable, "-c", "print('made', flush=True)"]
    monkeypatch.setattr(last_backup, "django_command", lambda *_: made)
    return made


@pytest.mark.parametrize(
    ("knobs", "changes"),
    [
        ({"SIMPLE_BACKUP": False}, {}),
        ({"SIMPLE_BACKUP_ON_SHUTDOWN": False}, {}),
        ({}, {"is_rushed": True}),
        ({}, {"page": SimpleNamespace(epoch=0)}),
    ],
)
def test_none_is_made_when_it_is_off_or_the_slot_is_not_held_or_time_is_short(
    program: list[str],
    capfd: pytest.CaptureFixture[str],
    knobs: dict[str, Any],
    changes: dict[str, Any],
) -> None:
    ends = instance(**knobs)
    vars(ends).update(changes)
    last_backup.back_up(ends)
    assert capfd.readouterr().out == ""
    last_backup.back_up(instance())
    assert capfd.readouterr().out == "made\n"


def test_it_is_called_off_after_its_timeout(
    program: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    program[:] = ["sleep", "1000"]
    with caplog.at_level(logging.WARNING):
        last_backup.back_up(instance(SIMPLE_BACKUP_SHUTDOWN_TIMEOUT=0.2))
    assert "event=last_backup_called_off reason=timeout" in caplog.text


def test_it_is_called_off_when_a_new_instance_takes_the_slot(
    program: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    program[:] = ["sleep", "1000"]
    ends = instance(SIMPLE_BACKUP_SHUTDOWN_TIMEOUT=1000.0)
    threading.Timer(0.2, setattr, (ends.page, "epoch", 0)).start()
    with caplog.at_level(logging.WARNING):
        last_backup.back_up(ends)
    assert "reason=slot_given_away" in caplog.text


def test_whoever_stops_it_has_to_wait_for_that_backup() -> None:
    unit = {"Id": "x.service", "TimeoutStopUSec": "30s", "Type": "notify"}
    off = KNOBS.load({})
    assert hazards._of_unit(off, unit) == []
    (hazard,) = hazards._of_unit(KNOBS.load({"SIMPLE_BACKUP": "true"}), unit)
    assert (hazard.id, hazard.hint) == ("lifecycle.W004", "Set TimeoutStopSec=50.")
    without = {"SIMPLE_BACKUP": "true", "SIMPLE_BACKUP_ON_SHUTDOWN": "false"}
    assert hazards._of_unit(KNOBS.load(without), unit) == []
