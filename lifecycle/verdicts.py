"""
Whether older code can live with a migration: the verdict.

While two versions overlap, the older one reads and writes tables that the newer
one has migrated. django-migration-linter looks at the SQL; what SQLite's table
rewrites hide from it (a column without a default in the database, a dropped or
renamed one) is read from the operations. Django's own `default=` is no default
of the database: only `db_default=` lets older code insert a row.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.db.migrations import operations
from django.db.migrations.migration import Migration
from django.db.migrations.state import ProjectState
from django.db.migrations.utils import resolve_relation
from django.db.models.fields import NOT_PROVIDED
from django_migration_linter.sql_analyser.sqlite import SqliteAnalyser

# A migration's own word, as a class attribute, for what cannot be read from it.
DECLARATION = "older_code_can_live_with_it"

_BREAKING: dict[type, str] = {
    operations.RemoveField: "removes the column {model_name}.{name}",
    operations.RenameField: "renames the column {model_name}.{old_name}",
    operations.DeleteModel: "drops the table of {name}",
    operations.RenameModel: "renames the table of {old_name}",
    operations.AlterModelTable: "renames the table of {name}",
    operations.AddConstraint: "adds a constraint to {model_name}",
    operations.AlterUniqueTogether: "adds a unique constraint to {name}",
    operations.AlterOrderWithRespectTo: "adds or removes the column {name}._order",
    operations.RunPython: "runs Python",
    operations.RunSQL: "runs SQL",
    operations.SeparateDatabaseAndState: "separates database and state",
}
# Looked at one by one below, or of no concern to older code. Any other class, a
# project's own or a later Django's, may do anything.
_KNOWN = frozenset(
    {
        *_BREAKING,
        operations.AddField,
        operations.AddIndex,
        operations.AlterConstraint,
        operations.AlterField,
        operations.AlterIndexTogether,
        operations.AlterModelManagers,
        operations.AlterModelOptions,
        operations.AlterModelTableComment,
        operations.CreateModel,
        operations.RemoveConstraint,
        operations.RemoveIndex,
        operations.RenameIndex,
    }
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """
    What is to be said of one migration.

    Attributes:
        name: 'app.name'.
        reasons: what older code stumbles over; none when it can live with it.
    """

    name: str
    reasons: tuple[str, ...]

    @property
    def is_compatible(self) -> bool:
        """Whether code that does not know the migration can go on."""
        return not self.reasons

    def __str__(self) -> str:
        if self.is_compatible:
            return f"{self.name}: older code can live with it"
        return f"{self.name}: breaks older code: {'; '.join(self.reasons)}"


def judge(migration: Migration, state: ProjectState) -> Verdict:
    """
    Return the verdict on *migration*.

    Args:
        migration: one that has not run yet.
        state: the models before it; it is not changed.
    """
    name = f"{migration.app_label}.{migration.name}"
    declared = getattr(migration, DECLARATION, None)
    if declared is not None:
        return Verdict(name, () if declared else ("it says so itself",))
    reasons: list[str] = []
    state = state.clone()
    new: set[str] = set()
    changes_new = False
    for operation in migration.operations:
        is_about_new = _is_about_new(operation, new)
        reason = _objection(operation, state, migration.app_label)
        if reason and not is_about_new:
            reasons.append(reason)
        reasons.extend(_pointers(operation, migration.app_label, new))
        changes_new = changes_new or (bool(reason) and is_about_new)
        operation.state_forwards(migration.app_label, state)
    if not reasons and not changes_new:
        # The SQL does not tell new tables from old ones.
        reasons.extend(_linted(migration))
    return Verdict(name, tuple(reasons))


def _is_about_new(operation: Any, new: set[str]) -> bool:
    """
    Return whether *operation* is about what the same migration has made.

    Of that older code knows nothing. *new* gets what *operation* makes: names of
    models, and of columns as 'model.column'.
    """
    if isinstance(operation, operations.CreateModel):
        new.add(operation.name_lower)
        return True
    if isinstance(operation, operations.RenameModel):
        if operation.old_name_lower in new:
            new.add(operation.new_name_lower)
        return operation.old_name_lower in new
    model = getattr(
        operation, "model_name_lower", getattr(operation, "name_lower", None)
    )
    if isinstance(operation, operations.AddField):
        new.add(f"{model}.{operation.name}")
    if isinstance(operation, operations.RenameField):
        if f"{model}.{operation.old_name}" in new:
            new.add(f"{model}.{operation.new_name}")
        return model in new or f"{model}.{operation.old_name}" in new
    if isinstance(operation, operations.RemoveField):
        return model in new or f"{model}.{operation.name}" in new
    return model in new


def _objection(operation: Any, state: ProjectState, app: str) -> str:
    """Return what older code stumbles over in *operation*; '' for nothing."""
    for kind, text in _BREAKING.items():
        if isinstance(operation, kind):
            return text.format_map(_Attributes(operation))
    if isinstance(operation, operations.AddField):
        if _needs_value(operation.field):
            return (
                f"adds {operation.model_name}.{operation.name}, which is NOT NULL without "
                "a default in the database (give it db_default= or null=True)"
            )
        if operation.field.unique and operation.field.has_db_default():
            # All rows would get the same; of nulls there may be many.
            return f"adds the unique column {operation.model_name}.{operation.name}"
    if isinstance(operation, operations.AlterField):
        return _altered(operation, state, app)
    if type(operation) not in _KNOWN:
        return f"runs {type(operation).__name__}, of which nothing is known"
    return ""


def _pointers(operation: Any, app: str, new: set[str]) -> Iterator[str]:
    """
    Yield what in *operation* points at tables that older code deletes from.

    It does not delete the rows that point there, since it knows nothing of them: the
    database then refuses the whole deletion.
    """
    if isinstance(operation, operations.CreateModel):
        model, fields = operation.name, dict(operation.fields)
    elif isinstance(operation, operations.AddField):
        model, fields = operation.model_name, {operation.name: operation.field}
    else:
        return
    for name, field in fields.items():
        if not field.remote_field or not _is_enforced(field):
            continue
        targets = [resolve_relation(field.remote_field.model, app, model)]
        if field.many_to_many:
            targets.append((app, model.lower()))
        for target_app, target in targets:
            if target_app != app or target.lower() not in new:
                yield (
                    f"points {model}.{name} at {target_app}.{target.lower()}, from which "
                    "older code could not delete"
                )


def _is_enforced(field: Any) -> bool:
    """Return whether the database minds what a relation points at."""
    if field.many_to_many:
        # The table between that somebody wrote is judged as a table.
        return field.remote_field.through is None and field.remote_field.db_constraint
    return bool(getattr(field, "db_constraint", False))


class _Attributes(dict[str, str]):
    """An operation's attributes, for str.format_map."""

    def __init__(self, operation: object) -> None:
        super().__init__()
        self._operation = operation

    def __missing__(self, key: str) -> str:
        return str(getattr(self._operation, key, "?"))


