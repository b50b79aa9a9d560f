"""The facts about locks on which the writer slot and the run folder stand."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle import locks
from tests.lifecycle.children import python, run_in_child, said
from tests.processes import wait_until

HOLD = """
import sys, time
from pathlib import Path
from lifecycle import locks
descriptor = locks.acquire(Path(sys.argv[1]))
print("held" if descriptor is not None else "refused", flush=True)
sys.stdin.read()
"""
# The parent is killed; a child that closed its copy lives on.
HOLD_WITH_CHILD = """
import os, sys
from pathlib import Path
from lifecycle import locks
descriptor = locks.acquire(Path(sys.argv[1]))
inherits = sys.argv[2] == "inherits"
ready, done = os.pipe()
child = os.fork()
if child == 0:
    if not inherits:
        os.close(descriptor)
    os.write(done, b"x")
    sys.stdin.read()
    os._exit(0)
os.read(ready, 1)
print(child, flush=True)
os.wait()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.lock"


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    taken = locks.acquire(path)
    assert taken is not None
    yield taken
    os.close(taken)


def test_a_lock_has_one_holder(path: Path, descriptor: int) -> None:
    assert locks.acquire(path) is None
    assert locks.is_locked(path)
    with python(HOLD, str(path)) as other:
        assert said(other) == "refused"


def test_a_lock_file_is_for_this_user_only(path: Path, descriptor: int) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_closing_the_last_descriptor_frees_the_lock(path: Path) -> None:
    first = locks.acquire(path)
    assert first is not None
    os.close(first)
    assert not locks.is_locked(path)
    second = locks.acquire(path)
    assert second is not None
    os.close(second)


def test_opening_and_closing_the_file_elsewhere_keeps_the_lock(
    path: Path, descriptor: int
) -> None:
    path.read_bytes()
    os.close(os.open(path, os.O_RDWR))
    with python(HOLD, str(path)) as other:
        assert said(other) == "refused"


def test_asking_whether_it_is_locked_never_takes_the_lock(path: Path) -> None:
    path.touch()
    assert not locks.is_locked(path)
    assert not locks.is_locked(path)
    assert not locks.is_locked(path.with_name("nothing-there"))
    with python(HOLD, str(path)) as other:
        assert said(other) == "held"
        assert locks.is_locked(path)
        assert locks.is_locked(path)


def test_a_forked_child_that_closes_its_copy_leaves_the_lock_with_its_parent(
    path: Path, descriptor: int
) -> None:
    assert run_in_child(lambda: os.close(descriptor)) == 0
    assert locks.acquire(path) is None


def test_kill_minus_nine_frees_the_lock_at_once(path: Path) -> None:
    with python(HOLD, str(path)) as holder:
        assert said(holder) == "held"
        holder.kill()
        holder.wait()
        # Dead and reaped: the kernel has closed its descriptors.
        assert not locks.is_locked(path)


def test_a_killed_holders_child_keeps_nothing_if_it_closed_its_copy(
    path: Path,
) -> None:
    with python(HOLD_WITH_CHILD, str(path), "closes") as holder:
        child = int(said(holder))
        holder.kill()
        holder.wait()
        assert not locks.is_locked(path)
        os.kill(child, 0)  # it lives


def test_a_killed_holders_child_keeps_the_lock_if_it_kept_its_copy(
    path: Path,
) -> None:
    """Why workers close theirs right after the fork."""
    with python(HOLD_WITH_CHILD, str(path), "inherits") as holder:
        said(holder)
        holder.kill()
        holder.wait()
        assert locks.is_locked(path)
        assert holder.stdin is not None
        holder.stdin.close()  # the child ends
        holder.stdin = None
        wait_until(lambda: not locks.is_locked(path), 5, "the child's end")


def test_a_lock_file_that_was_replaced_is_noticed(path: Path, descriptor: int) -> None:
    assert locks.same_file(descriptor, path)
    path.unlink()
    assert not locks.same_file(descriptor, path)
    path.touch()
    assert not locks.same_file(descriptor, path)


def test_a_file_replaced_while_it_is_being_locked_is_locked_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two processes would each hold a lock of the same name."""
    inodes = []
    real = locks.try_lock

    def replace_first(descriptor: int) -> bool:
        inodes.append(os.fstat(descriptor).st_ino)
        if len(inodes) == 1:
            # Both files stand at once, so that the second cannot get the inode.
            new = path.with_name("new")
            new.touch()
            new.rename(path)
        return real(descriptor)

    monkeypatch.setattr(locks, "try_lock", replace_first)
    descriptor = locks.acquire(path)
    assert descriptor is not None
    try:
        assert len(inodes) == 2
        assert os.fstat(descriptor).st_ino == path.stat().st_ino
    finally:
        os.close(descriptor)


def test_a_folder_that_cannot_hold_a_lock_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        locks.acquire(tmp_path / "missing" / "x.lock")


def test_waiting_for_a_killed_holder_takes_a_moment(path: Path) -> None:
    with python(HOLD, str(path)) as holder:
        assert said(holder) == "held"
        began = time.monotonic()
        holder.kill()
        wait_until(lambda: not locks.is_locked(path), 1, "the lock", interval=0.001)
        assert time.monotonic() - began < 1
