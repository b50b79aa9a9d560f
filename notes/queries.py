"""Queries: what the bases of a page show, of the files that readers can see."""

from __future__ import annotations

import datetime
import functools
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone

from notes.addresses import quote, wsgi_path
from notes.bases.evaluation import Budget
from notes.bases.querying import run
from notes.bases.showing import Show
from notes.rendering import QueryUse
from notes.rendering.media import media_tag
from notes.sources import AttachmentSource
from notes.updating import Update


class Queries:
    """
    The files of a site that readers can see, as `notes.bases.evaluation.World`.

    A file is a note, an attachment that is served, or a sheet that has a page.
    """

    def __init__(self, update: Update, files: Mapping[str, AttachmentSource]) -> None:
        """Take *files*, those that are served, by PATH_INFO."""
        self._update = update
        self._files = files
        self._selections: dict[str, tuple[str, ...]] = {}
        self._resolved: dict[str, str | None] = {}
        self._properties: dict[str, Mapping[str, Any]] = {}

    def html(self, uses: Sequence[QueryUse]) -> tuple[str, ...]:
        """Return what stands in the places of *uses*, the queries of one page."""
        budget = Budget()
        found = []
        for (base, number), this in uses:
            show = Show(base.names, self.url, self.resolve)
            result = run(
                base, number, self, this, self._paths, budget, self._selections
            )
            found.append(show.show(result))
        return tuple(found)

    @functools.cached_property
    def _paths(self) -> tuple[str, ...]:
        files = (file.path for file in self._files.values())
        return tuple(sorted([*self._update.facts, *files, *self._update.shown_sheets]))

    @functools.cached_property
    def now(self) -> datetime.datetime:
        """The moment at which the first page asks, where the site is."""
        return timezone.localtime().replace(tzinfo=None)

    def _is_seen(self, path: str) -> bool:
        return (
            path in self._update.facts
            or path in self._update.shown_sheets
            or wsgi_path(f"/{path}") in self._files
        )

    def url(self, path: str, /) -> str | None:
        """Return the URL path of a file; None for one that readers cannot see."""
        if not self._is_seen(path):
            return None
        return quote(self._update.addresses.notes.get(path) or f"/{path}")

    def resolve(self, target: str, source_path: str, /) -> str | None:
        """Return the file that *target* means there, if readers can see it."""
        if target.startswith("."):
            path = self._update.resolver.resolve(target, source_path)
            return path if path is not None and self._is_seen(path) else None
        # Where it stands matters to no other target.
        if target not in self._resolved:
            path = self._update.resolver.resolve(target, source_path)
            is_seen = path is not None and self._is_seen(path)
            self._resolved[target] = path if is_seen else None
        return self._resolved[target]

    def properties(self, path: str, /) -> Mapping[str, Any]:
        """Return the frontmatter of a note; of any other file, nothing."""
        found = self._properties.get(path)
        if found is None:
            facts = self._update.facts.get(path)
            packed = b"" if facts is None else facts.properties
            # Packed by this module's own package, from a note's frontmatter.
            found = pickle.loads(packed) if packed else {}  # noqa: S301
            self._properties[path] = found
        return found

    def tags(self, path: str, /) -> Sequence[str]:
        """Return the tags of a note, without '#'."""
        note = self._update.rendered.get(path)
        return () if note is None else note.tags

    def links(self, path: str, /) -> Sequence[str]:
        """Return the paths that a file leads to."""
        text = self._update.texts.of(path)
        return () if text is None else (*text.links, *text.attachments)

    def embeds(self, path: str, /) -> Sequence[str]:
        """Return the paths that a file shows: pictures and the like, then notes."""
        text = self._update.texts.of(path)
        if text is None:
            return ()
        return (*filter(media_tag, text.attachments), *text.embeds)

    def backlinks(self, path: str, /) -> Sequence[str]:
        """Return the paths of the notes that lead to a file."""
        update = self._update
        if path in update.facts:
            return update.backlinks.get(path, ())
        return [
            user
            for user in update.users.get(path, ())
            if user in update.rendered and path in update.rendered[user].attachments
        ]

    def size(self, path: str, /) -> int | None:
        """Return the size of an attachment in bytes; None for a note."""
        file = self._update.attachments.get(path)
        return None if file is None else file.size

    def times(self, path: str, /) -> tuple[datetime.datetime, datetime.datetime]:
        """Return when a file was written, and when it last changed."""
        facts = self._update.facts.get(path)
        if facts is not None:
            return facts.published_at, facts.modified_at
        modified_at = self._update.attachments[path].modified_at
        return modified_at, modified_at
