"""What every test of lifecycle has."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files import File
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from lifecycle import gate
from lifecycle.backup.directory import DirectoryStorage
from lifecycle.guests import GuestAuthority
from lifecycle.internal_server import InternalServer
from lifecycle.page import SharedPage
from tests.lifecycle.backups import Site, Torn
from tests.lifecycle.guarded import begin_epoch
from tests.lifecycle.instances import SAMPLE, manage
from tests.lifecycle.migrations_of import Migrations


@pytest.fixture(autouse=True)
def quick_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers that a test made end without a wait."""
    monkeypatch.setattr(InternalServer, "poll_interval", 0.01)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data directory, in a folder of the test's own."""
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture(scope="session")
def migrated_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's database, migrated and closed."""
    data_dir = tmp_path_factory.mktemp("template") / "data"
    data_dir.mkdir()
    done = manage(data_dir, "migrate")
    assert done.returncode == 0, done.stderr
    return data_dir / "sample.sqlite3"


@pytest.fixture
def migrated(migrated_template: Path, data_dir: Path) -> Path:
    """The sample's migrated database in the data directory."""
    return Path(shutil.copy(migrated_template, data_dir / "sample.sqlite3"))


@pytest.fixture(scope="session")
def guarded_template(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Path:
    """The database of the site, migrated under the gate and closed."""
    data_dir = tmp_path_factory.mktemp("guarded")
    with guarding(data_dir / "x.sqlite3", django_db_blocker):
        call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
        with gate.maintenance(), connections["default"].cursor() as cursor:
            cursor.execute("DELETE FROM lifecycle_appliedmigration")  # tests write it
    return data_dir / "x.sqlite3"


@pytest.fixture
def guarded(
    guarded_template: Path, data_dir: Path, django_db_blocker: Any
) -> Iterator[Path]:
    """A migrated database of the test's own, which is the one that lifecycle guards."""
    path = Path(shutil.copy(guarded_template, data_dir / "x.sqlite3"))
    with guarding(path, django_db_blocker):
        yield path


@contextlib.contextmanager
def guarding(path: Path, blocker: Any) -> Iterator[None]:
    """Let Django's default database be *path*, and lifecycle guard it."""
    options = connections["default"].settings_dict
    was, authority = options["NAME"], gate.authority()
    connections.close_all()
    with (
        override_settings(LIFECYCLE_DATA_DIR=path.parent, LIFECYCLE_DATABASE=path),
        blocker.unblock(),
    ):
        options["NAME"] = str(path)
        gate.set_authority(None)
        try:
            yield
        finally:
            guest = gate.authority()
            if isinstance(guest, GuestAuthority):
                guest.release()
            connections.close_all()
            options["NAME"] = was
            gate.set_authority(authority)


@pytest.fixture
def page(guarded: Path) -> SharedPage:
    """The page of an instance that holds the slot; this process is its worker."""
    made = SharedPage()
    made.epoch = 7
    begin_epoch(guarded, 7)
    gate.set_authority(gate.WorkerAuthority(made))
    return made


@pytest.fixture
def migrations(
    guarded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[Migrations]:
    """The migrations of `sample`, of which the first has been applied."""
    made = Migrations(tmp_path, f"migrations_{tmp_path.name}")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.INSTALLED_APPS = ["health_check", "lifecycle", SAMPLE]
    settings.MIGRATION_MODULES = {"sample": made.package}
    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
    with gate.maintenance(), connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM lifecycle_appliedmigration")
    shutil.rmtree(guarded.parent / "snapshots")
    yield made
    made.reload()


@pytest.fixture
def site(guarded: Path, tmp_path: Path, settings: Any) -> Iterator[Site]:
    """A site with a word in its database, whose backups go to a directory beside it."""
    made = Site(guarded, tmp_path / "store")
    settings.STORAGES = {
        "backups": {
            "BACKEND": "lifecycle.backup.directory.DirectoryStorage",
            "OPTIONS": {"location": str(made.store)},
        }
    }
    settings.LIFECYCLE_BACKUP_TREES = {"files": made.files}
    settings.LIFECYCLE_SIMPLE_BACKUP = True
    made.write("first")
    yield made
    assert not made.work().exists()


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """What the store cannot read: part of a name to an error number, 0: at its end."""
    broken: dict[str, int] = {}
    opening = DirectoryStorage.open

    def open_it(self: DirectoryStorage, name: str, mode: str = "rb") -> File[bytes]:
        errors = [error for part, error in broken.items() if part in name]
        if any(errors):
            raise OSError(errors[0], os.strerror(errors[0]))
        file: File[bytes] = opening(self, name, mode)
        if not errors:
            return file
        with file:
            return File(Torn(file.read()))

    monkeypatch.setattr(DirectoryStorage, "open", open_it)
    yield broken
    broken.clear()
