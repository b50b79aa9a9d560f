from __future__ import annotations

import os
from pathlib import Path

import pytest

from lifecycle.slot import WriterSlot
from tests.lifecycle.children import python, run_in_child, said
from tests.processes import wait_until

HOLD = """
import sys
from pathlib import Path
from lifecycle.slot import WriterSlot
slot = WriterSlot(Path(sys.argv[1]), "a test")
print(slot.try_acquire(), flush=True)
sys.stdin.read()
"""


def test_the_slot_has_one_holder_and_names_it(tmp_path: Path) -> None:
    first = WriterSlot(tmp_path, "instance 1")
    second = WriterSlot(tmp_path, "instance 2")
    assert first.try_acquire()
    assert not second.try_acquire()
    assert (first.is_held, second.is_held) == (True, False)
    assert second.describe_holder() == f"instance 1 (pid {os.getpid()})"
    first.release()
    assert second.try_acquire()
    assert second.describe_holder() == f"instance 2 (pid {os.getpid()})"
    second.release()


def test_taking_and_releasing_twice_changes_nothing(tmp_path: Path) -> None:
    slot = WriterSlot(tmp_path, "x")
    assert slot.try_acquire()
    descriptor = slot.descriptor
    assert slot.try_acquire()
    assert slot.descriptor == descriptor
    slot.release()
    slot.release()
    assert slot.descriptor is None


def test_the_slot_makes_the_data_directory(tmp_path: Path) -> None:
    slot = WriterSlot(tmp_path / "new" / "data", "x")
    assert slot.try_acquire()
    slot.release()


def test_a_holder_whose_record_cannot_be_read_is_another_process(
    tmp_path: Path,
) -> None:
    slot = WriterSlot(tmp_path, "x")
    assert slot.describe_holder() == "another process"
    for record in (b"", b"{", b"[]", b"{}", b"null", b"\xff"):
        slot.path.write_bytes(record)
        assert slot.describe_holder() == "another process"


def test_a_record_that_cannot_be_written_does_not_cost_the_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would: the lock would stay with a descriptor that nobody knows."""
    slot = WriterSlot(tmp_path, "x")

    def no_space(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_space)
    assert slot.try_acquire()
    monkeypatch.undo()
    slot.release()
    assert WriterSlot(tmp_path, "y").try_acquire()


def test_a_child_that_releases_its_copy_leaves_the_slot_with_its_parent(
    tmp_path: Path,
) -> None:
    slot = WriterSlot(tmp_path, "parent")
    assert slot.try_acquire()
    assert run_in_child(slot.release) == 0
    assert slot.is_held
    assert not WriterSlot(tmp_path, "other").try_acquire()
    slot.release()


def test_the_slot_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    with python(HOLD, str(tmp_path)) as holder:
        assert said(holder) == "True"
        slot = WriterSlot(tmp_path, "next")
        assert not slot.try_acquire()
        holder.kill()
        wait_until(slot.try_acquire, 1, "the slot", interval=0.001)
        slot.release()
