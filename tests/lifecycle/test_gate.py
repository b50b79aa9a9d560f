"""The write gate on a real file: who may write, when, and what is left otherwise."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
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
from django.forms import modelform_factory
from django.test import TestCase, override_settings

from lifecycle import gate
from lifecycle.gate import WriteOutsideGateError, WriterSlotLostError
from lifecycle.models import AppliedMigration
from lifecycle.page import SharedPage
from tests.lifecycle.children import run_in_child

STRAY = (
    "A write outside the write gate. Send it as POST, PUT, PATCH or DELETE, or "
    "put it into `with lifecycle.gate.write():`."
)


def row(name: str = "0001") -> AppliedMigration:
    return AppliedMigration(app="a", name=name, is_compatible=True, applied_at=0)


def names() -> list[str]:
    return sorted(AppliedMigration.objects.values_list("name", flat=True))


@contextlib.contextmanager
def outsider(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection of another process, which knows of no gate."""
    with contextlib.closing(
        sqlite3.connect(path, timeout=0, isolation_level=None)
    ) as other:
        yield other


def begin_epoch(path: Path, epoch: int, holder: str = "somebody") -> None:
    with outsider(path) as other:
        other.execute(
            "INSERT INTO lifecycle_epoch (epoch, holder, taken_by, version, since, "
            "released_at, next, until) VALUES (?, ?, ?, '', 0, NULL, '', 0)",
            (epoch, holder, holder),
        )


def is_query_only() -> bool:
    connection.ensure_connection()
    (value,) = connection.connection.execute("PRAGMA query_only").fetchone()
    return bool(value)


def is_writing(path: Path) -> bool:
    """Return whether somebody has SQLite's write lock."""
    with outsider(path) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        other.rollback()
        return False


@pytest.fixture
def page(guarded: Path) -> SharedPage:
    """The page of an instance that holds the slot; this process is its worker."""
    made = SharedPage()
    made.epoch = 7
    begin_epoch(guarded, 7)
    gate.set_authority(gate.WorkerAuthority(made))
    return made


@pytest.fixture
def impatient(guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a lock no longer than a moment."""
    options = {**connection.settings_dict["OPTIONS"], "timeout": 0.05}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)


# -- a worker outside the gate ------------------------------------------------


def save() -> None:
    row("new").save()


def save_twice() -> None:
    row().save()
    row().save()


def update() -> None:
    AppliedMigration.objects.update(reason="changed")


def update_one() -> None:
    kept = AppliedMigration.objects.get()
    kept.reason = "changed"
    kept.save()


def delete() -> None:
    AppliedMigration.objects.all().delete()


def bulk_create() -> None:
    AppliedMigration.objects.bulk_create([row("new"), row("newer")])


def get_or_create() -> None:
    AppliedMigration.objects.get_or_create(
        app="a", name="new", defaults={"is_compatible": True, "applied_at": 0}
    )


def raw() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM lifecycle_appliedmigration")


def raw_many() -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE lifecycle_appliedmigration SET reason = %s", [["x"], ["y"]]
        )


def temporary_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE t (x)")


def form() -> None:
    """As the admin saves one."""
    made = modelform_factory(AppliedMigration, fields=["app", "name", "applied_at"])
    filled = made({"app": "a", "name": "new", "applied_at": "0"})
    assert filled.is_valid(), filled.errors
    filled.instance.is_compatible = True
    filled.save()


STRAY_WRITES = [
    save,
    update,
    update_one,
    delete,
    bulk_create,
    get_or_create,
    raw,
    raw_many,
    temporary_table,
    form,
]


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


# -- through the gate ---------------------------------------------------------


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


# -- the epoch ----------------------------------------------------------------


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


# -- the writer process: every transaction of its own right --------------------


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


# -- maintenance --------------------------------------------------------------


def columns() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pragma_table_info('t')")
        return [name for (name,) in cursor.fetchall()]


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


# -- other databases ----------------------------------------------------------


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


# -- tests of a project: no ceremony ------------------------------------------


@pytest.mark.django_db
@pytest.mark.urls("tests.lifecycle.gate_urls")
def test_a_test_writes_and_its_client_only_with_an_unsafe_method(client: Any) -> None:
    row().save()
    with transaction.atomic():
        row("0002").save()
    assert client.get("/read").content == b"2"
    with pytest.raises(WriteOutsideGateError, match="Send it as POST"):
        client.get("/write")
    assert client.post("/write").content == b"written"
    row("0003").save()
    assert names() == ["0001", "0002", "0003", "POST"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.lifecycle.gate_urls")
def test_so_does_one_with_transactions_of_its_own(client: Any) -> None:
    row().save()
    with pytest.raises(WriteOutsideGateError):
        client.head("/write")
    assert client.delete("/write").content == b"written"
    row("0003").save()
    assert names() == ["0001", "0003", "DELETE"]


@override_settings(ROOT_URLCONF="tests.lifecycle.gate_urls")
class TestInACase(TestCase):
    """Django's own, with data for the class and a fixture from a file."""

    fixtures = (str(Path(__file__).parent / "gate_fixture.json"),)

    @classmethod
    def setUpTestData(cls) -> None:
        row("0001").save()

    def test_so_does_one_of_djangos_own(self) -> None:
        assert names() == ["0001", "from a file"]
        with pytest.raises(WriteOutsideGateError):
            self.client.get("/write")
        assert self.client.put("/write").content == b"written"
        row("0002").save()
        assert names() == ["0001", "0002", "PUT", "from a file"]


@pytest.mark.urls("tests.lifecycle.gate_urls")
def test_so_does_one_with_a_live_server(
    live_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    row().save()
    assert fetch(live_server.url, "GET", "/read") == (200, b"1")
    assert fetch(live_server.url, "GET", "/write")[0] == 500
    assert "WriteOutsideGateError" in caplog.text
    assert fetch(live_server.url, "POST", "/write") == (200, b"written")
    row("0003").save()
    assert names() == ["0001", "0003", "POST"]


def fetch(url: str, method: str, path: str) -> tuple[int, bytes]:
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    server = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    with contextlib.closing(server):
        server.request(method, path)
        response = server.getresponse()
        return response.status, response.read()
