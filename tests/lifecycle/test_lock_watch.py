"""Waiting for a lock's end, and for a word."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle import locks
from lifecycle.lock_watch import LockWatch
from tests.lifecycle.children import python, said
from tests.lifecycle.test_locks import HOLD

# Longer than any test may take: a wait that lasts this long was not ended.
FOREVER = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.lock"


@pytest.fixture
def watch(path: Path) -> Iterator[LockWatch]:
    made = LockWatch(path)
    yield made
    made.close_in_child()


def lasts(watch: LockWatch, seconds: float) -> float:
    """Wait; return how long that took."""
    began = time.monotonic()
    watch.wait(seconds)
    return time.monotonic() - began


def acquire_when_free(watch: LockWatch, path: Path) -> int:
    """Take the lock as soon as a wait tells that it may be free."""
    while (descriptor := locks.acquire(path)) is None:
        watch.wait(FOREVER)
    return descriptor


def test_a_wait_ends_when_the_holder_is_killed(watch: LockWatch, path: Path) -> None:
    with python(HOLD, str(path)) as holder:
        assert said(holder) == "held"
        watch.wait(0)  # it watches from its first wait on
        timer = threading.Timer(0.05, holder.kill)
        timer.start()
        began = time.monotonic()
        os.close(acquire_when_free(watch, path))
        assert time.monotonic() - began < FOREVER / 2
        timer.join()


def test_a_wait_ends_when_the_file_is_replaced(watch: LockWatch, path: Path) -> None:
    held = locks.acquire(path)
    assert held is not None
    watch.wait(0)
    timer = threading.Timer(0.05, path.unlink)
    timer.start()
    assert lasts(watch, FOREVER) < FOREVER / 2
    timer.join()
    # The next file of that name is watched from then on.
    other = locks.acquire(path)
    assert other is not None
    watch.wait(0)
    timer = threading.Timer(0.05, os.close, [other])
    timer.start()
    os.close(acquire_when_free(watch, path))
    timer.join()
    os.close(held)


def test_who_finds_it_locked_wakes_nobody(watch: LockWatch, path: Path) -> None:
    """Else two that wait would wake each other for ever."""
    held = locks.acquire(path)
    assert held is not None
    watch.wait(0)
    assert locks.acquire(path) is None
    assert locks.is_locked(path)
    assert lasts(watch, 0.1) >= 0.1
    os.close(held)


def test_each_word_ends_one_wait(watch: LockWatch, path: Path) -> None:
    path.touch()
    watch.wake()
    watch.wake()
    assert lasts(watch, FOREVER) < FOREVER / 2
    assert lasts(watch, FOREVER) < FOREVER / 2
    assert lasts(watch, 0.1) >= 0.1
    timer = threading.Timer(0.05, watch.wake)
    timer.start()
    assert lasts(watch, FOREVER) < FOREVER / 2
    timer.join()


def test_where_nothing_can_be_watched_a_wait_is_short(
    watch: LockWatch, path: Path
) -> None:
    assert lasts(watch, FOREVER) < FOREVER / 2  # there is no file yet
    path.touch()
    os.close(watch._inotify)  # as one that was refused: the user has too many
    watch._inotify = -1
    assert lasts(watch, FOREVER) < FOREVER / 2
    watch.wake()
    watch.wait(FOREVER)
