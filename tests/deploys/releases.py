"""
Later releases of the site, as settings modules in a folder of a test's own.

Each has the migrations of `notes` and more of them; its code is the same.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

_SETTINGS = """\
from tests.deploys.chaos_settings import *  # noqa: F403

MIGRATION_MODULES = {{"notes": "{name}_migrations"}}
"""
_OLD = """\
from importlib import import_module

Migration = import_module("notes.migrations.{name}").Migration
"""
_NEW = """\
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("notes", "{after}")]
    operations = [{operation}]
"""
ADDS_A_TABLE = """
    migrations.CreateModel("Visit", [
        ("id", models.BigAutoField(primary_key=True)),
        ("path", models.TextField()),
    ]),
"""
DROPS_A_COLUMN = 'migrations.RemoveField("note", "source")'


def write_release(folder: Path, name: str, operation: str) -> dict[str, str]:
    """
    Write a release whose one new migration is *operation*.

    Return what an instance of it needs in its environment.
    """
    package = folder / f"{name}_migrations"
    package.mkdir()
    (package / "__init__.py").touch()
    files = importlib.resources.files("notes.migrations").iterdir()
    old = sorted(Path(file.name).stem for file in files if file.name[0] == "0")
    for migration in old:
        (package / f"{migration}.py").write_text(_OLD.format(name=migration))
    (package / f"{int(old[-1][:4]) + 1:04}_{name}.py").write_text(
        _NEW.format(after=old[-1], operation=operation)
    )
    (folder / f"{name}.py").write_text(_SETTINGS.format(name=name))
    return {
        "DJANGO_SETTINGS_MODULE": name,
        "PYTHONPATH": str(folder),
        "RELEASE": name,
    }
