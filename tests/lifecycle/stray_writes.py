"""The ways in which a program may write, none of them through the gate."""

from __future__ import annotations

from django.db import connection
from django.forms import modelform_factory

from lifecycle.models import AppliedMigration
from tests.lifecycle.guarded import row


def save() -> None:
    row("new").save()


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
