"""Under which epoch a write may run, and which it may not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lifecycle import gate
from lifecycle.gate import WriteOutsideGateError, WriterSlotLostError
from lifecycle.page import SharedPage
from tests.lifecycle.guarded import (
    begin_epoch,
    is_query_only,
    is_writing,
    names,
    outsider,
    row,
)
from tests.lifecycle.stray_writes import save


def test_a_write_under_an_epoch_that_is_over_does_not_run(
    page: SharedPage, guarded: Path
) -> None:
    begin_epoch(guarded, 8)
    with pytest.raises(WriterSlotLostError) as caught, gate.write():
        raise AssertionError("nothing may run here")
    assert (caught.value.expected, caught.value.found) == (7, 8)
    assert str(caught.value) == (
        "The writer slot has moved on: this process writes under epoch 7, "
        "the database is at 8. Nothing was written."
    )
    assert (names(), is_query_only(), is_writing(guarded)) == ([], True, False)
    page.epoch = 8
    with gate.write():
        row().save()
    assert names() == ["0001"]


def test_a_write_after_the_release_does_not_run(
    page: SharedPage, guarded: Path
) -> None:
    with outsider(guarded) as other:
        other.execute("UPDATE lifecycle_epoch SET holder = ''")
    with pytest.raises(WriterSlotLostError), gate.write():
        raise AssertionError("nothing may run here")


def test_a_worker_that_holds_nothing_does_not_write(page: SharedPage) -> None:
    page.epoch = 0
    with pytest.raises(WriterSlotLostError), gate.write():
        raise AssertionError("nothing may run here")


def test_nothing_is_admitted_while_closing_and_what_was_runs_to_its_end(
    page: SharedPage,
) -> None:
    assert gate.current_epoch() == 7
    page.is_closing = True
    assert gate.current_epoch() == 0
    with gate.write():
        row().save()
        assert gate.transaction_epoch() == 7
    assert names() == ["0001"]


def test_no_epoch_begins_while_a_write_is_under_way(
    page: SharedPage, guarded: Path
) -> None:
    with gate.write():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            begin_epoch(guarded, 8)
        row().save()
    begin_epoch(guarded, 8)
    assert names() == ["0001"]


def test_a_process_without_authority_reads_and_does_not_write(guarded: Path) -> None:
    gate.set_authority(gate.NoAuthority())
    assert (names(), gate.current_epoch()) == ([], 0)
    with pytest.raises(WriterSlotLostError), gate.write():
        raise AssertionError("nothing may run here")
    with pytest.raises(WriteOutsideGateError):
        save()
