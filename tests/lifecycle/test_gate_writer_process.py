"""The write gate of the writer process: every transaction of its own right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection, transaction

from lifecycle import gate
from lifecycle.gate import WriterSlotLostError
from lifecycle.models import AppliedMigration
from tests.lifecycle.guarded import begin_epoch, is_query_only, names, row
from tests.lifecycle.stray_writes import STRAY_WRITES, temporary_table


@pytest.fixture
def writer(guarded: Path) -> None:
    """Be the writer process of an instance that holds the slot."""
    begin_epoch(guarded, 7)
    gate.set_authority(gate.WriterAuthority(7))


@pytest.mark.parametrize("write", [w for w in STRAY_WRITES if w is not temporary_table])
def test_a_writer_process_writes_without_ceremony(
    writer: None, write: Callable[[], None]
) -> None:
    row().save()
    write()
    assert is_query_only()
    with transaction.atomic():
        AppliedMigration.objects.all().delete()
    assert names() == []


def test_rows_that_a_write_returns_can_be_read(writer: None) -> None:
    insert = (
        "INSERT INTO lifecycle_appliedmigration "
        "(app, name, is_compatible, reason, snapshot, applied_at) "
        "VALUES ('a', '1', 1, '', '', 0), ('a', '2', 1, '', '', 0), "
        "('a', '3', 1, '', '', 0), ('a', '4', 1, '', '', 0) RETURNING name"
    )
    with connection.cursor() as cursor:
        cursor.execute(insert)
        assert cursor.rowcount == 4
        assert cursor.fetchone() == ("1",)
        assert cursor.fetchmany(2) == [("2",), ("3",)]
        assert list(cursor) == [("4",)]
        assert (cursor.fetchone(), cursor.fetchall()) == (None, [])
        # What was kept is of that statement only.
        cursor.execute("SELECT name FROM lifecycle_appliedmigration WHERE name = '2'")
        assert cursor.fetchall() == [("2",)]
    assert names() == ["1", "2", "3", "4"]


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_writer_process_whose_epoch_is_over_writes_nothing(
    writer: None, guarded: Path, in_transaction: bool
) -> None:
    begin_epoch(guarded, 8)
    around = transaction.atomic() if in_transaction else contextlib.nullcontext()
    with pytest.raises(WriterSlotLostError), around:
        row().save()
    assert (names(), is_query_only()) == ([], True)
