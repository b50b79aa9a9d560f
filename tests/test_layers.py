"""
Imports point one way: trip2g_site names notes and lifecycle, neither knows it.

Settings name things by dotted path, which is how the two apps meet.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "lifecycle": {"notes", "trip2g_site", "bench", "tests"},
    "notes": {"lifecycle", "trip2g_site", "gunicorn", "bench", "tests"},
    "trip2g_site": {"bench", "tests"},
    # What measures looks from outside, as a client of the site would.
    "bench": {"trip2g_site", "tests"},
}
# They run before a Django exists: the master loads them, or `serve` does.
ENTRANCES = ["lifecycle.hooks", "lifecycle.serve", "trip2g_site.knobs"]


def imported_packages(source: str) -> set[str]:
    """Return the top-level packages that *source* imports, anywhere in it."""
    packages = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            packages.add(node.module.partition(".")[0])
    return packages


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_none_that_it_must_not_know(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    found = {
        str(module.relative_to(ROOT)): sorted(wrong)
        for module in modules
        if (wrong := imported_packages(module.read_text()) & FORBIDDEN[package])
    }
    assert found == {}


def test_only_the_settings_read_the_environment() -> None:
    readers = set()
    for package in ("lifecycle", "notes", "trip2g_site"):
        for module in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.Attribute) and node.attr in {
                    "environ",
                    "environb",
                    "getenv",
                }:
                    readers.add(str(module.relative_to(ROOT)))
    assert readers == {
        "trip2g_site/settings.py",
        "trip2g_site/wsgi.py",  # which settings, as every Django project says it
        # They run before there are settings: as a command, and in the master.
        "lifecycle/serve.py",
        "lifecycle/hooks.py",
        "lifecycle/instance.py",  # where systemd wants to be told
        "lifecycle/litestream.py",  # what Litestream gets
        "lifecycle/checks.py",  # judges the knobs as they would be read
    }


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_what_the_master_loads_does_not_load_django(entrance: str) -> None:
    program = (
        f"import sys, {entrance}; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'django', 'notes'}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout == "\n"


def test_an_import_inside_a_function_counts() -> None:
    source = "def f():\n    from notes.site import Site\n    import a.b as c"
    assert imported_packages(source) == {"notes", "a"}
