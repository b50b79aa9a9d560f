"""
Looks: the colours of the site, and the theme and width that a reader has chosen.

The choice is in two cookies, which a script of the page sets. A style sheet of its own,
so that pages are the same for all, and show the choice from their first moment on.
"""

from __future__ import annotations

from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

from notes.addresses import LOOK
from notes.responses import Response, digest_of, make_response
from notes.site_settings import Color

_RULES = {
    ("theme", "light"): ":root{color-scheme:light}",
    ("theme", "dark"): ":root{color-scheme:dark}",
    ("width", "wide"): ":root{--measure:60rem}",
}


def look_url(colors: Iterable[Color]) -> str:
    """Return the URL of the sheet of a site with these *colors*."""
    rules = _color_rules(colors)
    # Readers keep it for a day.
    return f"{LOOK}?v={digest_of(rules.encode())}" if rules else LOOK


def make_look(cookies: str, colors: Iterable[Color] = ()) -> Response:
    """Return the style sheet for a reader who sent *cookies*, a header's value."""
    try:
        chosen = {name: morsel.value for name, morsel in SimpleCookie(cookies).items()}
    except CookieError:
        chosen = {}
    rules = [rule for choice, rule in _RULES.items() if choice in chosen.items()]
    if own := _color_rules(colors):
        rules.insert(0, own)
    return make_response("look", "\n".join(rules).encode())


def _color_rules(colors: Iterable[Color]) -> str:
    parts = [
        f"--{color.name}:light-dark({color.light},{color.dark})" for color in colors
    ]
    return f":root{{{';'.join(parts)}}}" if parts else ""
