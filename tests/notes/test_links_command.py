"""manage.py links names the links that are not clear, and no others."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from notes.sync import sync_vault
from tests.notes.trees import VAULTS, write_tree

pytestmark = pytest.mark.django_db

FILES: dict[str, str | bytes] = {
    "index.md": (
        "[[nowhere]] ![[gone.png|300]] [x](x/one.md) [[x/one]] [[draft]] %%[[away]]%%\n\n"
        "[[one]] [[one|again]] [[one#Part]] [[one#^block]] [[#Part]] [[p.png]] [[c.canvas]]"
    ),
    "x/one.md": "# Part\n\n[[./one]] [y](one.md) text ^block",
    "y/one.md": "",
    "draft.md": "---\ndraft: true\n---\n[[hidden]]",
    "properties.md": "---\nup: '[[missing]]'\nsee: ['[[index]]', '[[draft]]']\n---\n",
    "p.png": b"p",
    "c.canvas": json.dumps(
        {
            "nodes": [
                {"id": "1", "type": "text", "text": "[[lost]]"},
                {"id": "2", "type": "file", "file": "x/two.md"},
            ]
        }
    ).encode(),
    "unused.canvas": b'{"nodes": [{"type": "text", "text": "[[unseen]]"}]}',
}


@pytest.fixture
def _vault(tmp_path: Path, settings: Any) -> None:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    sync_vault(write_tree(tmp_path / "vault", FILES), exclude=())


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("links", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("_vault")
def test_what_is_not_clear_is_listed():
    assert run() == (
        "c.canvas: [[lost]] unresolved\n"
        "c.canvas: [[/x/two.md]] unresolved\n"
        "index.md: [[nowhere]] unresolved\n"
        "index.md: [[gone.png]] unresolved\n"
        "index.md: [[draft]] unpublished\n"
        "index.md: [[one]] ambiguous: leads to x/one.md, not y/one.md\n"
        "index.md: [[one#Part]] ambiguous: leads to x/one.md, not y/one.md\n"
        "index.md: [[one#^block]] ambiguous: leads to x/one.md, not y/one.md\n"
        "index.md: [[#Part]] no such part\n"
        "index.md: [[away]] unresolved\n"
        "properties.md: [[missing]] unresolved\n"
        "properties.md: [[draft]] unpublished\n"
        "4 notes: 3 ambiguous, 1 no such part, 2 unpublished, 6 unresolved\n"
    )
    found = json.loads(run("--json"))
    assert len(found) == 12
    assert found[5] == {
        "note": "index.md",
        "target": "one",
        "problem": "ambiguous",
        "candidates": ["x/one.md", "y/one.md"],
    }


@pytest.mark.usefixtures("_vault")
def test_strict_fails_where_there_are_some_and_not_where_there_are_none(tmp_path):
    with pytest.raises(CommandError, match="12 links are not clear") as caught:
        run("--strict")
    assert caught.value.returncode == 1
    sync_vault(
        write_tree(tmp_path / "v", {"a.md": "[[b]]", "b.md": ""}),
        exclude=(),
        delete=True,
    )
    assert run("--strict") == "2 notes: no such links\n"
    assert run("--strict", "--json") == "[]\n"


def test_a_real_vault_is_read_to_its_end(tmp_path: Path, settings: Any):
    if not VAULTS.is_dir():
        pytest.skip(f"no vaults at {VAULTS}")
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    sync_vault(VAULTS / "quartz-docs", exclude=())
    assert run().splitlines()[-1].startswith("75 notes: ")
