from __future__ import annotations

import os
import time

import pytest

from lifecycle import page
from lifecycle.page import MAX_WORKERS, SharedPage
from lifecycle.phases import Phase
from tests.lifecycle.children import run_in_child


def test_a_phase_that_the_master_writes_is_what_a_worker_reads() -> None:
    shared = SharedPage()
    assert shared.phase is Phase.STARTING
    read_end, write_end = os.pipe()
    back_read, back_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for _ in Phase:
                os.read(read_end, 1)  # the master has written the next phase
                draining = b"d" if shared.is_draining else b"-"
                os.write(back_write, draining + shared.phase.value.encode() + b"\n")
            status = 0
        finally:
            os._exit(status)
    seen = []
    for phase in Phase:
        shared.phase = phase
        os.write(write_end, b"x")
        seen.append(os.read(back_read, 100).decode().strip())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for descriptor in (read_end, write_end, back_read, back_write):
        os.close(descriptor)
    assert seen == [
        "-starting",
        "-warming",
        "-standby",
        "-ready",
        "ddraining",
        "dstopped",
    ]


def test_what_a_worker_writes_is_what_the_master_reads() -> None:
    shared = SharedPage()
    slot = shared.claim()
    assert (slot.pid, slot.booted, slot.may_stop) == (0, False, False)

    def work() -> None:
        slot.pid = os.getpid()
        slot.mark_booted()

    assert run_in_child(work) == 0
    assert slot.booted
    assert slot.pid not in {0, os.getpid()}
    assert 0 <= slot.silent_seconds() < 60


def test_a_worker_sees_that_the_master_lets_it_stop() -> None:
    shared = SharedPage()
    slot = shared.claim()
    other = shared.claim()
    slot.allow_stop()
    slot.allow_stop()

    def work() -> None:
        assert slot.may_stop
        assert not other.may_stop

    assert run_in_child(work) == 0


def test_a_worker_is_as_silent_as_the_more_silent_of_loop_and_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    slot = SharedPage().claim()
    slot.mark_booted()
    assert slot.silent_seconds() == 0
    now[0] = 103.0
    slot.beat()
    assert slot.silent_seconds() == 3
    slot.progress()
    now[0] = 105.0
    assert slot.silent_seconds() == 2
    slot.progress()
    assert slot.silent_seconds() == 2


def test_a_place_that_was_given_back_is_empty_and_taken_again() -> None:
    shared = SharedPage()
    first, second = shared.claim(), shared.claim()
    first.pid = 4711
    first.allow_stop()
    first.mark_booted()
    shared.release(first)
    assert [slot.index for slot in shared.workers()] == [second.index]
    again = shared.claim()
    assert again.index == first.index
    assert (again.pid, again.booted, again.may_stop) == (0, False, False)
    assert [slot.index for slot in shared.workers()] == [again.index, second.index]


def test_places_do_not_overlap() -> None:
    shared = SharedPage()
    slots = [shared.claim() for _ in range(MAX_WORKERS)]
    for number, slot in enumerate(slots, start=1):
        slot.pid = number
    assert [slot.pid for slot in shared.workers()] == list(range(1, MAX_WORKERS + 1))
    assert shared.phase is Phase.STARTING
    with pytest.raises(RuntimeError, match=f"More than {MAX_WORKERS} workers"):
        shared.claim()


def test_every_word_lies_within_the_page() -> None:
    words = page._HEADER_WORDS + MAX_WORKERS * page._SLOT_WORDS
    shared = SharedPage()
    assert len(shared.integers) == words
    fields = [page._PID, page._STOP, page._BOOTED, page._BEAT, page._PROGRESS]
    assert len(set(fields)) == len(fields)
    assert all(field < page._SLOT_WORDS for field in fields)


def test_a_worker_is_about_to_begin_from_its_fork_to_its_loop() -> None:
    slot = SharedPage().claim()
    first = slot.begins_seconds()
    assert 0 <= first <= slot.begins_seconds()
    slot.mark_booted()
    assert slot.begins_seconds() == 0
