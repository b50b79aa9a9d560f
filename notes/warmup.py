"""Warmup: the Site is made before the first reader comes."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Protocol

from django.db import connections

from notes import caching
from notes import site as sites
from notes.caching import Cached
from notes.effort import Effort
from notes.feeds import make_documents
from notes.loading import load_differences, load_everything
from notes.looking import apply_changes, build_everything
from notes.models import Note
from notes.site import Site
from notes.sources import find_date_problems
from notes.team import Crew

logger = logging.getLogger(__name__)


class WarmupContext(Protocol):
    """What the lifecycle tells a warmup task, and hears from it."""

    @property
    def processes(self) -> int:
        """How many processes may work at once."""

    @property
    def is_nice(self) -> bool:
        """Whether all of the work is for children: this process cannot be nice."""

    @property
    def check(self) -> bool:
        """Whether problems are what the caller wants to hear of."""

    def report(self, done: int, total: int, what: str, /) -> None:
        """Hear that *done* of *total* are done; *what* is a plural."""

    def prepare_child(self) -> None:
        """Make a forked process ready for work."""


def warm_site(context: WarmupContext) -> dict[str, Any] | list[str]:
    """
    Make the Site and publish it in this process.

    No thread, process or database connection is left behind: the caller is about
    to fork.

    Returns:
        Figures, by name; for a check, a line for each problem of a note.
    """
    effort = Effort()
    # A check is to render everything.
    cached = Cached() if context.check else caching.load()
    crew = Crew(
        processes=context.processes,
        is_apart=context.is_nice,
        prepare_child=context.prepare_child,
        report=context.report,
    )
    with caching.collector_off():
        site, differences = _make(cached, crew)
    make_documents(site)
    remade = _count_remade(cached.site, site)
    if cached.site is None or remade > caching.WORTH_SAVING * len(site.pages):
        caching.save(site)
    sites.publish(site)
    if context.check:
        try:
            # Those that are not published yet are no part of the Site.
            dates = list(find_date_problems(Note.objects.order_by("path").iterator()))
        finally:
            connections.close_all()
        return [*map(str, site.problems), *dates] + [
            f"{path}: {problem}"
            for path, rendered in sorted(site.rendered.items())
            for problem in (rendered.error, *rendered.problems)
            if problem is not None
        ]
    figures = {
        "notes": len(site.facts),
        "made": differences,
        "pages": len(site.pages),
        "pages_made": remade,
        "attachments": len(site.files),
        "bytes": sum(len(page.body) for page in site.pages.values()),
        "sequence": site.sequence,
    }
    logger.info(
        "event=site_warm %s %s",
        " ".join(f"{name}={value}" for name, value in figures.items()),
        effort,
    )
    return figures


def _make(cached: Cached, crew: Crew) -> tuple[Site, int]:
    """Return the Site, and how many of its notes differ from the cached one's."""
    try:
        if cached.site is None:
            everything = load_everything()
        else:
            changes = load_differences(cached.site)
    finally:
        connections.close_all()
    if cached.site is None:
        site = build_everything(everything, crew, cached.packed)
        return site, len(site.facts)
    before = cached.site
    if not changes.paths:
        former = before.former if changes.former is None else changes.former
        return replace(before, sequence=changes.sequence, former=former), 0
    site = apply_changes(before, changes, crew, cached.packed)
    return site, sum(
        before.facts.get(path) != site.facts.get(path)
        or before.attachments.get(path) != site.attachments.get(path)
        for path in changes.paths
    )


def _count_remade(before: Site | None, after: Site) -> int:
    """Return how many pages of *after* are not the ones of *before*."""
    if before is None:
        return len(after.pages)
    # One note may be in many: the settings are in all of them.
    pages = before.pages
    return sum(page is not pages.get(path) for path, page in after.pages.items())
