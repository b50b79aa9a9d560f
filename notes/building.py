"""
Building: the next snapshot from the last one, and the first from none.

A change makes again only what it touches: a note that changed, notes that show or
link to it and whose text comes out otherwise for it, notes that it links to (for
their backlinks), the folders and tags that list it. Building from nothing is the
same steps with everything touched, so both end with equal sites.

To add something to the Site, find out what it depends on:

    a note alone      a field of ParsedNote, made by `notes.rendering.parse`. Parsed in
                      parallel, kept packed, taken from the render cache by the note's
                      content hash even by the next version.
    a note and those  a field of RenderedNote. Kept unpacked for each note: few bytes.
    it refers to      What only its page shows, `notes.making.without_text` drops.
    its surroundings  a field of Surroundings, filled by `Remake`; whatever makes it
                      come out otherwise must put the note into `Remake.to_make`.
    the whole site    a field of Site, made in `Update.connect` from the old one and the
                      notes in `to_render`, `moved` and `removed`, not from all notes;
                      or, where few ask for it, a document that is made at the first
                      request (`Site.documents`).

A field of Site never changes once made, can be pickled (it goes into the render cache,
and to workers as a difference), and is a mapping made by `notes.layers.replaced`, a
tuple, a frozen dataclass, or a text. Name it in `Site.is_equal_to`; the property test
in tests/notes/test_building.py then holds it against building from nothing.

What cannot be pickled, such as an index in a database in memory, belongs to each
process: it is made from a Site, and brought from one Site to another by what
`notes.layers.difference(before.rendered, after.rendered)` says: the paths that are
gone, and the notes that are new or made again.

What every page shows (the frame) has every page made again when it changes. A list
of all notes or folders belongs into a document of its own that pages load.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from notes.assigning import Addresses
from notes.effort import Effort
from notes.frames import Frame
from notes.links import Resolver
from notes.listings import Folders
from notes.remaking import Remake
from notes.responses import make_response
from notes.site import Site
from notes.site_settings import SiteSettings
from notes.sources import AttachmentSource, NoteSource
from notes.team import Crew, TeamError
from notes.updating import Update

logger = logging.getLogger(__name__)

Packed: TypeAlias = Mapping[str, tuple[str, bytes]]

_EMPTY = Site(
    sequence=0,
    attachments={},
    facts={},
    packed={},
    packed_sheets={},
    resolver=Resolver((), ()),
    addresses=Addresses(),
    rendered={},
    entries={},
    backlinks={},
    askers={},
    users={},
    folders=Folders(),
    tags={},
    sheets={},
    shown_sheets=frozenset(),
    neighbours={},
    frame=Frame(
        SiteSettings(),
        has_tags=False,
        custom_stylesheet="",
        code_stylesheet="",
        canvas_stylesheet="",
        base_stylesheet="",
        diagram_scripts="",
        pieces=(),
    ),
    note_pages={},
    folder_pages={},
    tag_pages={},
    pages={},
    files={},
    former={},
    held={},
    own={},
    problems=(),
    missing=make_response("problem", b"", "404 Not Found"),
)


def build_site(
    notes: Iterable[NoteSource],
    attachments: Iterable[AttachmentSource],
    sequence: int,
    crew: Crew | None = None,
    known: Packed | None = None,
) -> Site:
    """Return the site of all *notes* and *attachments*; see `change_site`."""
    notes = tuple(notes)
    attachments = tuple(attachments)
    paths = {note.path for note in notes} | {file.path for file in attachments}
    return change_site(_EMPTY, sequence, paths, notes, attachments, crew, known)


def change_site(
    site: Site,
    sequence: int,
    paths: Iterable[str],
    notes: Iterable[NoteSource],
    attachments: Iterable[AttachmentSource],
    crew: Crew | None = None,
    known: Packed | None = None,
) -> Site:
    """
    Return *site* after a change.

    Args:
        sequence: that of the change.
        paths: all paths that it touched.
        notes: those of them that are published notes now.
        attachments: those of them that are attachments now.
        crew: who does it; this process alone, when none is given.
        known: notes that were parsed before: pairs of (content hash, packed note),
            by path.
    """
    effort = Effort()
    crew = crew or Crew()
    change = (site, set(paths), tuple(notes), tuple(attachments), known or {})
    try:
        update, remake = _make(Update(*change, crew), crew)
    except TeamError as exc:
        # Out of memory, likely: slower is better than not at all.
        logger.warning("event=team_lost reason=%r", str(exc))
        alone = Crew(report=crew.report)
        update, remake = _make(Update(*change, alone), alone)
    made = remake.site(sequence)
    for conflict in made.addresses.conflicts:
        if conflict not in site.addresses.conflicts:
            logger.warning("event=address_conflict %s", conflict)
    for problem in made.problems:
        if problem not in site.problems:
            logger.warning(
                "event=setting_left_out file=%r property=%r reason=%r", *problem
            )
    logger.info(
        "event=site_built sequence=%d notes=%d touched=%d rendered=%d pages=%d %s",
        sequence,
        len(made.facts),
        len(update.paths),
        len(update.to_render),
        len(remake.to_make),
        effort,
    )
    return made


def _make(update: Update, crew: Crew) -> tuple[Update, Remake]:
    with crew.team(update.makers) as team:
        update.render(team)
        update.connect()
        remake = Remake(update)
        remake.make(team, crew)
    return update, remake
