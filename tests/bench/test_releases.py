"""Releases that follow one another differ as the next version of a site does."""

from __future__ import annotations

import subprocess
import sys

from bench.instance import REPOSITORY, bare_environ
from bench.releases import Releases

CSS = "notes/static/notes/site.css"


def test_each_release_goes_on_from_the_last_with_a_migration_and_a_stylesheet(tmp_path):
    releases = Releases(tmp_path / "releases")
    first, second, third = (releases.make_next() for _ in range(3))
    assert first == REPOSITORY
    assert len({(one / CSS).read_text() for one in (first, second, third)}) == 3
    names = [
        sorted(path.stem for path in (one / "notes/migrations").glob("0*.py"))
        for one in (first, second, third)
    ]
    assert names[1][:-1] == names[0]
    assert names[2][:-1] == names[1]
    told = migrations_are_compatible(third, tmp_path)
    assert told.count("older code can live with it") >= 2
    assert "breaks" not in told.replace("breaks nothing", "")


def migrations_are_compatible(release, tmp_path) -> str:
    """Return what the release itself says of its migrations, on an older database."""
    environ = bare_environ() | {"DATA_DIR": str(tmp_path / "data")}
    for folder, command in (
        (REPOSITORY, ["migrate", "--verbosity", "0"]),
        (release, ["handoff", "check"]),
    ):
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
