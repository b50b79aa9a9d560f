"""
The real site, served by gunicorn, and Debian's Chromium to look at it with.

It is the one without a window: the whole Chromium, told to be headless, waits for ever
for parts of its window, now and then.

A browser that answers no more is ended by a timer, so that the test that waits for it
fails; the next one gets a new browser.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from bench.stage import Stage
from lifecycle.knobs import Address
from tests.browser.readers import SCREENS, TIMEOUT, Reader, Screen
from tests.browser.vault import write_vault
from tests.processes import free_port

CHROMIUM = shutil.which("chromium-headless-shell")
TEST_TIMEOUT = 30.0  # seconds
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the manual and the notes beside it; return the address."""
    if CHROMIUM is None:
        pytest.skip("no chromium-headless-shell")
    folder = tmp_path_factory.mktemp("site")
    address = Address("127.0.0.1", free_port())
    origin = f"http://{address}"
    stage = Stage(folder, grace=0.0, environ=(("PUBLIC_URL", origin),))
    stage.load_vault(write_vault(folder / "vault"))
    with stage.instance(public=address) as instance:
        instance.start()
        instance.wait_ready()
        yield origin


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Run Playwright's own process."""
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browsers() -> Iterator[list[Browser]]:
    """Keep the browser that the tests share."""
    kept: list[Browser] = []
    yield kept
    for browser in kept:
        browser.close()


@pytest.fixture
def browser(playwright: Playwright, browsers: list[Browser]) -> Iterator[Browser]:
    """Return a browser that is there; it is ended when the test takes too long."""
    if not browsers or not browsers[-1].is_connected():
        browsers[:] = [
            playwright.chromium.launch(
                executable_path=CHROMIUM, args=_FLAGS, timeout=TEST_TIMEOUT * 1000
            )
        ]
    timer = threading.Timer(TEST_TIMEOUT, _end_browsers)
    timer.start()
    yield browsers[-1]
    timer.cancel()


def _end_browsers() -> None:
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"--remote-debugging-pipe" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(stat.parent.name)] = int(
                stat.read_text().rpartition(")")[2].split()[1]
            )
    found = [pid]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found[1:]


@pytest.fixture(params=SCREENS, ids=str)
def screen(request) -> Screen:
    """Return a dark phone and a light desktop; with SOAK the others, too."""
    screen: Screen = request.param
    return screen


@pytest.fixture
def reader(site: str, browser: Browser, screen: Screen) -> Iterator[Reader]:
    """Return a reader who runs scripts; nothing went wrong on a page of theirs."""
    made = Reader(site, browser, screen)
    yield made
    assert made.leave() == []


@pytest.fixture
def plain_reader(site: str, browser: Browser, screen: Screen) -> Iterator[Reader]:
    """Return a reader whose browser runs no script."""
    made = Reader(site, browser, screen, has_scripts=False)
    yield made
    assert made.leave() == []
