"""What a page of the site refers to, as a browser would fetch it next."""

from __future__ import annotations

import html
import re
from urllib.parse import quote, urljoin, urlsplit

# What may stand in a request line as it is.
_SAFE = "/%?=&:@!$'()*+,;~"
_LINK = re.compile(rb"<link\b[^>]*>", re.IGNORECASE)
_STYLESHEET = re.compile(rb"""\brel=["']?stylesheet\b""", re.IGNORECASE)
_HREF = re.compile(rb"""\bhref=["']?([^"'\s>]+)""", re.IGNORECASE)
_ATTACHMENT = re.compile(
    rb"""<(?:img|audio|video|source|embed)\b[^>]*?\bsrc=["']?([^"'\s>]+)""",
    re.IGNORECASE,
)


def find_stylesheet(page: bytes, path: str) -> str | None:
    """Return the path of the stylesheet that *page*, at *path*, names first."""
    for link in _LINK.finditer(page):
        if _STYLESHEET.search(link[0]) and (href := _HREF.search(link[0])):
            return _local(href[1], path)
    return None


def find_attachment(page: bytes, path: str) -> str | None:
    """Return the path of the first file of this site that *page* shows."""
    for source in _ATTACHMENT.finditer(page):
        if found := _local(source[1], path):
            return found
    return None


def _local(reference: bytes, path: str) -> str | None:
    parts = urlsplit(html.unescape(reference.decode(errors="replace")))
    if parts.scheme or parts.netloc or not parts.path:
        return None
    return quote(urljoin(path, parts._replace(fragment="").geturl()), safe=_SAFE)