def _needs_value(field: Any) -> bool:
    return not (
        field.null
        or field.many_to_many
        or field.db_default is not NOT_PROVIDED
        or getattr(field, "generated", False)
    )


def _altered(operation: Any, state: ProjectState, app: str) -> str:
    old: Any = state.models[app, operation.model_name_lower].fields[operation.name]
    new = operation.field
    where = f"{operation.model_name}.{operation.name}"
    if old.null and not new.null:
        return f"makes {where} NOT NULL"
    if new.unique and not old.unique:
        return f"makes {where} unique"
    if _column(old, operation.name) != _column(new, operation.name):
        return f"renames the column {where}"
    if _type(old) != _type(new):
        return f"changes the type of {where}"
    check = _check(new, operation.name)
    if check and check != _check(old, operation.name):
        return f"adds a check to {where}"
    if new.remote_field and _is_enforced(new):
        target = _target(new, app, operation.model_name)
        if not _is_enforced(old) or target != _target(old, app, operation.model_name):
            return f"makes {where} point at {'.'.join(target)}"
    if old.db_default is not NOT_PROVIDED and _needs_value(new):
        return f"takes the default of {where} away"
    return ""


def _target(field: Any, app: str, model: str) -> tuple[str, str]:
    name, target = resolve_relation(field.remote_field.model, app, model)
    return name, target.lower()


def _check(field: Any, name: str) -> str:
    """Return what the database looks at in each value, as JSON_VALID; '' for nothing."""
    field = field.clone()
    field.set_attributes_from_name(name)
    return str(field.db_check(connection) or "")


def _column(field: Any, name: str) -> str:
    # One that is not bound to a model has no column yet; see Field.get_attname_column.
    suffix = "_id" if field.many_to_one or field.one_to_one else ""
    return str(field.db_column or f"{name}{suffix}")


def _type(field: Any) -> str:
    """Return the column's type in SQLite, which looks at no length, and how it sorts."""
    if field.remote_field:
        return "a relation"
    kind = re.sub(r"\(.*?\)", "", field.db_type(connection) or "")
    return f"{kind} {getattr(field, 'db_collation', None) or ''}"


def _linted(migration: Migration) -> list[str]:
    """Return what django-migration-linter finds in the migration's SQL."""
    out = io.StringIO()
    call_command(
        "sqlmigrate", migration.app_label, migration.name, stdout=out, no_color=True
    )
    # SQLite's table rewrites name every NOT NULL column there is: seen to above.
    analyser = SqliteAnalyser(exclude_migration_tests=["NOT_NULL"])
    analyser.analyse(
        [
            line
            for line in out.getvalue().splitlines()
            if line and not line.startswith("--")
        ]
    )
    return [issue.message.lower() for issue in analyser.errors]
