"""Releases that migrate, to and fro, under numbered writes; and one that may not."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from bench.instance import Instance
from tests.deploys.releases import ADDS_A_TABLE, DROPS_A_COLUMN, write_release
from tests.deploys.site import Site

pytestmark = pytest.mark.process

ROUNDS = 20 if os.environ.get("SOAK") else 1


def replace(site: Site, old: Instance, knobs: dict[str, str]) -> Instance:
    """Deploy what *knobs* are of in the place of *old*."""
    new = site.start(knobs=knobs)
    new.wait_ready()
    assert site.status(new)["epoch"]
    old.stop()
    return new


def tables(site: Site) -> set[str]:
    with contextlib.closing(sqlite3.connect(site.stage.database)) as connection:
        return {
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE name LIKE 'notes_%'"
            )
        }


def test_a_release_that_adds_a_table_and_the_older_one_again_lose_nothing(
    site: Site, tmp_path: Path
) -> None:
    v1 = {"RELEASE": "v1"}
    v2 = write_release(tmp_path, "v2", ADDS_A_TABLE)
    drops = write_release(tmp_path, "drops", DROPS_A_COLUMN)
    serving = site.start(knobs=v1)
    serving.wait_ready()
    assert "notes_visit" not in tables(site)
    with site.load(rate=40, write_share=0.25) as load:
        for _ in range(ROUNDS):
            serving = replace(site, serving, v2)
            assert "notes_visit" in tables(site)
            # It does not know the migration, and can live with it.
            serving = replace(site, serving, v1)
        assert len([*(site.data_dir / "snapshots").glob("*-notes.*")]) == 1
        before = (site.status(serving)["id"], site.status(serving)["epoch"])
        for _ in range(ROUNDS):
            refused = site.start(knobs=drops)
            assert refused.wait() == 1
            assert "removes the column note.source. An older instance lives." in (
                refused.output
            )
            assert "Traceback" not in refused.output
        # Nobody noticed.
        assert (site.status(serving)["id"], site.status(serving)["epoch"]) == before
        assert len([*(site.data_dir / "snapshots").iterdir()]) == 1
        report = site.check(load)
    assert report.errors == {}
    assert (report.reads_kept, report.writes_kept) == (report.reads, report.writes)
    assert {epoch for _, epoch in site.rows()} >= set(range(4, 3 + 2 * ROUNDS))
