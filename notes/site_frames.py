"""The frame of a site: what its settings, and the notes that they name, make of it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from notes import custom_style
from notes.addresses import quote
from notes.conf import conf
from notes.frames import Frame, make_frame
from notes.links import is_sheet
from notes.listings import folder_name
from notes.site_settings import Problem, read_settings
from notes.updating import Update
from notes.vault import SETTINGS


def frame_of(update: Update) -> tuple[Frame, tuple[Problem, ...]]:
    """Return the frame after *update*, the old one where it is equal; and problems."""
    home = update.addresses.owners.get("")
    sources: dict[str, Mapping[str, Any]] = {SETTINGS: update.own}
    title = ""
    if home is not None:
        title = update.rendered[home].title.strip()
        packed = update.facts[home].properties
        sources[home] = pickle.loads(packed) if packed else {}  # noqa: S301 - our own
    title = title or urlsplit(conf.public_url).hostname or "Notes"
    settings, problems = read_settings(sources, title, _References(update))
    custom = ""
    sheet = update.attachments.get(custom_style.PATH)
    if sheet is not None and sheet.size <= custom_style.MAX_SIZE:
        custom = custom_style.custom_url(sheet)
    elif sheet is not None:
        reason = f"is over {custom_style.MAX_SIZE:,} bytes"
        problems = (*problems, Problem(sheet.path, "size", reason))
    frame, wanted = update.old.frame, (settings, bool(update.tags), custom)
    if (frame.settings, frame.has_tags, frame.custom_stylesheet) != wanted:
        frame = make_frame(*wanted)
    return frame, problems


class _References:
    """What settings may refer to."""

    def __init__(self, update: Update) -> None:
        self._update = update

    def note(self, target: str, /) -> tuple[str, str] | None:
        """Return title and URL of the page that a link to *target* leads to."""
        path = self._update.resolver.resolve(target, SETTINGS) or ""
        if path in self._update.entries:
            entry = self._update.entries[path]
            return entry.title, quote(entry.address)
        if path in self._update.shown_sheets:
            return folder_name(path), quote(f"/{path}")
        return None

    def attachment(self, target: str, /) -> str | None:
        """Return the path of the attachment that *target* means."""
        path = self._update.resolver.resolve(target, SETTINGS) or ""
        is_one = path in self._update.attachments and not is_sheet(path)
        return path if is_one else None
