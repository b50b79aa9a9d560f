"""sync_vault --if-empty: the manual goes into a site that never had anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from notes.models import Note
from notes.sync import sync_vault_job


def run_here(name: str, params: dict[str, Any], progress: Any) -> dict[str, Any]:
    return sync_vault_job(params, progress)


@pytest.fixture(autouse=True)
def _settings(settings: Any, tmp_path: Path) -> None:
    settings.NOTES_RUN_AS_WRITER = run_here
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    path = tmp_path / "vault"
    path.mkdir()
    (path / "a.md").write_text("a")
    return path


def paths() -> list[str]:
    return list(Note.objects.values_list("path", flat=True))


@pytest.mark.django_db(transaction=True)
def test_an_empty_database_takes_the_vault_and_a_full_one_does_not(vault: Path) -> None:
    call_command("sync_vault", vault, if_empty=True)
    assert paths() == ["a.md"]
    (vault / "b.md").write_text("b")
    call_command("sync_vault", vault, if_empty=True)
    assert paths() == ["a.md"]


@pytest.mark.django_db(transaction=True)
def test_a_database_that_was_emptied_is_not_empty(vault: Path) -> None:
    call_command("sync_vault", vault)
    (vault / "a.md").rename(vault / ".a.md")
    call_command("sync_vault", vault)
    assert paths() == []
    (vault / ".a.md").rename(vault / "a.md")
    call_command("sync_vault", vault, if_empty=True)
    assert paths() == []
