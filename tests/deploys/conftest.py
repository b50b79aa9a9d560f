"""A stage for instances of the small site, with short times."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.stage import Stage
from tests.deploys.scene import Scene
from tests.deploys.site import Prepared, Site
from tests.processes import listening_socket

SMALL_SITE = (
    *(sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"),
    "tests.deploys.application:application",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give *deploys* its number: 3, or 20 in a soak."""
    if "deploys" in metafunc.fixturenames:
        metafunc.parametrize("deploys", [20 if os.environ.get("SOAK") else 3])


@pytest.fixture
def uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Let instances run at their own speed, not at that of a coverage tracer.

    For tests that send a load: what they run is covered by those that do not.
    """
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)


@pytest.fixture
def small_stage(tmp_path: Path) -> Stage:
    """Set a stage whose grace is 1 s and whose time-out is 2 s."""
    return Stage(
        tmp_path,
        grace=1.0,
        timeout=2.0,
        command=SMALL_SITE,
        environ=(("DJANGO_SETTINGS_MODULE", "tests.deploys.site_settings"),),
    )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Hold the public socket, as systemd does."""
    with listening_socket() as held:
        yield held


@pytest.fixture
def scene(small_stage: Stage) -> Iterator[Scene]:
    """Start instances of the small site; all are gone afterwards."""
    with Scene(small_stage) as made:
        yield made


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Make a data directory once, for all sites to copy."""
    return Prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def site(
    tmp_path: Path, uncovered: None, listener: socket.socket, prepared: Prepared
) -> Iterator[Site]:
    """Set a site with one note; all instances are gone afterwards."""
    made = Site(tmp_path, listener, prepared)
    with made.started:
        yield made
