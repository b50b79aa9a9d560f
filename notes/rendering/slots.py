"""
Slots: the places in a note's HTML that depend on other notes.

Markdown becomes HTML, the HTML is sanitised, and what the sanitiser let through is
looked at tag by tag: each link, image and id becomes a piece of its own, written
later, when the other notes are known. So the costly part of rendering needs one
note only, and no address reaches a page that was not decided here or then.

Rules mark their slots with `MARK`, which no author can guess. It never leaves
`notes.rendering.parsing`: what is left of it after the cut is taken out.
"""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Mapping, Sequence
from posixpath import basename
from urllib.parse import unquote

from markdown_it.utils import EnvType

from notes.rendering.media import media_tag
from notes.rendering.model import (
    Embed,
    Formula,
    LinkEnd,
    LinkStart,
    Media,
    Piece,
    Prefix,
    Query,
    Target,
)

# A letter first: a URL that begins with it has no scheme, an id may be one.
MARK = "m" + secrets.token_hex(12)
ID_MARK = MARK + "p"
"""Stands before each id, and before each fragment that means an id of its own note."""

Slot = Target | Embed | Formula | Query | str
"""What a mark with a number stands for; text is a URL, HTML-escaped and trusted."""

_TAG = re.compile(
    r"<a((?: [^>]*)?)>"
    r"|<(/)a>"
    r"|<(img|audio|video|source)((?: [^>]*)?)>"
    rf'|<(?:div|span) title="{MARK}(\d+)"></(?:div|span)>'
    rf'|<[a-z][a-z0-9]*(?: [^>]*?)? id="{ID_MARK}([^"]*)"'
)
_ATTRIBUTE = re.compile(r' ([^\s="]+)="([^"]*)"')
_LEFT_OVER = re.compile(rf"{MARK}\d*")
_EXTERNAL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")


def mark(env: EnvType, slot: Slot) -> str:
    """Return the mark that stands for *slot* in the HTML made with *env*."""
    slots: list[Slot] = env.setdefault("slots", [])
    slots.append(slot)
    return f"{MARK}{len(slots) - 1}"


def target_of(url: str) -> Target | None:
    """Return what *url*, of a link in Markdown or HTML, means; None for other sites."""
    if not url or _EXTERNAL.match(url):
        return None
    path, _, fragment = url.partition("#")
    return Target(unquote(path.partition("?")[0]), unquote(fragment), False)


class Cutter:
    """One note's sanitised HTML on its way to pieces."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._pieces: list[Piece] = []
        self._open_links: list[bool] = []
        """For each link that is open: whether it is a slot."""
        self.ids: dict[str, int] = {}

    def cut(self, sanitised: str) -> tuple[Piece, ...]:
        """Return *sanitised* in pieces, and fill `ids`."""
        end = 0
        for match in _TAG.finditer(sanitised):
            link, close, media, attributes, embed, id_ = match.groups()
            found: list[Piece] | None = None
            if id_ is None and close is not None:
                if self._open_links and self._open_links.pop():
                    found = [LinkEnd()]
            elif link is not None:
                found, id_ = self._link(link)
            elif media is not None:
                found = self._media(media, attributes or "")
            elif embed is not None:
                slot = self._slots[int(embed)]
                if isinstance(slot, Formula):
                    found = [slot.html]
                else:
                    found = [slot] if isinstance(slot, Embed | Query) else []
            if found is None and id_ is None:
                continue
            self._add_text(sanitised[end : match.start()])
            end = match.start() if found is None else match.end()
            if id_ is not None:
                # Its element begins a piece, so that a part can begin with it.
                self.ids.setdefault(html.unescape(id_), len(self._pieces))
            self._pieces.extend(found or ())
        self._add_text(sanitised[end:])
        return tuple(self._pieces)

    def _add_text(self, text: str) -> None:
        if MARK not in text:
            if text:
                self._pieces.append(text)
            return
        for number, part in enumerate(text.split(ID_MARK)):
            if number:
                self._pieces.append(Prefix())
            self._pieces.append(_LEFT_OVER.sub("", part))

    def _link(self, attributes: str) -> tuple[list[Piece] | None, str | None]:
        """Return what takes the opening tag's place, if anything, and its id."""
        values = dict(_ATTRIBUTE.findall(attributes))
        href = html.unescape(values.get("href", ""))
        slot = self._slot(href)
        id_ = values.get("id", "").removeprefix(ID_MARK) or None
        self._open_links.append(isinstance(slot, Target))
        if slot is None:
            return None, id_
        found: list[Piece] = []
        if id_ is not None:
            found += ['<span id="', Prefix(), f'{id_}"></span>']
        rest = _without(values, "href", "id", "rel")
        if isinstance(slot, Target):
            found.append(LinkStart(slot, rest))
        else:
            found.append(f'<a href="{slot}"{rest}>')
        return found, id_

    def _media(self, tag: str, attributes: str) -> list[Piece]:
        """Return what takes the place of the tag of an image, sound or film."""
        values = dict(_ATTRIBUTE.findall(attributes))
        src = html.unescape(values.get("src", ""))
        slot = self._slot(src)
        rest = _without(values, "src", "id", "alt", "loading")
        source = [Media("source", slot, "", "")] if isinstance(slot, Target) else []
        if tag == "source":
            return [*source]
        if tag != "img":
            return [f"<{tag}{rest}>", *source]
        alt = values.get("alt", "")
        if isinstance(slot, str):
            return [f'<img src="{slot}" alt="{alt}"{rest}>']
        text = alt or html.escape(_file_name(slot.path if slot else src))
        if slot is None:
            # A page makes no request to another site: the reader may.
            if self._open_links:
                return [f'<span class="external-image">{text}</span>']
            if not _EXTERNAL.match(src):
                return [text]
            address = html.escape(src)
            return [f'<a class="external-image" href="{address}">{text}</a>']
        kind = media_tag(slot.path)
        if kind is None:
            if self._open_links:
                return [text]
            return [LinkStart(slot, ""), text, LinkEnd()]
        if kind == "img":
            rest = f' alt="{alt}"{rest}'
        return [Media(kind, slot, rest, text)]

    def _slot(self, url: str) -> Target | str | None:
        """Return what *url* stands for; None when it stays as it is."""
        if url.startswith(MARK):
            number = url[len(MARK) :]
            slot = self._slots[int(number)] if number.isdecimal() else None
            return None if isinstance(slot, Embed | Formula | Query) else slot
        return None if url.startswith("#" + ID_MARK) else target_of(url)


def _without(values: Mapping[str, str], *names: str) -> str:
    """Return the attributes but *names*, as HTML."""
    return "".join(
        f' {name}="{value}"' for name, value in values.items() if name not in names
    )


def _file_name(url: str) -> str:
    """Return the last part of *url*, or else *url*."""
    return unquote(basename(url.partition("?")[0])) or url
