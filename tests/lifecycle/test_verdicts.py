"""Whether older code can live with a migration: each kind of operation."""

from __future__ import annotations

import pytest

from lifecycle import schema
from lifecycle.verdicts import Verdict
from tests.lifecycle.migrations_of import Migrations

COMPATIBLE = {
    "nothing": "[]",
    "a table": """[migrations.CreateModel("New", [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=9, unique=True)),
    ])]""",
    "a table, and then more of it": """[
        migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("new", "name", models.TextField(default="x")),
        migrations.AlterField("new", "name", models.CharField(max_length=9)),
        migrations.RenameField("new", "name", "title"),
        migrations.AddConstraint(
            "new", models.UniqueConstraint(fields=["title"], name="one_title")),
        migrations.RemoveConstraint("new", "one_title"),
        migrations.RemoveField("new", "title"),
        migrations.RenameModel("New", "Newer"),
        migrations.AddField("newer", "x", models.IntegerField(default=0)),
    ]""",
    "a table that points at another new one": """[
        migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
        migrations.CreateModel("Newer", [
            ("id", models.BigAutoField(primary_key=True)),
            ("new", models.ForeignKey("sample.new", models.CASCADE)),
            ("parent", models.ForeignKey("self", models.CASCADE)),
            ("others", models.ManyToManyField("sample.new")),
        ]),
    ]""",
    "a table that points here, and the database does not mind": """[
        migrations.CreateModel("New", [
            ("id", models.BigAutoField(primary_key=True)),
            ("entry", models.ForeignKey(
                "sample.entry", models.DO_NOTHING, db_constraint=False)),
        ])]""",
    "a column that may be null": """[
        migrations.AddField("entry", "new", models.TextField(null=True))]""",
    "a column with a default in the database": """[
        migrations.AddField("entry", "new", models.TextField(db_default="x"))]""",
    "a column that is unique and may be null": """[
        migrations.AddField("entry", "new", models.IntegerField(null=True, unique=True))]""",
    "an index": """[migrations.AddIndex(
        "entry", models.Index(fields=["number"], name="by_number"))]""",
    "an index on a column": """[
        migrations.AlterField("entry", "number", models.IntegerField(default=0, db_index=True))]""",
    "room for more text": """[
        migrations.AlterField("entry", "code", models.CharField(max_length=99))]""",
    "a column that may be null now": """[
        migrations.AlterField("entry", "text", models.TextField(null=True))]""",
    "a default in the database": """[
        migrations.AlterField("entry", "number", models.IntegerField(db_default=0))]""",
    "another default of Django's": """[
        migrations.AlterField("entry", "number", models.IntegerField(default=9))]""",
    "choices": """[
        migrations.AlterField("entry", "code", models.CharField(max_length=10, choices=[("a", "A")]))]""",
    "what only Django knows": """[
        migrations.AlterModelOptions("entry", {"ordering": ["number"]}),
        migrations.AlterModelManagers("entry", [])]""",
}

