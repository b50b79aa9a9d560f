"""Versions of the site that follow one another: each with a migration and a stylesheet."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.instance import REPOSITORY

_CODE = (
    *("manage.py", "gunicorn.conf.py", "requirements.txt"),
    *("trip2g_site", "notes", "lifecycle"),
)
_MIGRATION = '''\
"""Add a column that older code can live without."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notes", "{after}")]
    operations = [
        migrations.AddField("note", "release_{number}", models.IntegerField(null=True))
    ]
'''


class Releases:
    """
    Release 1 is the code as it is; each later one is a copy that goes on from the last.

    A copy has one migration more, and other bytes in its stylesheet.

    Args:
        folder: for the copies; whoever made it removes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.number = 0

    def make_next(self) -> Path:
        """Return the folder of the next release."""
        self.number += 1
        if self.number == 1:
            return REPOSITORY
        release = self._folder / f"release-{self.number}"
        release.mkdir(parents=True)
        for name in _CODE:
            source = REPOSITORY / name
            if source.is_file():
                shutil.copy2(source, release / name)
            else:
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, release / name, ignore=ignored)
        for number in range(2, self.number + 1):
            self._add_migration(release / "notes" / "migrations", number)
        stylesheet = release / "notes" / "static" / "notes" / "site.css"
        with stylesheet.open("a", encoding="utf-8") as file:
            file.write(f"\n/* release {self.number} */\n")
        return release

    @staticmethod
    def _add_migration(folder: Path, number: int) -> None:
        last = max(path.stem for path in folder.glob("[0-9]*.py"))
        name = f"{int(last[:4]) + 1:04}_release_{number}.py"
        text = _MIGRATION.format(after=last, number=number)
        (folder / name).write_text(text, encoding="utf-8")
