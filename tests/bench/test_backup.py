"""bench/backup.py on a small database: it measures, and the site's way works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
    none, site = json.loads(result.read_text())
    assert (none["way"], none["ratio_p99"], none["failed"]) == ("none", 1.0, "")
    assert (site["way"], site["failed"]) == ("site", "")
    assert site["writes"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "result.json",
        "result.md",
    ]
    table = (tmp_path / "result.md").read_text().splitlines()
    assert table[-1].startswith("| the site backs up: snapshot, check, pack | ")
