"""
Looking: whether the database says something that a Site does not have yet.

`PRAGMA data_version` says cheaply that somebody committed something; the greatest
sequence in the log says whether it concerns the Site, and which paths. So does the
clock, for notes that are published from a time on. The next Site is then made from the
last.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from django.db import OperationalError, connection
from django.utils import timezone

from notes.building import Packed, build_site, change_site
from notes.layers import replaced
from notes.loading import Changes, Everything, load_changes, load_everything
from notes.site import Site
from notes.team import Crew

logger = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between two looks at the database."""


def catch_up(site: Site | None, crew: Crew | None = None) -> Site:
    """Return the Site of what is in the database now; *site* when that is it."""
    if site is not None:
        due = site.due(timezone.now())
        changes = load_changes(site.sequence, due)
        if changes is not None:
            if changes.sequence == site.sequence and not due:
                return site
            return apply_changes(site, changes, crew)
        logger.info("event=site_rebuilt reason='the log does not reach back'")
    return build_everything(load_everything(), crew)


def build_everything(
    everything: Everything, crew: Crew | None = None, known: Packed | None = None
) -> Site:
    """Return the Site of *everything*; see `change_site`."""
    site = build_site(
        everything.notes, everything.attachments, everything.sequence, crew, known
    )
    return replace(site, former=everything.former, held=everything.held)


def apply_changes(
    site: Site, changes: Changes, crew: Crew | None = None, known: Packed | None = None
) -> Site:
    """Return what *changes* make of *site*; see `change_site`."""
    made = change_site(
        site,
        changes.sequence,
        changes.paths,
        changes.notes,
        changes.attachments,
        crew,
        known,
    )
    return replace(
        made,
        former=site.former if changes.former is None else changes.former,
        held=replaced(site.held, changes.paths, changes.held),
    )


class Look:
    """
    What one thread has seen of the database, through its own connection.

    What another connection said of its data_version cannot be compared with what
    this one says, so nothing of this is ever handed on.
    """

    def __init__(self, crew: Crew | None = None) -> None:
        self._crew = crew
        self._file: tuple[int, int] | None = None
        """Which file the database was at the last look."""
        self._version: int | None = None
        """Its data_version when the last Site was read from it."""
        self.is_failing = False
        """Whether the last look failed."""

    def next_site(self, site: Site | None) -> Site | None:
        """
        Return the Site of what is in the database now; *site* when that is it.

        Never raises: whatever goes wrong is logged once, readers keep *site*, and the
        next look tries again.
        """
        try:
            site = self._next_site(site)
            if self.is_failing:
                logger.info("event=following_again")
            self.is_failing = False
        except Exception as exc:
            if not self.is_failing and _is_early(exc, site):
                logger.info("event=following_waits reason=%r", str(exc))
            elif not self.is_failing:
                logger.exception("event=following_failed")
            self.is_failing = True
        return site

    def _next_site(self, site: Site | None) -> Site | None:
        file = _file_identity()
        before = site
        if self._file is not None and file != self._file:
            # Another database was put in this one's place: nothing that this
            # connection, or a sequence, says can be compared with it.
            connection.close()
            self._version = None
            before = None
        version = _data_version()
        is_due = before is not None and before.is_due(timezone.now())
        if version != self._version or is_due:
            site = catch_up(before, self._crew)
        self._file, self._version = file, version
        return site


def _is_early(exc: Exception, site: Site | None) -> bool:
    """Return whether *exc* says that the first migrations have not run yet."""
    has_notes = site is not None and site.sequence > 0
    return (
        isinstance(exc, OperationalError)
        and "no such table" in str(exc)
        and not has_notes
    )


def _file_identity() -> tuple[int, int] | None:
    """Return which file the database is; None for one that is in no file."""
    try:
        status = Path(connection.settings_dict["NAME"]).stat()
    except (OSError, TypeError):
        return None
    return status.st_dev, status.st_ino


def _data_version() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")
        version: int = cursor.fetchone()[0]
    return version
