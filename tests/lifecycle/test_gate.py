"""The write gate of a worker: no write outside it, one transaction inside."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import (
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)

from lifecycle import gate
from lifecycle.gate import WriteOutsideGateError
from lifecycle.models import AppliedMigration
from lifecycle.page import SharedPage
from tests.lifecycle.children import run_in_child
from tests.lifecycle.guarded import (
    columns,
    is_query_only,
    is_writing,
    names,
    outsider,
    row,
    save_twice,
)
from tests.lifecycle.stray_writes import STRAY_WRITES, save

STRAY = (
    "A write outside the write gate. Send it as POST, PUT, PATCH or DELETE, or "
    "put it into `with lifecycle.gate.write():`."
)


@pytest.fixture
def impatient(guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a lock no longer than a moment."""
    options = {**connection.settings_dict["OPTIONS"], "timeout": 0.05}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("write", STRAY_WRITES)
def test_a_stray_write_is_refused_and_told_what_to_do(
    page: SharedPage, write: Callable[[], None], in_transaction: bool
) -> None:
    with gate.write():
        row().save()
    around = transaction.atomic() if in_transaction else contextlib.nullcontext()
    with pytest.raises(WriteOutsideGateError) as caught, around:
        write()
    assert str(caught.value) == STRAY
    assert list(AppliedMigration.objects.values_list("name", "reason")) == [
        ("0001", "")
    ]
    with gate.write():
        write()


def test_reading_waits_for_no_writer(
    page: SharedPage, guarded: Path, impatient: None
) -> None:
    with outsider(guarded) as other:
        other.execute("BEGIN IMMEDIATE")
        assert names() == []
        with transaction.atomic():
            assert names() == []
            assert connection.connection.in_transaction
        assert is_query_only()


def test_a_transaction_that_reads_sees_one_state(
    page: SharedPage, guarded: Path
) -> None:
    with transaction.atomic():
        assert names() == []
        with outsider(guarded) as other:
            other.execute(
                "INSERT INTO lifecycle_appliedmigration "
                "(app, name, is_compatible, reason, snapshot, applied_at) "
                "VALUES ('a', '1', 1, '', '', 0)"
            )
        assert names() == []
    assert names() == ["1"]


def test_what_is_inside_is_one_immediate_transaction(
    page: SharedPage, guarded: Path
) -> None:
    assert not is_writing(guarded)
    with gate.write():
        assert is_writing(guarded)
        assert not is_query_only()
        row("1").save()
        row("2").save()
        with outsider(guarded) as other:
            query = "SELECT count(*) FROM lifecycle_appliedmigration"
            assert other.execute(query).fetchone() == (0,)
    assert not is_writing(guarded)
    assert is_query_only()
    assert names() == ["1", "2"]


def test_an_exception_leaves_nothing_behind_and_the_gate_shut(
    page: SharedPage, guarded: Path
) -> None:
    def fail() -> None:
        row().save()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), gate.write():
        fail()
    assert (names(), is_query_only(), is_writing(guarded)) == ([], True, False)


def test_an_error_of_the_database_leaves_nothing_behind_and_the_gate_shut(
    page: SharedPage, guarded: Path
) -> None:
    with pytest.raises(IntegrityError), gate.write():
        save_twice()
    assert (names(), is_query_only(), is_writing(guarded)) == ([], True, False)
    with gate.write():
        row().save()
    assert names() == ["0001"]


def test_an_error_that_was_caught_undoes_all_of_it(page: SharedPage) -> None:
    with gate.write():
        row().save()
        with contextlib.suppress(IntegrityError):
            row().save()
    assert (names(), is_query_only()) == ([], True)


def test_a_lock_that_does_not_come_leaves_a_connection_that_works(
    page: SharedPage, guarded: Path, impatient: None
) -> None:
    with outsider(guarded) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"), gate.write():
            raise AssertionError("nothing may run here")
        assert (names(), is_query_only()) == ([], True)
    with gate.write():
        row().save()
    assert names() == ["0001"]


