"""The style sheet of the author: 'custom.css' at the top of the vault."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from notes.addresses import CUSTOM_STYLE
from notes.blobs import blob_path
from notes.conf import conf
from notes.responses import Response, make_response

if TYPE_CHECKING:
    from notes.site import Site
    from notes.sources import AttachmentSource

logger = logging.getLogger(__name__)

PATH = "custom.css"
MAX_SIZE = 500_000
"""In bytes; every page waits for it."""


def custom_url(file: AttachmentSource) -> str:
    """Return the URL of the sheet that is *file*: other content has another."""
    return f"{CUSTOM_STYLE}?v={file.content_hash[:24]}"


def make_custom_style(site: Site, query: str) -> Response | None:
    """Return the sheet that pages of *site* link to; None when there is none."""
    file = site.attachments.get(PATH)
    if file is None or not site.frame.custom_stylesheet:
        return None
    # Who comes with a page of before gets what there is, and keeps it for that moment.
    is_wanted = f"{CUSTOM_STYLE}?{query}" == custom_url(file)
    kind = "style" if is_wanted else "changing style"
    made = site.documents.get(f"{CUSTOM_STYLE} {kind}")
    if made is None:
        try:
            body = blob_path(conf.attachments_dir, file.content_hash).read_bytes()
        except OSError as exc:
            logger.warning("event=custom_style_unreadable reason=%r", str(exc))
            return None
        made = site.documents[f"{CUSTOM_STYLE} {kind}"] = make_response(kind, body)
    return made
