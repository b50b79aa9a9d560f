"""
Looks: the colours and the width that a reader has chosen, as a style sheet.

The choice is in two cookies, which a script of the page sets. A sheet of its own, so
that pages are the same for all, and show the choice from their first moment on.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from notes.responses import Response, make_response

_RULES = {
    ("theme", "light"): ":root{color-scheme:light}",
    ("theme", "dark"): ":root{color-scheme:dark}",
    ("width", "wide"): ":root{--measure:60rem}",
}


def make_look(cookies: str) -> Response:
    """Return the style sheet for a reader who sent *cookies*, a header's value."""
    try:
        chosen = {name: morsel.value for name, morsel in SimpleCookie(cookies).items()}
    except CookieError:
        chosen = {}
    rules = [rule for choice, rule in _RULES.items() if choice in chosen.items()]
    return make_response("look", "\n".join(rules).encode())
