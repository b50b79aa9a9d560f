"""The image is built and replaced under load by podman, and stopped with a full drain."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import rows
from bench.images import CADDY, Podman
from bench.performance import perform
from bench.rows.container import Container
from bench.stage import Stage
from tests.documents import MANUAL

pytestmark = pytest.mark.process


def test_no_request_is_lost_when_a_container_takes_the_place_of_another(
    tmp_path, uncovered
):
    if (reason := rows.why_skipped("container")) is not None:
        pytest.skip(reason)
    stage = Stage(tmp_path, grace=3.0, timeout=3.0)
    stage.load_vault(MANUAL)
    row = ObservedContainer(stage)
    with blue_of_another_site(tmp_path / "other"):
        done = perform(row, deploys=2, rate=100, pause=0.5)
    assert row.claim.is_met(done.report), done.report.lost
    # Each deploy has stopped one by `podman stop`: it drained, and ended with 0.
    assert set(row.seen.values()) == {"0"}
    for life in done.lives[:-1]:
        phases = [span.phase for span in life.spans]
        # The two share a volume, and no process, network or IPC namespace: the slot was
        # given through the sockets in DATA_DIR/run, before the SIGTERM.
        assert phases[-3:] == ["standby", "draining", "stopped"]
        assert life.spans[-2].end - life.spans[-2].start >= stage.grace


@contextlib.contextmanager
def blue_of_another_site(folder: Path) -> Iterator[None]:
    """Run a container that another project on this host calls blue."""
    folder.mkdir()
    podman = Podman(folder)
    podman.make_caddy()
    started = podman.run(
        *("run", "--detach", "--network=none"),
        *("--label", "io.podman.compose.project=other"),
        *("--label", "com.docker.compose.service=blue"),
        *(CADDY, "/usr/bin/caddy", "run"),
    ).strip()
    try:
        yield
        assert podman.run("ps", "--quiet", "--no-trunc").count(started) == 1
    finally:
        podman.run("rm", "--force", "--time=0", started)


class ObservedContainer(Container):
    """Looks at how a container has ended, before its colour is used again."""

    def deploy(self) -> None:
        """Deploy, and look."""
        super().deploy()
        self.seen = self.exit_codes()
