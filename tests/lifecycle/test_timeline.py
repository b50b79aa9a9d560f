"""What is told of deploys afterwards: timelines and versions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lifecycle import timeline
from lifecycle.versions import code_version


def line(instance: str, phase: str, at: float, **details: Any) -> dict[str, Any]:
    return {"at": at, "instance": instance, "phase": phase, **details}


def test_lines_are_read_as_they_were_recorded(data_dir: Path) -> None:
    timeline.record(data_dir, "a", "starting", version="v1")
    timeline.record(data_dir, "b", "ready", epoch=3)
    found = timeline.read(data_dir)
    assert [{**one, "at": 0} for one in found] == [
        line("a", "starting", 0, version="v1"),
        line("b", "ready", 0, epoch=3),
    ]
    assert 0 <= found[1]["at"] - found[0]["at"] < 60


def test_without_a_file_there_is_no_history(data_dir: Path) -> None:
    assert timeline.read(data_dir) == []


def test_a_line_that_is_broken_is_left_out(data_dir: Path) -> None:
    timeline.record(data_dir, "a", "starting")
    with (data_dir / "history.jsonl").open("a") as file:
        file.write('{"at": 1, "inst\n7\n{}\n')
    timeline.record(data_dir, "a", "ready")
    assert [one["phase"] for one in timeline.read(data_dir)] == ["starting", "ready"]


def test_a_full_disk_loses_the_line_and_no_more(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    timeline.record(data_dir, "a", "starting")
    assert timeline.read(data_dir) == []


def test_a_long_history_keeps_its_newer_half(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "_MAX_BYTES", 400)
    for number in range(40):
        timeline.record(data_dir, "a", str(number))
    kept = [int(one["phase"]) for one in timeline.read(data_dir)]
    assert kept == list(range(kept[0], 40))
    assert 5 < len(kept) < 20


def test_a_deploy_is_its_phases_and_how_long_they_lasted() -> None:
    found = timeline.deploys(
        [
            line("a", "starting", 10.0, version="v1"),
            line("a", "warming", 10.5, version="v1"),
            line("b", "starting", 11.0, version="v2"),
            line("a", "ready", 12.0, version="v1", epoch=4, writes_held=0),
            line("a", "standby", 20.0, epoch=0, writes_held=2, longest_hold_ms=31),
            line("a", "ready", 30.0, epoch=6, writes_forwarded=5),
            line("a", "draining", 32.0, epoch=6, writes_forwarded=5),
        ]
    )
    assert [one["instance"] for one in found] == ["a", "b"]
    assert found[0] == {
        "instance": "a",
        "version": "v1",
        "started_at": 10.0,
        "phases": [
            {"phase": "starting", "at": 10.0, "seconds": 0.5},
            {"phase": "warming", "at": 10.5, "seconds": 1.5},
            {"phase": "ready", "at": 12.0, "seconds": 8.0},
            {"phase": "standby", "at": 20.0, "seconds": 10.0},
            {"phase": "ready", "at": 30.0, "seconds": 2.0},
            {"phase": "draining", "at": 32.0},
        ],
        "lives": False,
        "epochs": [4, 6],
        "writes_held": 2,
        "writes_forwarded": 5,
        "longest_hold_ms": 31,
    }
    json.dumps(found)


def test_what_a_living_instance_says_of_its_writes_is_newer_than_its_line() -> None:
    lines = [
        line("a", "ready", 10.0, writes_held=1, writes_forwarded=2, longest_hold_ms=3),
        line("b", "ready", 20.0, writes_held=4),
    ]
    counts = {"writes_held": 11, "writes_forwarded": 12, "longest_hold_ms": 13}
    living: list[dict[str, Any]] = [
        {"id": "a", "phase": "standby", **counts},
        {"id": "b", "phase": "silent"},
        {"id": "c", **counts},  # it began after the file was read
    ]
    a, b = timeline.deploys(lines, living)
    assert {name: a[name] for name in counts} == counts
    assert [b[name] for name in counts] == [4, 0, 0]
    assert (a["lives"], b["lives"]) == (True, True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("site/__init__.py", "site/views.py", "site/templates/a.html"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_a_version_is_that_of_the_sources(project: Path) -> None:
    version = code_version(project)
    assert version == code_version(project)
    assert version.startswith("src-")
    assert len(version) == 14


@pytest.mark.parametrize(
    "name", ["site/views.py", "site/templates/a.html", "site/new.css"]
)
def test_another_source_is_another_version(project: Path, name: str) -> None:
    before = code_version(project)
    (project / name).write_text("changed")
    assert code_version(project) != before


def test_a_source_by_another_name_is_another_version(project: Path) -> None:
    before = code_version(project)
    (project / "site/views.py").rename(project / "site/pages.py")
    assert code_version(project) != before


@pytest.mark.parametrize(
    "name",
    [
        "site/__pycache__/views.pyc",
        "site/notes.txt",
        "data/__init__.py",
        "tests/__init__.py",
        ".venv/__init__.py",
        "scripts/no_package.py",
        "manage.py",
    ],
)
def test_what_is_no_source_changes_no_version(project: Path, name: str) -> None:
    before = code_version(project)
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("changed")
    assert code_version(project) == before
