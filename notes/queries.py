"""Queries: what the bases of a page show, of the files that readers can see."""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils import timezone

from notes.addresses import quote, wsgi_path
from notes.bases.evaluation import Asked, Budget
from notes.bases.querying import run
from notes.bases.selecting import Answer, Answers, Change, Selection, Selector
from notes.bases.showing import Show
from notes.layers import differing
from notes.links import lookup_key
from notes.rendering import QueryUse
from notes.rendering.media import media_tag
from notes.sources import AttachmentSource
from notes.updating import Update

logger = logging.getLogger(__name__)

_FAILED = (
    '<div class="base">\n<p class="base-note">This could not be shown. Its author '
    "finds the reason in the log.</p>\n</div>\n"
)


class Queries:
    """
    The files of a site that readers can see, as `notes.bases.evaluation.World`.

    A file is a note, an attachment that is served, or a sheet that has a page.
    """

    def __init__(self, update: Update, files: Mapping[str, AttachmentSource]) -> None:
        """Take *files*, those that are served, by PATH_INFO."""
        self._update = update
        self._files = files
        self._row = ""
        self._asked = Asked()
        self._resolved: dict[str, str | None] = {}
        self._properties: dict[str, Mapping[str, Any]] = {}
        self._change = self._find_change()
        self._selector = Selector(
            self,
            lambda: self._paths,
            update.old.answers.selections,
            self._change,
        )
        self._answers: dict[str, Answer] = {}

    @property
    def answers(self) -> Answers:
        """All that was found."""
        return Answers(self._selector.found, self._answers)

    def html(self, path: str) -> tuple[str, ...]:
        """Return what stands in the places of the queries of the page of *path*."""
        found = self._answers.get(path)
        if found is None:
            found = self._answers[path] = self._know(path) or self._find(path)
        return found.html

    def _find_change(self) -> Change:
        """Return what is told otherwise than when the old site's answers were found."""
        update, old = self._update, self._update.old
        seen = {
            path
            for path in update.paths
            if (path in update.facts) != (path in old.facts)
        }
        for place in differing(old.files, self._files):
            file = self._files.get(place) or old.files[place]
            seen.add(file.path)
        seen |= update.shown_sheets ^ old.shown_sheets
        come_or_gone = seen | {
            path
            for path in update.paths
            if (path in update.attachments) != (path in old.attachments)
        }
        return Change(
            files=update.paths | update.to_render | update.gone | seen,
            names=set(map(lookup_key, come_or_gone)),
            urls=update.moved | seen,
        )

    def _know(self, path: str) -> Answer | None:
        """Return what the old site's page shows, if this one's shows the same."""
        before = self._update.old.answers.pages.get(path)
        if (
            before is None
            or path in self._update.to_render
            or self._change.concerns(before.asked)
        ):
            return None
        selections: list[Selection | None] = []
        budget = Budget()
        try:
            for ((base, number), this), was in zip(
                self._uses(path), before.selections, strict=True
            ):
                now = was and self._selector.find(base, number, this, was)
                if was is not None and now is not None:
                    if now.paths != was.paths or not self._change.files.isdisjoint(
                        now.paths
                    ):
                        return None
                    now.pay(budget)
                selections.append(now)
            budget.pay("", before.steps)
        except Exception:  # noqa: BLE001 - also what `_run` logs: it is found anew
            return None
        return before._replace(selections=tuple(selections))

    def _find(self, path: str) -> Answer:
        answer, budget = self._run(path)
        if budget.steps < 0:
            # Steps may have been counted that nobody takes any more.
            self._selector.forget()
            answer, budget = self._run(path)
            answer.asked.is_fleeting |= budget.steps < 0
        return answer

    def _run(self, path: str) -> tuple[Answer, Budget]:
        budget = Budget()
        html: list[str] = []
        selections: list[Selection | None] = []
        with self.listening() as asked:
            for (base, number), this in self._uses(path):
                show = Show(base.names, self.url, self.resolve)
                try:
                    result = run(base, number, self, this, budget, self._selector.find)
                    html.append(show.show(result))
                    selections.append(result.selection)
                except Exception:  # one base is no reason to have no site
                    logger.exception("event=query_failed path=%r", path)
                    html.append(_FAILED)
                    selections.append(None)
                    # Who knows what it would have asked: with each change, again.
                    asked.is_fleeting = True
        steps = Budget().steps - budget.steps - sum(budget.paid.values())
        return Answer(tuple(html), tuple(selections), asked, steps), budget

    def _uses(self, path: str) -> Sequence[QueryUse]:
        text = self._update.texts.of(path)
        return () if text is None else text.queries

    def begin(self, row: str, /) -> None:
        """Take what is asked next as asked for the file at *row*."""
        self._row = row

    @contextlib.contextmanager
    def listening(self) -> Iterator[Asked]:
        """Note what is asked for inside, and nowhere else."""
        outside, self._asked = self._asked, Asked()
        try:
            yield self._asked
        finally:
            self._asked = outside

    def _note(self, path: str) -> None:
        if path != self._row:
            self._asked.files.add(path)

    @functools.cached_property
    def _paths(self) -> tuple[str, ...]:
        files = (file.path for file in self._files.values())
        return tuple(sorted([*self._update.facts, *files, *self._update.shown_sheets]))

    @property
    def now(self) -> datetime.datetime:
        """The moment at which the first page asks, where the site is."""
        self._asked.is_fleeting = True
        return self._now

    @functools.cached_property
    def _now(self) -> datetime.datetime:
        return timezone.localtime().replace(tzinfo=None)

    def is_seen(self, path: str, /) -> bool:
        """Return whether there is such a file."""
        return (
            path in self._update.facts
            or path in self._update.shown_sheets
            or wsgi_path(f"/{path}") in self._files
        )

    def url(self, path: str, /) -> str | None:
        """Return the URL path of a file; None for one that readers cannot see."""
        self._asked.urls.add(path)
        if not self.is_seen(path):
            return None
        return quote(self._update.addresses.notes.get(path) or f"/{path}")

    def resolve(self, target: str, source_path: str, /) -> str | None:
        """Return the file that *target* means there, if readers can see it."""
        self._asked.names.add(lookup_key(target))
        if target.startswith("."):
            path = self._update.resolver.resolve(target, source_path)
            return path if path is not None and self.is_seen(path) else None
        # Where it stands matters to no other target.
        if target not in self._resolved:
            path = self._update.resolver.resolve(target, source_path)
            is_seen = path is not None and self.is_seen(path)
            self._resolved[target] = path if is_seen else None
        return self._resolved[target]

    def properties(self, path: str, /) -> Mapping[str, Any]:
        """Return the frontmatter of a note; of any other file, nothing."""
        self._note(path)
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
        self._note(path)
        note = self._update.rendered.get(path)
        return () if note is None else note.tags

    def links(self, path: str, /) -> Sequence[str]:
        """Return the paths that a file leads to."""
        self._note(path)
        text = self._update.texts.of(path)
        return () if text is None else (*text.links, *text.attachments)

    def embeds(self, path: str, /) -> Sequence[str]:
        """Return the paths that a file shows: pictures and the like, then notes."""
        self._note(path)
        text = self._update.texts.of(path)
        if text is None:
            return ()
        return (*filter(media_tag, text.attachments), *text.embeds)

    def backlinks(self, path: str, /) -> Sequence[str]:
        """Return the paths of the notes that lead to a file."""
        self._asked.is_fleeting = True
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
        self._note(path)
        file = self._update.attachments.get(path)
        return None if file is None else file.size

    def times(self, path: str, /) -> tuple[datetime.datetime, datetime.datetime]:
        """Return when a file was written, and when it last changed."""
        self._note(path)
        facts = self._update.facts.get(path)
        if facts is not None:
            return facts.published_at, facts.modified_at
        modified_at = self._update.attachments[path].modified_at
        return modified_at, modified_at
