"""A rollout on a real node: two pods share a volume, and no request is lost."""

from __future__ import annotations

import pytest

from bench import rows
from bench.performance import perform
from bench.rows.kubernetes import Kubernetes
from bench.stage import Stage
from tests.documents import MANUAL

pytestmark = pytest.mark.process


def test_no_request_is_lost_in_a_rollout(tmp_path, uncovered):
    if (reason := rows.why_skipped("kubernetes")) is not None:
        pytest.skip(reason)
    stage = Stage(tmp_path, grace=6.0, timeout=3.0)
    stage.load_vault(MANUAL)
    row = Kubernetes(stage)
    done = perform(row, deploys=2, rate=50, pause=0.5)
    assert row.claim.is_met(done.report), done.report.lost
    assert len(done.lives) == 3
    for life in done.lives[:-1]:
        # The pods have namespaces of their own: the slot was given through the sockets
        # in DATA_DIR/run on the volume, before the kubelet's SIGTERM.
        phases = [span.phase for span in life.spans]
        assert phases[-3:] == ["standby", "draining", "stopped"]
        assert life.spans[-2].end - life.spans[-2].start >= stage.grace
