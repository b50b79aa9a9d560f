"""What `manage.py check` says of a project's settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from lifecycle.checks import E001, E002, check_settings


def test_the_sites_own_settings_are_fine() -> None:
    assert check_settings() == []


@pytest.mark.parametrize(
    "engine", ["django.db.backends.sqlite3", "lifecycle.sqlite.base"]
)
def test_another_backend_is_an_error(
    settings: Any, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", engine)
    assert check_settings() == [E001]


@pytest.mark.parametrize("name", ["LIFECYCLE_DATA_DIR", "LIFECYCLE_DATABASE"])
def test_a_path_that_is_missing_is_an_error(settings: Any, name: str) -> None:
    delattr(settings, name)
    assert check_settings() == [E002]


def test_django_runs_them(settings: Any) -> None:
    del settings.LIFECYCLE_DATABASE
    with pytest.raises(
        SystemCheckError, match=r"(?s)lifecycle\.E002.*HINT: Set them to"
    ):
        call_command("check")


def test_each_has_an_id_of_its_own_and_says_what_to_do() -> None:
    checks = [E001, E002]
    assert len({check.id for check in checks}) == len(checks)
    assert all(check.hint for check in checks)
