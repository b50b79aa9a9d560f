"""The scale of things: a real run over a small vault, and its table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bench import scale
from bench.scale import GOALS, MISSES, PUBLISHED, Row, events, to_markdown, write_vault


def test_a_vault_has_as_many_notes_as_asked_for_and_is_the_same_each_time(
    tmp_path: Path,
) -> None:
    write_vault(tmp_path / "one", 30)
    write_vault(tmp_path / "two", 30)
    paths = sorted((tmp_path / "one").rglob("*.md"))
    assert len(paths) == 30
    for path in paths:
        text = path.read_bytes()
        assert 420 <= len(text) < 620
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert other.read_bytes() == text


def test_events_are_the_fields_of_the_lines_that_name_them(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "time=1 event=sync added=2 sequence=7 seconds=0.1\n"
        "time=2 event=sync_failed sequence=8\n"
        "event=synced\n"
    )
    assert events(log, "sync") == [
        {
            "time": "1",
            "event": "sync",
            "added": "2",
            "sequence": "7",
            "seconds": "0.1",
        }
    ]


@pytest.mark.process
def test_a_run_measures_every_line_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "CHANGES", 1)
    monkeypatch.setattr(scale, "REST", 1.0)
    file, page = tmp_path / "rows.json", tmp_path / "page.md"
    options = ["--size", "40", "--json", str(file), "--markdown", str(page)]
    options += ["--remark", "nobody else was there", "--profile", "30"]
    assert scale.main(options) == 0
    (row,) = json.loads(file.read_text())
    assert row.keys() == {field.name for field in dataclasses.fields(Row)}
    assert (row["notes"], row["batch_notes"]) == (40, 4)
    assert row["cached_s"] < row["cold_s"]
    assert row["batch_visible_s"] > row["batch_s"] > 0
    assert row["rest_reads"] > 10
    assert all(value is not None for value in row.values())
    assert 0 < row["pss_mb"] < row["pss_all_mb"]
    text, heading, profiles = page.read_text().partition("\n## ")
    assert text == to_markdown(
        [Row(**row)], [line for line in text.splitlines() if line.startswith("- ")][:6]
    )
    assert "- Remark: nobody else was there\n" in text
    assert heading
    assert profiles.startswith("Where the time goes: 30 x 500 B\n\nA cold boot of 30 ")
    assert "\n10 changes, by the builder and by one worker; " in profiles
    assert "`notes/rendering` " in profiles


def test_the_table_says_what_is_published_and_what_each_line_means() -> None:
    row = Row("40 x 500 B", 40, *[1.0] * (len(dataclasses.fields(Row)) - 2))  # type: ignore[arg-type]
    page = to_markdown([row], ["- Machine: one"])
    assert page.startswith(
        "---\ntitle: Scale\n---\n\n- Machine: one\n\n|  | 40 x 500 B | goal | m"
    )
    for name, value in PUBLISHED.items():
        assert any(
            line.startswith(f"| {name} |") and line.endswith(f"| {value} |")
            for line in page.splitlines()
        ), name
    assert "| cold_per_s | **1.0** | ≥ 1,000 |  |" in page
    assert "| change_ms | 1.0 | ≤ 30 | 382 (224) |" in page
    assert MISSES.keys() == GOALS.keys() - {"notes"}
    assert "- change_ms, change_cpu_ms: of the builder's work for one changed" in page
