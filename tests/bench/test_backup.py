"""bench/backup.py on a small database: it measures, and the site's way works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import backup
from bench.instance import REPOSITORY


def test_a_small_database_is_measured(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "bench" / "backup.py"),
            "--megabytes=4",
            "--quiet=0.5",
            "--way=site",
            f"--json={result}",
            f"--markdown={tmp_path / 'result.md'}",
        ],
        check=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    before, site, after = json.loads(result.read_text())
    assert (before["way"], before["failed"]) == ("none", "")
    assert (after["way"], after["failed"]) == ("none-after", "")
    # To the p99 of both together, which is between theirs.
    low, high = sorted((before["ratio_p99"], after["ratio_p99"]))
    assert low <= 1.0 <= high
    assert (site["way"], site["failed"]) == ("site", "")
    assert site["writes"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "result.json",
        "result.md",
    ]
    table = (tmp_path / "result.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in table[-3:]] == [
        "| nothing else happens, before",
        "| the site backs up: snapshot, check, pack",
        "| nothing else happens, after",
    ]


def test_what_the_making_leaves_is_on_disk_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    monkeypatch.setattr("os.sync", lambda: events.append("sync"))

    def write(*_: Any) -> list[float]:
        events.append("write")
        return [0.001]

    monkeypatch.setattr(backup, "write_while", write)
    backup.fill(tmp_path / "x.sqlite3", 1)
    backup.measure(tmp_path / "x.sqlite3", ["vacuum-into"], 100.0, 0.1)
    assert events == ["sync", "write", "write", "sync", "write"]
