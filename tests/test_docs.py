"""README and manual name what there is, all of it, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from notes.links import Resolver
from tests.documents import (
    MANUAL,
    README,
    ROOT,
    manual_pages,
    table_rows,
    without_code,
    without_code_blocks,
)
from trip2g_site.knobs import KNOBS

PROBES = ("/livez", "/readyz", "/healthz")
# What a default of '' means differs from knob to knob; a table says it in words.
UNSET = {
    "VAULT_DIR": "unset",
    "RELEASE": "unset",
    "PROBE_WINDOW": "unset",
    "BACKUP_STORAGE": "unset",
    "LITESTREAM_CONFIG": "unset",
    "SECRET_KEY": "made once",
}
KNOB_TABLES = {"README.md": README, "docs/knobs.md": MANUAL / "knobs.md"}


def own_commands() -> set[str]:
    return {
        name for name, app in get_commands().items() if app in {"lifecycle", "notes"}
    }


@pytest.mark.parametrize("document", KNOB_TABLES)
def test_the_table_of_knobs_is_that_of_the_code(document: str) -> None:
    text = KNOB_TABLES[document].read_text()
    documented = {}
    for row in table_rows(text):
        *_, default, _meaning = row
        knob = " ".join(row[:-2]).replace("`", "")
        # The README has flag and variable in two columns, the manual in one.
        if match := re.fullmatch(r"(--[a-z-]+|none|) ?([A-Z_]+)( \(no flag\))?", knob):
            documented[match[2]] = (match[1].removeprefix("none") or None, default)
    assert documented == {
        knob.name: (
            None if knob.secret else knob.flag,
            knob.default or UNSET[knob.name],
        )
        for knob in KNOBS
    }


def test_every_command_is_told() -> None:
    told = README.read_text() + "".join(manual_pages().values())
    assert own_commands()
    assert {name for name in own_commands() if f"manage.py {name}" not in told} == set()


def test_no_command_is_told_that_there_is_not() -> None:
    told = README.read_text() + "".join(manual_pages().values())
    named = set(re.findall(r"manage\.py ([a-z_]+)", told))
    assert named - set(get_commands()) == set()


@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_is_told(probe: str) -> None:
    assert probe in README.read_text()
    assert probe in (MANUAL / "probes.md").read_text()


def test_every_flag_of_a_command_is_told() -> None:
    told = README.read_text() + "".join(manual_pages().values())
    flags = {
        flag
        for name in own_commands()
        for flag in flags_of(load_command_class(get_commands()[name], name))
    }
    assert sorted(flag for flag in flags if f"`{flag}" not in told) == []


def flags_of(command: BaseCommand) -> set[str]:
    """Return the flags that *command* has beyond those of Django's class under it."""
    theirs: type[BaseCommand] = next(
        base for base in type(command).__mro__ if base.__module__.startswith("django.")
    )
    parsers = [kind.create_parser("manage.py", "any") for kind in (command, theirs())]
    own, general = (
        {flag for action in parser._actions for flag in action.option_strings}
        for parser in parsers
    )
    return {flag for flag in own - general if flag.startswith("--")}


def test_every_line_that_troubleshooting_explains_is_printed_by_the_code() -> None:
    text = without_code_blocks((MANUAL / "troubleshooting.md").read_text())
    explained = [
        fragment.strip()
        # A paragraph of nothing but code is a line that one may have got.
        for paragraph in re.findall(r"^`[^`]+`(?: or `[^`]+`)?$", text, re.MULTILINE)
        for line in re.findall(r"`([^`]+)`", paragraph)
        for fragment in line.split("…")
        if fragment.strip()
    ]
    assert len(explained) >= 10
    printed = "\n".join(strings_of_the_code())
    assert [fragment for fragment in explained if fragment not in printed] == []


def strings_of_the_code() -> set[str]:
    """Return every string constant of the program, those inside f-strings too."""
    return {
        node.value
        for package in ("lifecycle", "notes", "trip2g_site")
        for module in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 250


def test_every_file_that_the_readme_names_is_there() -> None:
    text = README.read_text()
    named = set(re.findall(r"`([\w.-]+(?:/[\w.-]*)+)`", without_code_blocks(text)))
    named |= set(re.findall(r"\]\((?!https?:)([^)#]+)\)", text))
    named -= {knob.default for knob in KNOBS}
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_every_test_that_a_guarantee_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README.read_text())
    assert len(named) >= 4
    assert [
        f"{path}::{name}" for path, name in named if name not in functions(ROOT / path)
    ] == []


def functions(path: Path) -> set[str]:
    """Return the names of the functions that *path* defines, in classes too."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_page_of_the_manual_has_a_title() -> None:
    without = [
        path
        for path, text in manual_pages().items()
        if not re.match(r"---\ntitle: .+\n", text)
    ]
    assert without == []


def test_every_link_of_the_manual_leads_somewhere() -> None:
    pages = manual_pages()
    files = {path.relative_to(MANUAL).as_posix() for path in MANUAL.rglob("*.*")}
    resolver = Resolver(pages, files - pages.keys())
    links = [
        (path, target)
        for path, text in pages.items()
        for target in re.findall(r"\[\[([^\[\]]+)\]\]", without_code(text))
    ]
    assert links
    dead = []
    for path, target in links:
        name, _, heading = target.partition("|")[0].rstrip("\\").partition("#")
        found = resolver.resolve(name, path)
        if found is None or (heading and f"# {heading}\n" not in pages.get(found, "")):
            dead.append((path, target))
    assert dead == []
