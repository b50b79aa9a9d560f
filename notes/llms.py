"""llms.txt: what is on the site, for language models; see llmstxt.org."""

from __future__ import annotations

import re

from notes.addresses import LLMS, markdown_url
from notes.conf import conf
from notes.listings import entry_order, folder_name
from notes.responses import Response, make_response
from notes.site import Site

_SPECIAL = re.compile(r"[\\\[\]<]")


def llms(site: Site) -> Response:
    """Return the list of all notes of *site*, made at the first request for it."""
    made = site.documents.get(LLMS)
    if made is None:
        body = _make(site).encode(errors="replace")
        made = site.documents[LLMS] = make_response("markdown", body)
    return made


def _make(site: Site) -> str:
    settings = site.frame.settings
    text = f"# {_escaped(settings.title)}\n"
    if settings.description:
        text += f"\n> {_escaped(settings.description)}\n"
    sections: dict[str, list[str]] = {"": []}
    order = sorted(site.entries, key=lambda path: entry_order(site.entries[path]))
    for path in order:
        rendered, entry = site.rendered[path], site.entries[path]
        if rendered.error is not None:
            continue
        address = markdown_url(entry.address)
        # A bracket without its other half would end the link, or have it never end.
        address = address.replace("(", "%28").replace(")", "%29")
        url = conf.public_url + address
        line = f"- [{_escaped(entry.title)}]({url})"
        if rendered.excerpt:
            line += f": {_escaped(rendered.excerpt)}"
        folder = path.partition("/")[0] if "/" in path else ""
        sections.setdefault(folder, []).append(line)
    for folder in sorted(sections):
        if sections[folder]:
            name = _escaped(folder_name(folder)) or "Notes"
            text += f"\n## {name}\n\n" + "\n".join(sections[folder]) + "\n"
    return text


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
