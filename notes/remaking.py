"""Remaking: the pages that come out otherwise after a change, made again."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from notes import addresses as addressing
from notes.addresses import quote, wsgi_path
from notes.conf import conf
from notes.dates import Dates
from notes.layers import Layers, differing, replaced
from notes.links import is_sheet
from notes.listings import (
    entry_order,
    folder_name,
    list_folder,
    sorted_entries,
    spellings,
)
from notes.pages import (
    Backlink,
    Entry,
    Listing,
    Surroundings,
    make_folder_page,
    make_problem,
    make_tag_page,
    make_tags_page,
)
from notes.queries import Queries
from notes.rendering import EVERYTHING
from notes.responses import Response, make_response
from notes.site import Site
from notes.site_frames import frame_of
from notes.sources import AttachmentSource
from notes.team import Crew, Team, deal
from notes.updating import Update, sheets_of


class Remake:
    """
    The pages of the site that an update ends with; the old one's where they do.

    Attributes:
        to_make: the notes and sheets whose pages are made.
    """

    def __init__(self, update: Update) -> None:
        self._update = update
        self._old = update.old
        self._contexts: dict[str, dict[str, str]] = {}
        self._frame, self._problems = frame_of(update)
        self._files = self._find_files()
        self._queries = Queries(update, self._files)
        self._find_pages()

    def _find_pages(self) -> None:
        """Find the pages that come out otherwise than before."""
        old, update = self._old, self._update
        before, after = old.addresses, update.addresses
        self._has_other_frame = self._frame is not old.frame or any(
            folder in before.folders and folder in after.folders
            for folder in differing(before.folders, after.folders)
        )
        self._other_owners = differing(before.owners, after.owners)
        if self._has_other_frame:
            self._folders_to_make = set(update.folders.counts)
            self._tags_to_make = set(update.tags)
            self.to_make = update.facts.keys() | update.shown_sheets
            return
        self._folders_to_make = self._find_folders()
        self._tags_to_make = self._find_tags()
        self.to_make = (
            update.to_render | update.moved | update.relinked | update.reordered
        ) & update.facts.keys() | self._find_sheets()
        self.to_make |= self._find_queries()
        for owners in (before.owners, after.owners):
            self.to_make |= {
                owners[folder] for folder in self._folders_to_make if folder in owners
            } & update.facts.keys()

    def _find_folders(self) -> set[str]:
        """Return the folders whose pages come out otherwise than before."""
        old, update = self._old, self._update
        found = set(self._other_owners)
        for path in update.relisted:
            # A note that comes or goes is counted in every folder above it.
            is_counted = (path in old.entries) != (path in update.entries)
            for folder in addressing.folders_above(path):
                found.add(folder)
                if not is_counted:
                    break
        return {folder for folder in found if folder in update.folders.counts}

    def _find_tags(self) -> set[str]:
        """Return the tags whose pages come out otherwise than before."""
        old, update = self._old, self._update
        changed = differing(old.tags, update.tags)
        # A tag's page shows those above it, too, and how many carry those below it.
        found = {above for key in changed for above in addressing.folders_above(key)}
        found |= changed
        for path in update.relisted:
            found.update(spellings(update.rendered.get(path)))
        renamed = {
            key for key in changed if self._name(old, key) != self._name(update, key)
        }
        if renamed:
            found |= {
                key
                for key in update.tags
                if not renamed.isdisjoint(addressing.folders_above(key))
            }
        return {key for key in found if key in update.tags}

    @staticmethod
    def _name(of: Site | Update, key: str) -> str | None:
        return of.tags[key].name if key in of.tags else None

    def _find_sheets(self) -> set[str]:
        """Return the sheets whose pages come out otherwise than before."""
        update = self._update
        found = set(update.to_render | (update.shown_sheets - self._old.shown_sheets))
        # The page of a sheet lists the notes that it is used by.
        for path in update.to_render | update.relisted:
            if not is_sheet(path):
                found |= sheets_of(self._old.texts, path)
                found |= sheets_of(update.texts, path)
        return found & update.shown_sheets

    def _find_queries(self) -> set[str]:
        """Return the notes and sheets whose bases show something else than before."""
        update = self._update
        found = set()
        for path in update.users.get(EVERYTHING, ()):
            if path in update.facts or path in update.shown_sheets:
                before = self._old.answers.pages.get(path)
                if before is None or before.html != self._queries.html(path):
                    found.add(path)
        return found

    def make(self, team: Team, crew: Crew) -> None:
        """Make the pages of notes; who rendered a note makes its page."""
        shares = [
            [path for path in maker.paths if path in self.to_make]
            for maker in self._update.makers
        ]
        rest = deal(self.to_make - self._update.to_render, len(shares))
        for share, more in zip(shares, rest, strict=False):
            share.extend(more)
        arguments = [
            (self._frame, {path: self._surroundings(path) for path in share})
            for share in shares
        ]
        made = team.call("make", arguments, crew.reporter(len(self.to_make), "pages"))
        self._made = dict(made)
        self._note_pages = replaced(
            self._old.note_pages,
            self._update.gone | (self._old.shown_sheets - self._update.shown_sheets),
            self._made,
        )

    def _surroundings_of_sheet(self, path: str) -> Surroundings:
        update = self._update
        above = addressing.folders_above(path)
        return Surroundings(
            address="",
            canonical=_absolute(f"/{path}"),
            dates=Dates(),
            crumbs=self._crumbs(
                folder for folder in above if folder and folder in update.folders.counts
            ),
            backlinks=tuple(
                Backlink(entry)
                for entry in sorted_entries(
                    update.entries[user]
                    for user in update.users.get(path, ())
                    if user in update.entries and path in sheets_of(update.texts, user)
                )
            ),
            queries=self._queries.html(path),
        )

    def _surroundings(self, path: str) -> Surroundings:
        if is_sheet(path):
            return self._surroundings_of_sheet(path)
        facts = self._update.facts[path]
        address = self._update.addresses.notes[path]
        above = [folder for folder in addressing.folders_above(path) if folder]
        owned = next(
            (f for f in ("", *above) if self._update.addresses.owners.get(f) == path),
            None,
        )
        before, after = (
            None if other is None else self._update.entries[other]
            for other in self._update.neighbours[path]
        )
        return Surroundings(
            address=address,
            canonical=_absolute(address),
            dates=facts.dates,
            language=facts.language,
            crumbs=self._crumbs(folder for folder in above if folder != owned),
            tags=tuple(
                Entry(tag, addressing.tag_address(tag))
                for tag in self._update.rendered[path].tags
            ),
            backlinks=self._backlinks(path),
            previous=before,
            next=after,
            listing=None if owned is None else self._listing(owned),
            queries=self._queries.html(path),
        )

    def _backlinks(self, path: str) -> tuple[Backlink, ...]:
        found = [
            Backlink(self._update.entries[source], self._contexts_of(source)[path])
            for source in self._update.backlinks.get(path, ())
        ]
        return tuple(sorted(found, key=lambda link: entry_order(link.entry)))

    def _contexts_of(self, source: str) -> dict[str, str]:
        """Return the words around each link of a note; as a rule many ask for them."""
        known = self._contexts.get(source)
        if known is None:
            rendered = self._update.rendered[source]
            known = dict(zip(rendered.links, rendered.contexts, strict=True))
            self._contexts[source] = known
        return known

    def _crumbs(self, above: Iterable[str]) -> tuple[Entry, ...]:
        """Return links to the folders *above*, given from the innermost out."""
        return tuple(
            Entry(folder_name(folder), self._update.addresses.folders[folder])
            for folder in reversed(list(above))
        )

    def _listing(self, folder: str) -> Listing:
        return list_folder(
            folder, self._update.folders, self._update.addresses, self._update.entries
        )

    def site(self, sequence: int) -> Site:
        """Return the site, its last pages made."""
        update = self._update
        folder_pages = self._make_folder_pages()
        tag_pages = self._make_tag_pages()
        return Site(
            sequence=sequence,
            attachments=update.attachments,
            facts=update.facts,
            packed=update.packed,
            packed_sheets=update.packed_sheets,
            resolver=update.resolver,
            addresses=update.addresses,
            rendered=update.rendered,
            entries=update.entries,
            backlinks=update.backlinks,
            askers=update.askers,
            users=update.users,
            folders=update.folders,
            tags=update.tags,
            sheets=update.sheets,
            shown_sheets=update.shown_sheets,
            neighbours=update.neighbours,
            frame=self._frame,
            note_pages=self._note_pages,
            folder_pages=folder_pages,
            tag_pages=tag_pages,
            pages=self._place_pages(folder_pages, tag_pages),
            files=self._files,
            former=self._old.former,
            held=self._old.held,
            own=update.own,
            problems=self._problems,
            missing=self._make_missing(),
            answers=self._queries.answers,
        )

    def _find_files(self) -> Mapping[str, AttachmentSource]:
        """Return the attachments that notes use, by PATH_INFO."""
        update = self._update
        logos = {self._old.frame.settings.logo, self._frame.settings.logo} - {""}
        suspects = logos | update.paths & (
            update.attachments.keys() | self._old.attachments.keys()
        )
        touched = update.to_render | update.gone
        for path in touched | (self._old.shown_sheets ^ update.shown_sheets):
            for text in (self._old.texts.of(path), update.texts.of(path)):
                if text is not None:
                    suspects.update(text.attachments)
        used = {
            path: update.attachments[path]
            for path in suspects
            if path in update.attachments
            # What is served of a sheet is its page: the file names drafts too.
            and not is_sheet(path)
            and (
                path == self._frame.settings.logo
                or any(self._uses(user, path) for user in update.users.get(path, ()))
            )
        }
        return replaced(
            self._old.files,
            {wsgi_path(f"/{path}") for path in suspects},
            {wsgi_path(f"/{path}"): file for path, file in used.items()},
        )

    def _uses(self, user: str, path: str) -> bool:
        """Return whether *user*, if readers can see it, leads to the attachment."""
        update = self._update
        if user in update.rendered:
            return path in update.rendered[user].attachments
        return user in update.shown_sheets and path in update.sheets[user].attachments

    def _make_missing(self) -> Response:
        if self._frame is self._old.frame:
            return self._old.missing
        return make_problem(
            self._frame,
            "404 Not Found",
            "Not found",
            "There is no page at this address.",
        )

    def _make_folder_pages(self) -> Mapping[str, Response]:
        owners = self._update.addresses.owners
        made = {}
        for folder in self._folders_to_make:
            if folder in owners:
                continue
            made[folder] = make_folder_page(
                self._frame,
                folder_name(folder) or self._frame.site_title,
                self._update.addresses.folders[folder],
                self._crumbs(filter(None, addressing.folders_above(folder))),
                self._listing(folder),
            )
        gone = {folder for folder in self._other_owners if folder in owners}
        before, after = self._old.folders.counts, self._update.folders.counts
        gone |= {folder for folder in differing(before, after) if folder not in after}
        return replaced(self._old.folder_pages, gone, made)

    def _make_tag_pages(self) -> Mapping[str, Response]:
        """Return the page of each tag, and that of all tags under the key ''."""
        old, tags = self._old, self._update.tags
        gone = {key for key in differing(old.tags, tags) if key not in tags}
        if not self._tags_to_make and not gone:
            return old.tag_pages
        made = {"": self._make_tags_page()}
        below: dict[str, list[str]] = {}
        for key in tags:
            below.setdefault(addressing.folder_of(key), []).append(key)
        for key in self._tags_to_make:
            tag = tags[key]
            above = filter(None, addressing.folders_above(key))
            made[key] = make_tag_page(
                self._frame,
                tag.name,
                addressing.tag_address(key),
                [self._tag_entry(other) for other in reversed(list(above))],
                sorted_entries(map(self._tag_entry, below.get(key, ()))),
                [self._update.entries[path] for path in tag.paths],
            )
        return replaced(old.tag_pages, gone, made)

    def _make_tags_page(self) -> Response:
        entries = sorted_entries(map(self._tag_entry, self._update.tags))
        return make_tags_page(self._frame, entries)

    def _tag_entry(self, key: str) -> Entry:
        tag = self._update.tags[key]
        return Entry(tag.name, addressing.tag_address(key), len(tag.paths))

    def _place_pages(
        self, folder_pages: Mapping[str, Response], tag_pages: Mapping[str, Response]
    ) -> Mapping[str, Response]:
        """Return all pages by PATH_INFO; where two meet, the author's own wins."""
        if not self._has_other_frame:
            changed = self._replace_pages(folder_pages, tag_pages)
            if changed is not None:
                return changed
        pages = {addressing.ROBOTS: self._old.pages.get(addressing.ROBOTS) or _robots()}
        if self._update.tags:
            # The page of all tags comes last: no tag may take its place.
            for key in sorted(tag_pages, reverse=True):
                address = addressing.tag_address(key)
                if address.removeprefix("/") not in self._update.attachments:
                    pages[wsgi_path(address)] = tag_pages[key]
        for folder, page in folder_pages.items():
            pages[wsgi_path(self._update.addresses.folders[folder])] = page
        for path, page in self._note_pages.items():
            pages[wsgi_path(self._address(path))] = page
        return Layers(pages)

    def _replace_pages(
        self, folder_pages: Mapping[str, Response], tag_pages: Mapping[str, Response]
    ) -> Mapping[str, Response] | None:
        """
        Return all pages by PATH_INFO, for work on those only that are others now.

        None where what is no tag's takes or leaves a place among the pages of tags, or
        where two tags may want one.
        """
        old, update = self._old, self._update
        before, after = old.addresses, update.addresses
        gone = {
            before.notes[path]
            for path in update.removed | update.moved
            if path in before.notes
        }
        gone |= {f"/{path}" for path in old.shown_sheets - update.shown_sheets}
        folders = differing(old.folders.counts, update.folders.counts)
        gone |= {before.folders[path] for path in folders if path not in after.folders}
        come = {after.notes[path] for path in update.moved}
        come |= {f"/{path}" for path in update.shown_sheets - old.shown_sheets}
        come |= {after.folders[path] for path in folders if path not in before.folders}
        come |= {f"/{path}" for path in update.paths}
        if any(address.startswith(addressing.TAGS) for address in gone | come):
            return None
        new: dict[str, Response] = {}
        for key in differing(old.tag_pages, tag_pages):
            address = addressing.tag_address(key)
            page = old.pages.get(wsgi_path(address))
            if key not in old.tag_pages or key not in tag_pages:
                if not self._are_apart:
                    return None
                if key not in tag_pages and page == old.tag_pages[key]:
                    gone.add(address)
            is_free = page is None and address[1:] not in update.attachments
            if key in tag_pages and (is_free or page == old.tag_pages.get(key)):
                new[address] = tag_pages[key]
        for folder in self._folders_to_make:
            if folder in folder_pages:
                new[after.folders[folder]] = folder_pages[folder]
        for path, page in self._made.items():
            new[self._address(path)] = page
        return replaced(
            old.pages,
            map(wsgi_path, gone),
            {wsgi_path(address): page for address, page in new.items()},
        )

    @functools.cached_property
    def _are_apart(self) -> bool:
        """Whether no two tags can want one address, then or now."""
        return all(
            addressing.tag_address(key) == addressing.TAGS + key
            for key in (*self._old.tags, *self._update.tags)
        )

    def _address(self, path: str) -> str:
        """Return the address of a note or sheet."""
        return self._update.addresses.notes.get(path) or f"/{path}"


def _absolute(address: str) -> str:
    return conf.public_url + quote(address)


def _robots() -> Response:
    text = (
        "User-agent: *\nAllow: /\n"
        f"Allow: {addressing.CARDS}/\n"  # else some messengers show none
        f"Disallow: {addressing.ASIDES}\nDisallow: {addressing.SEARCH}?\n\n"
        f"Sitemap: {conf.public_url}{addressing.SITEMAP}\n"
    )
    return make_response("text", text.encode())
