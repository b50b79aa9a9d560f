"""
The site is replaced under load, and no read is lost.

The real site with a real vault behind an inherited socket, 200 pages a second on
kept and on fresh connections, each with its stylesheet and attachment.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.performance import play
from bench.rows.naive_restart import NaiveRestart
from bench.rows.row import Claim
from bench.rows.systemd_restart import SystemdRestart
from bench.stage import Stage
from tests.deploys.scene import PATIENCE
from tests.notes.trees import VAULTS

pytestmark = pytest.mark.process

RATE = 200


@pytest.fixture
def stage(tmp_path: Path, uncovered: None) -> Stage:
    """Set a stage with a real vault, attachments and all, and a grace of 1 s."""
    made = Stage(tmp_path, grace=1.0, timeout=3.0)
    made.load_vault(VAULTS / "quartz-docs")
    return made


@pytest.mark.parametrize("overlap", [False, True], ids=["once it is gone", "at once"])
def test_no_read_is_lost_when_the_next_instance_is_started(stage, overlap, deploys):
    row = SystemdRestart(stage, overlap=overlap)
    report = play(
        row, deploys=deploys, rate=RATE, pause=0.5, writes=False, patience=PATIENCE
    )
    assert report.lost == []
    assert report.reads_kept == report.reads >= RATE * deploys
    assert set(report.by_kind) == {
        *("kept page", "kept stylesheet", "kept attachment"),
        *("fresh page", "fresh stylesheet", "fresh attachment"),
        "rested page",
    }
    assert Claim.KEEPS_ALL.is_met(report)
    for log in stage.folder.glob("*.log"):
        assert "Traceback" not in log.read_text()


def test_the_same_harness_sees_a_bare_restart_lose_reads(stage):
    report = play(NaiveRestart(stage), deploys=1, rate=RATE, pause=0.5, writes=False)
    assert report.errors.get("refused", 0) > 0
    assert Claim.LOSES.is_met(report)
    assert not Claim.KEEPS_ALL.is_met(report)
