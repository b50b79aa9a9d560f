"""A project whose migrations a test writes."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

HEAD = """\
from django.db import migrations, models
from django.db.models import F, Q

class Migration(migrations.Migration):
    dependencies = {dependencies}
"""
FIRST = """\
[
    migrations.CreateModel("Entry", [
        ("id", models.BigAutoField(primary_key=True)),
        ("text", models.TextField()),
        ("maybe", models.CharField(max_length=10, null=True)),
        ("number", models.IntegerField(default=0)),
        ("given", models.IntegerField(db_default=1)),
        ("code", models.CharField(max_length=10)),
    ]),
    migrations.CreateModel("Other", [
        ("id", models.BigAutoField(primary_key=True)),
        ("a", models.IntegerField()),
        ("b", models.IntegerField()),
    ]),
]
"""


class Migrations:
    """The migrations of the application `sample`, in a package of the test's own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.package = name
        self.folder = folder / name
        self.folder.mkdir()
        (self.folder / "__init__.py").write_text("")
        self.write("0001_initial", FIRST, after="")

    def write(
        self, name: str, operations: str, after: str = "0001_initial", rest: str = ""
    ) -> None:
        """Write the migration *name*; *rest* are further lines of its class."""
        dependencies = f'[("sample", "{after}")]' if after else "[]"
        text = HEAD.format(dependencies=dependencies)
        text += f"    operations = {operations.strip()}\n"
        text += textwrap.indent(textwrap.dedent(rest), "    ")
        (self.folder / f"{name}.py").write_text(text)
        self.reload()

    def remove(self, name: str) -> None:
        """Let the code not know the migration *name*."""
        (self.folder / f"{name}.py").unlink()
        self.reload()

    def reload(self) -> None:
        """Let Django read them anew."""
        for module in [m for m in sys.modules if m.split(".")[0] == self.package]:
            del sys.modules[module]
        importlib.invalidate_caches()
