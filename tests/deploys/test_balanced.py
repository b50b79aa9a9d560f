"""
Every load balancer that a package registry has, in front of two addresses.

Each runs the recipe of deploy/ while instances replace one another under load. Rows
that must keep all lose not one read or write; naive ones are seen to lose some.
"""

from __future__ import annotations

import pytest

from bench import k6, programs, rows
from bench.performance import perform
from bench.rows.row import Claim
from bench.stage import Stage
from tests.documents import MANUAL

pytestmark = pytest.mark.process

# Pages a second, each with its stylesheet: 300 requests, and 15 writes.
RATE = 150
DEPLOYS = {
    "naive-caddy": 1,
    "naive-traefik": 1,
    "traefik": 1,
    "nginx-flip": 1,
    "traefik-retry": 3,
    "consul-traefik": 3,
    "caddy": 3,
    "haproxy": 3,
}


@pytest.fixture
def stage(tmp_path, uncovered) -> Stage:
    """Set a stage with the manual in it; the grace covers a check and its answer."""
    made = Stage(tmp_path, grace=4.0, timeout=3.0, refresh=1.0)
    made.load_vault(MANUAL)
    return made


@pytest.mark.parametrize("name", DEPLOYS)
def test_a_row_shows_what_it_must(stage, name):
    if (reason := rows.why_skipped(name)) is not None:
        pytest.skip(reason)
    row = rows.ROWS[name](stage)
    done = perform(row, deploys=DEPLOYS[name], rate=RATE, pause=0.5)
    report = done.report
    lost = f"{report.errors} {report.lost} {done.lives}"
    assert row.claim.is_met(report), lost
    assert report.reads >= RATE * DEPLOYS[name]
    assert report.writes >= RATE / 10 * DEPLOYS[name]
    assert len(done.lives) == DEPLOYS[name] + 1
    if row.claim is Claim.LOSES:
        assert report.reads_kept > 0


@pytest.mark.parametrize("name", ["haproxy", "naive-caddy"])
def test_k6_counts_the_same(stage, name, tmp_path):
    if (reason := programs.missing("k6") or rows.why_skipped(name)) is not None:
        pytest.skip(reason)
    row = rows.ROWS[name](stage)
    found = k6.count(row, rate=50, seconds=15, folder=tmp_path)
    assert found.deploys >= 1
    assert found.reads_kept + found.reads_lost + found.not_sent >= 50 * 15
    assert found.writes_kept > 0
    lost = found.reads_lost + found.writes_lost
    assert (lost > 0) == (row.claim is Claim.LOSES), found
