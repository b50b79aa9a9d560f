"""
Markdown: each page as text, for those who read no HTML, at its address and '.md'.

It is made of the page and not of the note: what comments, drafts and the sanitiser
leave out of the one is not in the other either, and what is embedded is.
"""

from __future__ import annotations

import functools
import re

from notes.addresses import MARKDOWN, MARKDOWN_INDEX, quote
from notes.conf import conf
from notes.responses import Response, make_response
from notes.site import Site

MAX_SIZE = 1_000_000
"""In bytes; a page of more has none: one takes some seconds to make."""

_PAGES = frozenset({"page", "diagrams"})
_OUTSIDE = ["nav", "aside", ".facts", ".properties", ".footnote-backref"]
"""What stands around the text of a page."""
_KEPT = re.compile(r"(<(pre|code|math)\b.*?</\2>)", re.DOTALL)
_FORMULA = re.compile(
    r"<math(?P<display> display)?.*?"
    r'<annotation encoding="application/x-tex">(?P<tex>.*?)</annotation>.*?</math>',
    re.DOTALL,
)
_TITLE = re.compile(r'<div class="callout-title">(.*?)</div>', re.DOTALL)


def find_markdown(site: Site, path: str) -> Response | None:
    """Return what is at *path*, a PATH_INFO, if it is a page as Markdown."""
    if not path.endswith(MARKDOWN):
        return None
    name = path.removesuffix(MARKDOWN)
    for place in (name, name.removesuffix(MARKDOWN_INDEX)):
        page = site.pages.get(place)
        if (
            page is not None
            and page.kind in _PAGES
            and page.status == "200 OK"
            and not name.endswith("/")
        ):
            if len(page.body) > MAX_SIZE:
                return None
            address = place.encode("latin-1").decode(errors="replace")
            return _convert(page.body, conf.public_url + quote(address))
    return None


# A page that is read at all is read by several machines.
@functools.lru_cache(maxsize=64)
def _convert(page: bytes, url: str) -> Response:
    # Imported late: it is large, and few processes need it.
    from html_to_markdown import ConversionOptions, convert

    html = page.decode()
    text = html.partition("<main ")[2].partition(">")[2].rpartition("</main>")[0]
    if "<article" in text:
        # What follows is about the note, and no part of it.
        text = text.rpartition("</article>")[0]
    parts = _KEPT.split(text)
    # Of a piece, what is to be kept as it is, and the name of its element.
    parts[::3] = [part.replace("&lt;", "&amp;lt;") for part in parts[::3]]
    del parts[2::3]
    text = _FORMULA.sub(_formula, "".join(parts))
    text = _TITLE.sub(r"<p><strong>\1</strong></p>", text)
    options = ConversionOptions(
        base_url=url, exclude_selectors=_OUTSIDE, extract_metadata=False
    )
    content = convert(text, options).content or ""
    return make_response("markdown", content.encode())


def _formula(match: re.Match[str]) -> str:
    sign = "$$" if match["display"] else "$"
    return f"{sign}{match['tex']}{sign}"
