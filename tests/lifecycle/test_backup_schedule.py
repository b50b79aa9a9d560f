"""When the next backup is due, and what is told of the last."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest

from lifecycle.backup import schedule, status
from lifecycle.health import Backup
from tests.lifecycle.backups import Site
from tests.processes import running, wait_until


def test_the_schedule_waits_for_its_time_and_then_doubles(
    site: Site, settings: Any
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_INTERVAL = 1000.0
    assert schedule._seconds_to_next(0) <= 50
    site.back_up()
    assert 940 <= schedule._seconds_to_next(0) <= 1050
    assert 28 <= schedule._seconds_to_next(1) <= 30
    assert 57 <= schedule._seconds_to_next(2) <= 60
    assert 950 <= schedule._seconds_to_next(99) <= 1000
    path = site.data_dir / "backup-status.json"
    path.write_text(json.dumps({"name": "x", "at": time.time() + 1e6}))
    assert schedule._seconds_to_next(0) <= 1050


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -9 $$", "The backup was killed by signal 9: see to the memory."),
        (
            "exit 1",
            "The backup ended with exit code 1: the lines before this one in the log "
            "say why.",
        ),
    ],
)
def test_the_schedule_notes_a_failure_that_the_backup_could_not(
    site: Site,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: str,
    reason: str,
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_INTERVAL = 0.01
    monkeypatch.setattr(schedule, "django_command", lambda *_: ["sh", "-c", script])
    with running(schedule.run):
        wait_until(lambda: caplog.text.count("event=backup_failed") > 1, 20)
    assert f'event=backup_failed reason="{reason}"' in caplog.text
    noted = status.read(site.data_dir / "backup-status.json")
    assert (noted.at, noted.reason) == (0, reason)
    assert 0 < noted.begun_at < noted.failed_at
    # The first start counts, however often one starts again.
    status.note_begun(site.data_dir / "backup-status.json")
    assert status.read(site.data_dir / "backup-status.json") == noted
    made = site.back_up()
    assert status.read(site.data_dir / "backup-status.json") == status.Status(
        made.name, made.created_at
    )


@pytest.mark.parametrize(
    ("after", "code", "lines"),
    [
        # It has said so itself.
        (status.Status("x", 1.0, failed_at=3.0, reason="full"), 1, 0),
        # Another one is at work.
        (status.Status("x", 1.0, failed_at=2.0, reason="old"), 3, 0),
        # Good, and killed while it cleared up.
        (status.Status("y", 2.0), -9, 1),
    ],
)
def test_what_a_backup_has_noted_stays(
    site: Site,
    caplog: pytest.LogCaptureFixture,
    after: status.Status,
    code: int,
    lines: int,
) -> None:
    path = site.data_dir / "backup-status.json"
    path.write_text(json.dumps(dataclasses.asdict(after)))
    before = status.Status("x", 1.0, failed_at=2.0, reason="old")
    schedule._say_what_it_did_not(code, before)
    assert status.read(path) == after
    assert caplog.text.count("event=backup_failed") == lines


def test_the_health_check_tells_the_age_of_the_last_good_one(
    site: Site, settings: Any
) -> None:
    settings.LIFECYCLE_SIMPLE_BACKUP_INTERVAL = 60.0
    path = site.data_dir / "backup-status.json"

    def says(**found: Any) -> tuple[str, str]:
        path.write_text(json.dumps(found))
        check = Backup()
        try:
            check.run()
        except Exception as exc:  # noqa: BLE001 - the library's, untyped
            return repr(check), str(exc)
        return repr(check), ""

    now = time.time()
    assert says() == ("Backup(age='none yet')", "")
    assert says(begun_at=now - 125) == ("Backup(age='none yet')", "")
    assert says(begun_at=now - 185, failed_at=now) == (
        "Backup(age='none yet')",
        "Unavailable: no backup has been good in 3 min",
    )
    assert says(at=now - 125) == ("Backup(age='2 min')", "")
    assert says(at=now - 185) == (
        "Backup(age='3 min')",
        "Unavailable: the last good backup is 3 min old",
    )
    assert says(at=now - 125, failed_at=now, reason="secret words") == (
        "Backup(age='2 min')",
        "Warning: the last attempt failed; the last good backup: 2 min",
    )
    settings.LIFECYCLE_SIMPLE_BACKUP = False
    assert says(at=1.0) == ("Backup(age='off')", "")
