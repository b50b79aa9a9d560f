"""What the command `backup` prints."""

from __future__ import annotations

import json

import pytest

from tests.lifecycle.backups import Site, command, fails


def test_the_command_lists_and_drills(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    command("list")
    assert capsys.readouterr().out == f"No backup in {site.store}.\n"
    site.add_file(b"a picture")
    command("--json", "create")
    made = json.loads(capsys.readouterr().out)
    site.write("second")
    command("list", "--json")
    assert json.loads(capsys.readouterr().out) == [{**made, "problem": ""}]
    command("list")
    assert capsys.readouterr().out.endswith("1 files  command\n")
    command("drill", "--json")
    drilled = json.loads(capsys.readouterr().out)
    counts = {
        each["what"]: (each["restored"], each["live"]) for each in drilled["counts"]
    }
    assert counts["words"] == (1, 2)
    assert counts["files/"] == (1, 1)
    assert drilled["name"] == made["name"]
    command("drill")
    assert "words" in capsys.readouterr().out
    assert not site.work().exists()
    (site.data_dir / "other" / "x").mkdir(parents=True)
    code, _ = fails("restore", "--into", str(site.data_dir / "other"))
    assert code == 3
    command("restore", "--into", str(site.data_dir / "elsewhere"))
    assert site.words(site.data_dir / "elsewhere" / site.database.name) == ["first"]
    assert site.words() == ["first", "second"]
