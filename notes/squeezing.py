"""
Squeezing: pages as small as they can be made, for the next boot.

Brotli's best takes twenty times as long as what a boot can wait for. It is done once
the instance is ready, in a process of its own and at the lowest priority, and goes into
the render cache. This instance serves on what it has: to give every worker the new
bodies would take the memory that they share now.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from notes import caching
from notes import site as sites
from notes.effort import Effort
from notes.layers import replaced
from notes.responses import BROTLI, Response
from notes.site import Site

logger = logging.getLogger(__name__)


def squeeze_cache() -> None:
    """Put this process's Site into the render cache, its pages squeezed."""
    site = sites.current()
    if site is None:
        return
    effort = Effort()
    # By identity: a page stands in several mappings.
    pages = {id(page): page for page in site.pages.values() if not page.is_squeezed}
    if len(pages) <= caching.WORTH_SAVING * len(site.pages):
        return
    squeezed = {key: page.squeezed() for key, page in pages.items()}
    caching.save(_with(site, squeezed))
    logger.info(
        "event=pages_squeezed pages=%d bytes=%d were=%d %s",
        len(pages),
        sum(len(page.variant(BROTLI)[0]) for page in squeezed.values()),
        sum(len(page.variant(BROTLI)[0]) for page in pages.values()),
        effort,
    )


def _with(site: Site, squeezed: Mapping[int, Response]) -> Site:
    """Return *site* with the *squeezed* pages in the places of those with their ids."""

    def changed(pages: Mapping[str, Response]) -> Mapping[str, Response]:
        new = {
            key: squeezed[id(page)]
            for key, page in pages.items()
            if id(page) in squeezed
        }
        return replaced(pages, (), new)

    return replace(
        site,
        note_pages=changed(site.note_pages),
        folder_pages=changed(site.folder_pages),
        tag_pages=changed(site.tag_pages),
        pages=changed(site.pages),
    )
