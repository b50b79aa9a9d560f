"""Maintenance: the gate is open for what cannot run in one transaction."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction

from lifecycle import gate
from lifecycle.gate import WriteOutsideGateError
from tests.lifecycle.guarded import (
    begin_epoch,
    columns,
    is_query_only,
    is_writing,
    names,
    row,
    save_twice,
)


def test_what_cannot_run_in_one_transaction_runs_in_maintenance(
    guarded: Path,
) -> None:
    gate.set_authority(gate.NoAuthority())
    with gate.maintenance():
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (a INTEGER)")
            cursor.execute("VACUUM")
        with connection.schema_editor() as editor:
            editor.execute("ALTER TABLE t ADD COLUMN b INTEGER")
        with gate.maintenance():
            pass
        # A connection that is made anew is open, too.
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE t ADD COLUMN c INTEGER")
    assert is_query_only()
    with pytest.raises(WriteOutsideGateError), connection.cursor() as cursor:
        cursor.execute("DROP TABLE t")
    assert columns() == ["a", "b", "c"]


def test_an_error_in_maintenance_shuts_the_gate(guarded: Path) -> None:
    gate.set_authority(gate.NoAuthority())
    with pytest.raises(IntegrityError), gate.maintenance():
        save_twice()
    assert is_query_only()


def test_a_transaction_in_maintenance_needs_an_epoch_that_is_not_over(
    guarded: Path,
) -> None:
    """Of the first migrations the epoch is 0; those after them are fenced as well."""
    gate.set_authority(gate.WriterAuthority(0))
    with gate.maintenance():
        row().save()
        begin_epoch(guarded, 1, "them")
        with pytest.raises(gate.WriterSlotLostError) as caught, transaction.atomic():
            raise AssertionError("nothing may run here")
        assert (caught.value.expected, caught.value.found) == (0, 1)
        gate.set_authority(gate.WriterAuthority(1))
        with transaction.atomic():
            assert is_writing(guarded)
    assert is_query_only()
    assert names() == ["0001"]


def test_a_migration_may_take_the_epochs_away(guarded: Path) -> None:
    """As `migrate lifecycle zero` does, which then goes on."""
    begin_epoch(guarded, 1, "me")
    gate.set_authority(gate.WriterAuthority(1))
    with gate.maintenance():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DROP TABLE lifecycle_epoch")
        with transaction.atomic():
            assert is_writing(guarded)
