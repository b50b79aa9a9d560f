"""The image is built and replaced under load by podman, and stopped with a full drain."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import rows
from bench.images import CADDY, ImageError, Podman
from bench.performance import perform
from bench.probes import probe
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


def test_a_container_that_does_not_start_leaves_the_old_one_serving(
    tmp_path, uncovered
):
    if (reason := rows.why_skipped("container")) is not None:
        pytest.skip(reason)
    stage = Stage(tmp_path, grace=3.0, timeout=3.0)
    stage.load_vault(MANUAL)
    row = BrokenContainer(stage)
    with row:
        row.start()
        before = row.containers()
        row.break_next()
        with pytest.raises(ImageError) as caught:
            row.deploy()
        assert "this release is broken" in str(caught.value)
        said = str(caught.value).rstrip()
        assert said.endswith(" has failed; blue is as it was.")
        # Not even one that is being started again and again.
        assert row.containers() == before
        assert probe(row.target, "/").status == 200
        row.break_next()
        with row.deploying(), pytest.raises(ImageError, match="Another deploy is "):
            row.deploy()
        assert row.containers() == before


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


class BrokenContainer(Container):
    """Its next image ends as soon as it is started."""

    def break_next(self) -> None:
        """Have an image that does not start, made of the one that runs."""
        tag = f"{self._tags[0]}-broken"
        folder = self._folder / "broken"
        folder.mkdir(exist_ok=True)
        (folder / "Containerfile").write_text(
            f"FROM {self._tags[0]}\n"
            'ENTRYPOINT ["python", "-c", '
            "\"raise SystemExit('this release is broken')\"]\n"
        )
        self._podman.run("build", "--quiet", "--pull=never", "--tag", tag, folder)
        self._tags.append(tag)
        self._built.append(tag)

    @contextlib.contextmanager
    def deploying(self) -> Iterator[None]:
        """Be another deploy."""
        with (self._folder / ".deploy.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def containers(self) -> list[str]:
        """Return the names of the containers of this site that are not stopped."""
        found = self._podman.run(
            *("ps", "--all", "--filter", f"label={self._label}"),
            *("--format", "{{.Names}} {{.State}}"),
        )
        return sorted(
            line.split(" ")[0]
            for line in found.splitlines()
            if line.split(" ")[1] != "exited"
        )