def test_a_write_waits_for_the_one_before_it(page: SharedPage, guarded: Path) -> None:
    def busy_timeout() -> int:
        (value,) = connection.connection.execute("PRAGMA busy_timeout").fetchone()
        return int(value)

    connection.ensure_connection()
    patience = busy_timeout()
    assert patience > 0
    with contextlib.closing(
        sqlite3.connect(guarded, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.1, other.rollback)
        timer.start()
        with gate.write():
            row().save()
            # For a statement that meets somebody who does not ask at the gate.
            assert busy_timeout() == patience
        timer.join()
    assert names() == ["0001"]


def test_a_write_inside_a_write_is_a_savepoint(page: SharedPage) -> None:
    with gate.write():
        row("1").save()
        with contextlib.suppress(ZeroDivisionError), gate.write():
            row("2").save()
            raise ZeroDivisionError
        with transaction.atomic():
            row("3").save()
        row("4").save()
    assert names() == ["1", "3", "4"]


def test_the_gate_inside_a_transaction_that_reads_does_not_open(
    page: SharedPage,
) -> None:
    with (
        pytest.raises(WriteOutsideGateError),
        transaction.atomic(),
        gate.write(),
    ):
        row().save()
    assert names() == []


def test_commit_hooks_run_once_the_gate_is_shut(page: SharedPage) -> None:
    seen: list[bool] = []
    with gate.write():
        row().save()
        transaction.on_commit(lambda: seen.append(is_query_only()))
        assert seen == []
    assert seen == [True]


def test_signals_of_a_request_close_no_connection_inside_the_gate(
    page: SharedPage,
) -> None:
    """The view runs inside the gate, and Django sends both around it."""
    with gate.write():
        row().save()
        before = connection.connection
        connection.close_at = 0.0  # CONN_MAX_AGE is over
        request_started.send(sender=None)
        request_finished.send(sender=None)
        assert connection.connection is before
    connection.close_at = 0.0
    request_finished.send(sender=None)
    assert connection.connection is None
    assert (names(), is_query_only()) == (["0001"], True)


@pytest.mark.parametrize("max_age", [0, 60, None])
def test_a_connection_that_is_kept_is_shut_between_requests(
    page: SharedPage, max_age: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", max_age)
    connection.close()
    for number in range(3):
        request_started.send(sender=None)
        with gate.write():
            row(str(number)).save()
        assert is_query_only()
        with pytest.raises(WriteOutsideGateError):
            save()
        request_finished.send(sender=None)
    assert names() == ["0", "1", "2"]


def test_threads_write_one_after_another(page: SharedPage) -> None:
    began = threading.Barrier(4)
    failures: list[Exception] = []

    def write(name: str) -> None:
        try:
            began.wait(10)
            for number in range(5):
                with gate.write():
                    count = AppliedMigration.objects.count()
                    row(f"{name}.{number}.{count}").save()
        except Exception as exc:  # noqa: BLE001 - shown by the test
            failures.append(exc)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    # Nobody counted while another was between counting and writing.
    assert sorted(int(name.split(".")[2]) for name in names()) == list(range(20))


def test_a_child_writes_over_a_connection_of_its_own(
    page: SharedPage, guarded: Path
) -> None:
    connections.close_all()  # as a master does before it forks

    def work() -> None:
        with gate.write():
            row().save()

    assert run_in_child(work) == 0
    assert names() == ["0001"]


def test_only_the_file_that_is_guarded_has_a_gate(
    guarded: Path, tmp_path: Path
) -> None:
    gate.set_authority(gate.NoAuthority())
    options: Any = connection.settings_dict
    connection.close()
    options["NAME"] = str(tmp_path / "other.sqlite3")
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (a INTEGER)")
        with transaction.atomic():
            assert is_writing(tmp_path / "other.sqlite3")
        with gate.shut():
            assert columns() == ["a"]
            with (
                pytest.raises(WriteOutsideGateError),
                connection.cursor() as cursor,
            ):
                cursor.execute("DROP TABLE t")
            with transaction.atomic():
                assert not is_writing(tmp_path / "other.sqlite3")
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE t")
        assert not (tmp_path / "writer.lock").exists()
    finally:
        connection.close()
        options["NAME"] = str(guarded)
    assert os.listdir(tmp_path / "data") != []  # noqa: PTH208 - names
