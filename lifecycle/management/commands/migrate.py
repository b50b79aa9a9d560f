"""manage.py migrate, under the writer slot."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DatabaseError, connections

from lifecycle import database, gate, schema
from lifecycle.conf import conf
from lifecycle.guests import GuestAuthority


class Command(migrate.Command):
    """
    Django's migrate, which takes the writer slot for its run.

    Beside a living holder it stops with status 3: an instance migrates by itself
    when it takes the slot.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate."""
        connection: Any = connections[options["database"]]
        is_guarded = getattr(connection, "is_guarded", False)
        only_reads = options["plan"] or options["check_unapplied"]
        try:
            if is_guarded and not only_reads:
                database.check()
            connection.ensure_connection()
        except database.DatabaseUnfitError as exc:
            raise CommandError(str(exc), returncode=exc.returncode) from exc
        except DatabaseError as exc:
            raise CommandError(str(database.unfit(exc)), returncode=1) from exc
        if not is_guarded or connection.in_maintenance or only_reads:
            super().handle(*args, **options)
            return
        before, guest = (
            gate.authority(),
            GuestAuthority(conf.data_dir, "manage.py migrate"),
        )
        # With an epoch of its own: a worker that outlived its instance must not write.
        if not guest.take():
            raise CommandError(
                f"The writer slot is held by {guest.describe_holder()}. An instance runs "
                "migrations itself when it takes the slot: deploy the new version, or "
                "stop every instance first.",
                returncode=3,
            )
        gate.set_authority(guest)
        try:
            verdicts = schema.pending()
            snapshot = schema.snapshot_before(verdicts)
            if snapshot is None and options["migration_name"]:
                # Back to an older one, which may drop what is there.
                schema.make_snapshot(
                    f"{options['app_label']}.{options['migration_name']}"
                )
            with gate.maintenance(options["database"]):
                try:
                    super().handle(*args, **options)
                finally:
                    schema.record(verdicts, snapshot)
        finally:
            guest.release()
            gate.set_authority(before)
