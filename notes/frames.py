"""The frame that all pages share: a Django template, cut where pages differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from notes import addresses, statics
from notes.addresses import quote
from notes.looks import look_url
from notes.site_settings import SiteSettings

_VARIABLES = ("language", "direction", "title", "head", "main")
_ASSETS = {
    "more": "more.css",
    "search": "search.js",
    "preview": "preview.js",
    "graph": "graph.js",
    "forces": "vendor/d3-force.js",
}
"""What the script of every page loads where it is used, by the names it uses."""

# The languages that are written from right to left.
_RIGHT_TO_LEFT = frozenset(
    ["ar", "arc", "ckb", "dv", "fa", "he", "iw", "ks", "ps", "sd", "ug", "ur", "yi"]
)
_MARKER = re.compile("\x02([a-z]+)\x03")


@dataclass(frozen=True)
class Frame:
    """
    What surrounds the text of every page of one site.

    Frames made of the same arguments, in the same release, are equal.
    """

    settings: SiteSettings
    has_tags: bool
    custom_stylesheet: str
    """The URL of the author's style sheet; '' without one."""
    code_stylesheet: str
    """The link that a page with coloured code has in its head."""
    canvas_stylesheet: str
    """The link that a page with a canvas has in its head."""
    base_stylesheet: str
    """The link that a page with a base has in its head."""
    diagram_scripts: str
    """What a page with a diagram has in its head."""
    pieces: tuple[str, ...]
    """Literal text and names of variables in turn, literal text first and last."""

    @property
    def site_title(self) -> str:
        """What the site is called."""
        return self.settings.title

    @property
    def language(self) -> str:
        """The language tag of pages that name none."""
        return self.settings.language or default_language()

    def fill(
        self,
        *,
        title: str,
        main: str,
        head: str = "",
        language: str = "",
    ) -> bytes:
        """
        Return a page.

        Args:
            title: the name of the page, as text.
            main: HTML.
            head: HTML for the head.
            language: a language tag, as text; the site's without one.
        """
        language = language or self.language
        whole = f"{title} · {self.site_title}" if title != self.site_title else title
        values: Mapping[str, str] = {
            "title": escape(whole),
            "main": main,
            "head": head,
            "language": escape(language),
            "direction": direction(language),
        }
        parts = list(self.pieces)
        parts[1::2] = [values[name] for name in parts[1::2]]
        # A lone surrogate, which YAML can write, is no reason to lose the page.
        return "".join(parts).encode(errors="replace")


def direction(language: str) -> str:
    """Return 'rtl' or 'ltr': how *language*, a tag, is written."""
    name = language.partition("-")[0].lower()
    return "rtl" if name in _RIGHT_TO_LEFT else "ltr"


def default_language() -> str:
    """Return the language tag of a site that names none."""
    return settings.LANGUAGE_CODE


def make_frame(
    site: SiteSettings, has_tags: bool = False, custom_stylesheet: str = ""
) -> Frame:
    """Return the frame of a site with these settings, whose notes have tags or not."""
    context = {
        # Safe: the marker is this module's own, and what comes in its place is HTML.
        name: mark_safe(f"\x02{name}\x03")  # noqa: S308
        for name in _VARIABLES
    }
    chosen = {url for _, url in site.navigation}
    text = render_to_string(
        "notes/page.html",
        {
            **context,
            "site_title": site.title,
            "navigation": site.navigation,
            "logo": quote(f"/{site.logo}") if site.logo else "",
            "stylesheet": statics.url("notes/site.css"),
            "script": statics.url("notes/site.js"),
            "assets": {
                name: statics.url(f"notes/{file}") for name, file in _ASSETS.items()
            },
            "look": look_url(site.colors),
            "custom": custom_stylesheet,
            "search": addresses.SEARCH,
            "graph": addresses.GRAPH,
            "icon": statics.url("notes/icon.svg"),
            "feed": addresses.FEED,
            "tags": addresses.TAGS if has_tags else None,
            # Places of the site that its author gives a name of their own.
            "names_tags": addresses.TAGS in chosen,
            "names_graph": addresses.GRAPH in chosen,
        },
    )
    return Frame(
        settings=site,
        has_tags=has_tags,
        custom_stylesheet=custom_stylesheet,
        code_stylesheet=_stylesheet("notes/code.css"),
        canvas_stylesheet=_stylesheet("notes/canvas.css"),
        base_stylesheet=_stylesheet("notes/base.css"),
        diagram_scripts=_stylesheet("notes/diagrams.css")
        + _script("notes/vendor/mermaid.min.js")
        + _script("notes/diagrams.js"),
        pieces=tuple(_MARKER.split(text)),
    )


def _script(name: str) -> str:
    return f'<script defer src="{statics.url(name)}"></script>\n'


def _stylesheet(name: str) -> str:
    return f'<link rel="stylesheet" href="{statics.url(name)}">\n'