CANNOT_DELETE = "from which older code could not delete"
BREAKING = {
    "a table that points here": (
        """[migrations.CreateModel("New", [
            ("id", models.BigAutoField(primary_key=True)),
            ("entry", models.ForeignKey("sample.entry", models.CASCADE)),
        ])]""",
        f"points New.entry at sample.entry, {CANNOT_DELETE}",
    ),
    "a pointer that may be null": (
        """[migrations.AddField("entry", "new", models.OneToOneField(
            "sample.other", models.CASCADE, null=True))]""",
        f"points entry.new at sample.other, {CANNOT_DELETE}",
    ),
    "an order among others": (
        """[migrations.AlterOrderWithRespectTo("entry", "number")]""",
        "adds or removes the column entry._order",
    ),
    "an operation of somebody's own": (
        """[type("Own", (migrations.operations.base.Operation,), {
            "state_forwards": lambda self, app, state: None,
            "database_forwards": lambda self, app, editor, before, after: None,
        })()]""",
        "runs Own, of which nothing is known",
    ),
    "one that is derived from a harmless one": (
        """[type("AddMore", (migrations.AddIndex,), {})(
            "entry", models.Index(fields=["number"], name="by_number"))]""",
        "runs AddMore, of which nothing is known",
    ),
    "a column without a default in the database": (
        """[migrations.AddField("entry", "new", models.TextField(default="x"))]""",
        "adds entry.new, which is NOT NULL without a default in the database "
        "(give it db_default= or null=True)",
    ),
    "a pointer without a default": (
        """[migrations.AddField(
            "entry", "new", models.ForeignKey("sample.other", models.CASCADE, default=1))]""",
        "adds entry.new, which is NOT NULL without a default in the database "
        "(give it db_default= or null=True)",
        f"points entry.new at sample.other, {CANNOT_DELETE}",
    ),
    "a unique column with a default": (
        """[migrations.AddField("entry", "new", models.IntegerField(db_default=1, unique=True))]""",
        "adds the unique column entry.new",
    ),
    "a column dropped": (
        """[migrations.RemoveField("entry", "number")]""",
        "removes the column entry.number",
    ),
    "a column renamed": (
        """[migrations.RenameField("entry", "number", "count")]""",
        "renames the column entry.number",
    ),
    "a column that must not be null any more": (
        """[migrations.AlterField("entry", "maybe", models.CharField(max_length=10, default=""))]""",
        "makes entry.maybe NOT NULL",
    ),
    "a column of another type": (
        """[migrations.AlterField("entry", "number", models.TextField(default="0"))]""",
        "changes the type of entry.number",
    ),
    "a column that must be positive": (
        """[migrations.AlterField("entry", "number", models.PositiveIntegerField(default=0))]""",
        "changes the type of entry.number",
    ),
    "a column that must be JSON": (
        """[migrations.AlterField("entry", "text", models.JSONField(default=dict))]""",
        "adds a check to entry.text",
    ),
    "a column that compares otherwise": (
        """[migrations.AlterField("entry", "code", models.CharField(
            max_length=10, db_collation="nocase"))]""",
        "changes the type of entry.code",
    ),
    "a pointer at another table": (
        """[
            migrations.AddField("entry", "new", models.ForeignKey(
                "sample.other", models.DO_NOTHING, null=True, db_constraint=False)),
            migrations.AlterField("entry", "new", models.ForeignKey(
                "sample.entry", models.CASCADE, null=True)),
        ]""",
        "makes entry.new point at sample.entry",
    ),
    "a pointer that the database minds now": (
        """[
            migrations.AddField("entry", "new", models.ForeignKey(
                "sample.other", models.DO_NOTHING, null=True, db_constraint=False)),
            migrations.AlterField("entry", "new", models.ForeignKey(
                "sample.other", models.CASCADE, null=True)),
        ]""",
        "makes entry.new point at sample.other",
    ),
    "a column that is unique now": (
        """[migrations.AlterField("entry", "code", models.CharField(max_length=10, unique=True))]""",
        "makes entry.code unique",
    ),
    "a default taken away": (
        """[migrations.AlterField("entry", "given", models.IntegerField(default=1))]""",
        "takes the default of entry.given away",
    ),
    "a column of another name in the database": (
        """[migrations.AlterField(
            "entry", "number", models.IntegerField(default=0, db_column="n"))]""",
        "renames the column entry.number",
    ),
    "a table dropped": (
        """[migrations.DeleteModel("Other")]""",
        "drops the table of Other",
    ),
    "a table renamed": (
        """[migrations.RenameModel("Other", "Another")]""",
        "renames the table of Other",
    ),
    "a table of another name": (
        """[migrations.AlterModelTable("other", "others")]""",
        "renames the table of other",
    ),
    "a constraint": (
        """[migrations.AddConstraint(
            "other", models.CheckConstraint(condition=Q(a__gt=F("b")), name="a_gt_b"))]""",
        "adds a constraint to other",
    ),
    "unique together": (
        """[migrations.AlterUniqueTogether("other", {("a", "b")})]""",
        "adds a unique constraint to other",
    ),
    "Python": ("[migrations.RunPython(migrations.RunPython.noop)]", "runs Python"),
    "SQL": ("""[migrations.RunSQL("SELECT 1")]""", "runs SQL"),
    "state apart from the database": (
        "[migrations.SeparateDatabaseAndState()]",
        "separates database and state",
    ),
}


def verdict() -> Verdict:
    (found,) = schema.pending()
    return found


@pytest.mark.parametrize("what", COMPATIBLE)
def test_older_code_can_live_with(what: str, migrations: Migrations) -> None:
    migrations.write("0002_next", COMPATIBLE[what])
    assert verdict() == Verdict("sample.0002_next", ())
    assert str(verdict()) == "sample.0002_next: older code can live with it"


@pytest.mark.parametrize("what", BREAKING)
def test_older_code_breaks_by(what: str, migrations: Migrations) -> None:
    operations, *reasons = BREAKING[what]
    migrations.write("0002_next", operations)
    assert verdict() == Verdict("sample.0002_next", tuple(reasons))
    assert str(verdict()) == (
        f"sample.0002_next: breaks older code: {'; '.join(reasons)}"
    )


def test_every_reason_is_named(migrations: Migrations) -> None:
    migrations.write(
        "0002_next",
        """[migrations.RemoveField("entry", "number"),
            migrations.AddField("entry", "fine", models.TextField(null=True)),
            migrations.RenameField("entry", "fine", "finer"),
            migrations.DeleteModel("Other")]""",
    )
    assert verdict().reasons == (
        "removes the column entry.number",
        "drops the table of Other",
    )


@pytest.mark.parametrize(
    ("word", "reasons"), [(True, ()), (False, ("it says so itself",))]
)
def test_a_migration_has_the_last_word_on_itself(
    migrations: Migrations, word: bool, reasons: tuple[str, ...]
) -> None:
    migrations.write(
        "0002_next",
        "[migrations.RunPython(migrations.RunPython.noop)]" if word else "[]",
        rest=f"older_code_can_live_with_it = {word}\n",
    )
    assert verdict().reasons == reasons


def test_each_is_judged_by_what_those_before_it_leave(migrations: Migrations) -> None:
    migrations.write(
        "0002_next",
        """[migrations.AddField("entry", "new", models.TextField(null=True))]""",
    )
    migrations.write(
        "0003_then",
        """[migrations.AlterField("entry", "new", models.TextField(default=""))]""",
        after="0002_next",
    )
    assert [(one.name, one.reasons) for one in schema.pending()] == [
        ("sample.0002_next", ()),
        ("sample.0003_then", ("makes entry.new NOT NULL",)),
    ]


def test_a_table_between_two_old_ones_points_at_both(migrations: Migrations) -> None:
    migrations.write(
        "0002_next",
        """[migrations.AddField("entry", "others", models.ManyToManyField("sample.other"))]""",
    )
    assert verdict().reasons == (
        f"points entry.others at sample.other, {CANNOT_DELETE}",
        f"points entry.others at sample.entry, {CANNOT_DELETE}",
    )
