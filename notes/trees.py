"""The tree of folders beside the text: one folder at a time, as it is opened."""

from __future__ import annotations

from html import escape

from notes.listings import list_folder
from notes.pages import link_to
from notes.responses import Response, make_response
from notes.site import Site


def make_branch(site: Site, address: str) -> Response | None:
    """
    Return what is in the folder at *address*, as items of a list.

    None where no folder is.
    """
    folder = site.addresses.folder_at(address)
    if folder is None:
        return None
    listing = list_folder(folder, site.folders, site.addresses, site.entries)
    items = [
        f'<li class="folder"><button type="button" aria-expanded="false" '
        f'aria-label="{escape(entry.title)}"></button>{link_to(entry)}</li>\n'
        for entry in listing.folders
    ]
    items += [f"<li>{link_to(entry)}</li>\n" for entry in listing.notes]
    return make_response("found", "".join(items).encode(errors="replace"))
