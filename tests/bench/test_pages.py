"""Pages a second, measured short: the figures mean nothing here, the run does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from bench import pages
from bench.instance import REPOSITORY
from bench.pages import Measured, to_markdown

MEASURED = [
    Measured("this site", [3000.0, 3300.0, 3600.0], [1.0, 1.0, 1.0], [300.0], 5.0),
    Measured("constant", [4000.0, 4000.0, 4000.0], [0.75, 0.825, 0.9], [250.0], 4.0),
    Measured("nginx", [40000.0, 30000.0, 20000.0], [0.075, 0.11, 0.18], [30.0], 1.0),
]


def test_the_table_tells_the_ratios_to_both():
    table = to_markdown(MEASURED, [100, 300, 200], ["- Machine: x"])
    assert "| this site | 3300 | 3000 | 3600 | 300 | 5.0 |  |" in table
    assert "| constant | 4000 | 4000 | 4000 | 250 | 4.0 | 82.5% |" in table
    assert "| nginx | 30000 | 20000 | 40000 | 30 | 1.0 | 11.0% |" in table
    assert "3 pages; sent for each, compressed: 200 bytes at the median, 300" in table
    assert "is reached: 82.5%" in table


def test_a_goal_that_is_missed_is_said_to_be(monkeypatch):
    monkeypatch.setattr(pages, "GOAL", 0.9)
    assert "is missed: 82.5%" in to_markdown(MEASURED, [1], [])


def test_what_is_missing_is_one_line_and_status_2(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert pages.main([]) == 2
    said = capsys.readouterr().err
    assert said == "Missing: apt-get install wrk nginx-light util-linux\n"


@pytest.mark.process
@pytest.mark.skipif(bool(pages.missing()), reason=f"needs {pages.missing()}")
def test_all_three_servers_are_measured(tmp_path):
    file = tmp_path / "pages.json"
    done = subprocess.run(
        [
            *(sys.executable, "bench/pages.py", "--rounds", "1", "--seconds", "1"),
            *("--json", str(file)),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    site, constant, nginx = json.loads(file.read_text())
    assert site["rates"][0] > 100
    assert constant["ratios"] == [site["rates"][0] / constant["rates"][0]]
    assert nginx["ratios"] == [site["rates"][0] / nginx["rates"][0]]
    assert done.stdout.startswith("---\ntitle: Pages a second on one core\n---\n")
