"""
Site settings: what an author says of the whole site, in properties.

Those of '_site.md' at the top of the vault, which is settings and never a page, and
those of the home page; of each property the first that is good counts. A value that is
none of what it should be is left out, and told of: a site never fails for it.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from PIL import ImageColor

from notes.bases.values import WIKILINK, is_empty, without_comments
from notes.exceptions import SettingError
from notes.languages import is_language
from notes.vault import SETTINGS

COLORS = ("accent", "page", "surface", "text", "strong", "muted", "line", "mark")
"""The names of colours, which are those of variables in notes/site.css."""

MAX_TITLE = 200
MAX_DESCRIPTION = 500
MAX_LINKS = 20
"""In the navigation: each page has all of it."""

_PICTURES = (".avif", ".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp")
_MAIL = re.compile(r"mailto:[^\s@:/?#<>\"]+@[^\s@:/?#<>\"]+")
# As in a link of Markdown: what else there is means nothing in an address, or ends it.
_SAFE_IN_PATH = "/-._~!$&'()*+,;=:@%?#"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Color:
    """A colour by its name of `COLORS`, as '#rrggbb' or '#rrggbbaa' in each theme."""

    name: str
    light: str
    dark: str


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """
    What an author says of the whole site. Texts are of one line, and no HTML.

    Attributes:
        language: a language tag; '' where nothing is said.
        navigation: pairs of a title and a URL.
        logo: the path of an attachment; '' without one.
    """

    title: str = ""
    description: str = ""
    language: str = ""
    navigation: tuple[tuple[str, str], ...] = ()
    logo: str = ""
    colors: tuple[Color, ...] = ()


class Problem(NamedTuple):
    """A setting that is left out: the file and the property that it is in, and why."""

    file: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.name}: {self.reason}"


class Vault(Protocol):
    """What settings may refer to: published notes, and attachments."""

    def note(self, target: str, /) -> tuple[str, str] | None:
        """Return title and URL of the page that a link to *target* leads to."""

    def attachment(self, target: str, /) -> str | None:
        """Return the path of the attachment that *target* means."""


def read_settings(
    sources: Mapping[str, Mapping[str, Any]], title: str, vault: Vault
) -> tuple[SiteSettings, tuple[Problem, ...]]:
    """
    Return the settings, and what of them was left out.

    Args:
        sources: properties by the file that they are in, the one that wins first.
        title: of the site, where '_site.md' does not say.
    """
    found = _Reader(sources)
    own = _Reader({name: sources[name] for name in sources if name == SETTINGS})
    settings = SiteSettings(
        title=own.read(("title",), _text(MAX_TITLE), "") or clean(title)[:MAX_TITLE],
        description=found.read(("description",), _text(MAX_DESCRIPTION), ""),
        language=found.read(("lang", "language"), _language, ""),
        navigation=found.read_list(
            ("navigation", "nav"), lambda value: _links(value, vault)
        ),
        logo=found.read(("logo",), lambda value: _logo(value, vault), ""),
        colors=found.read_list(("colors", "colours"), _colors),
    )
    return settings, (*own.problems, *found.problems)


def clean(text: str) -> str:
    """Return *text* on one line, without what cannot be printed."""
    # Also the marks by which a frame knows its places.
    return "".join(filter(str.isprintable, " ".join(text.split())))


class _Reader:
    """Reads properties, and remembers what was wrong with them."""

    def __init__(self, sources: Mapping[str, Mapping[str, Any]]) -> None:
        self._sources = sources
        self.problems: list[Problem] = []

    def read(self, names: tuple[str, ...], parse: Callable[[Any], T], default: T) -> T:
        """Return the first value of those names that is good."""
        for file, name, value in self._values(names):
            try:
                return parse(value)
            except SettingError as exc:
                self.problems.append(Problem(file, name, str(exc)))
        return default

    def read_list(
        self,
        names: tuple[str, ...],
        parse: Callable[[Any], Iterator[tuple[str, Callable[[], T]]]],
    ) -> tuple[T, ...]:
        """
        Return what is good of the first value of those names that is a list of some kind.

        *parse* yields for each item what to call it, and what makes it.
        """
        for file, name, value in self._values(names):
            good: list[T] = []
            try:
                for item, make in parse(value):
                    try:
                        good.append(make())
                    except SettingError as exc:
                        self.problems.append(Problem(file, f"{name}{item}", str(exc)))
            except SettingError as exc:
                self.problems.append(Problem(file, name, str(exc)))
            if good:
                return tuple(good)
        return ()

    def _values(self, names: tuple[str, ...]) -> Iterator[tuple[str, str, Any]]:
        for file, properties in self._sources.items():
            for name, value in properties.items():
                if name.casefold() in names and not is_empty(value):
                    yield file, name, value


def _text(length: int) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if isinstance(value, bool | list | dict):
            raise SettingError("is not a text")
        text = clean(without_comments(str(value)))
        if not text:
            raise SettingError("is not a text")
        return text[:length]

    return parse


def _language(value: Any) -> str:
    if not is_language(value):
        raise SettingError(f"{_shown(value)} is no language tag, as 'en' or 'pt-BR'")
    return value


def _logo(value: Any, vault: Vault) -> str:
    target = _target(value)
    path = None if target is None else vault.attachment(target)
    if path is None:
        raise SettingError(f"{_shown(value)} is no file of the vault")
    if not path.lower().endswith(_PICTURES):
        raise SettingError(f"{_shown(path)} is no picture")
    return path


def _target(value: Any) -> str | None:
    """Return what a link, or a file's name, leads to."""
    value = _unlisted(value)
    if not isinstance(value, str):
        return None
    match = WIKILINK.fullmatch(value.strip().removeprefix("!"))
    return match[1].strip() if match else value.strip()


def _unlisted(value: Any) -> Any:
    """Return *value*; `[[Note]]` without quotes is a list in a list to YAML."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        (words,) = value
        if words and all(isinstance(word, str) for word in words):
            return f"[[{', '.join(words)}]]"
    return value


def _links(
    value: Any, vault: Vault
) -> Iterator[tuple[str, Callable[[], tuple[str, str]]]]:
    value = _unlisted(value)
    if isinstance(value, dict):
        value = [{name: target} for name, target in value.items()]
    elif isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise SettingError("is not a list of links")
    for number, item in enumerate(value[:MAX_LINKS], 1):
        yield f"[{number}]", partial(_link, item, vault)
    if len(value) > MAX_LINKS:
        raise SettingError(f"is over {MAX_LINKS} links; the rest is left out")


def _link(value: Any, vault: Vault) -> tuple[str, str]:
    """Return title and URL of a link: '[[Note|title]]', or a title and what it leads to."""
    title = ""
    if isinstance(value, dict) and len(value) == 1:
        ((title, value),) = value.items()
        title = clean(str(title))
    value = _unlisted(value)
    if not isinstance(value, str):
        raise SettingError(f"{_shown(value)} is not a link")
    match = WIKILINK.fullmatch(value.strip())
    if match and match[3]:
        title = title or clean(match[3])
    text = value.strip()
    url = None if match else _url(text)
    if url is not None:
        return title or clean(text), url
    found = vault.note(_target(value) or "")
    if found is None:
        raise SettingError(f"{_shown(value)} leads to no published note")
    return title or clean(found[0]), found[1]


def _url(text: str) -> str | None:
    """Return *text* as a URL if it is a page's of this site or the web's, or for mail."""
    if text.startswith("/") and not text.startswith("//"):
        return urllib.parse.quote(text, safe=_SAFE_IN_PATH, errors="replace")
    if _MAIL.fullmatch(text) and text.isprintable():
        return text
    try:
        parts = urllib.parse.urlsplit(text)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return None
    return text if is_web and text.isprintable() and " " not in text else None


def _colors(value: Any) -> Iterator[tuple[str, Callable[[], Color]]]:
    if not isinstance(value, dict):
        raise SettingError(
            "is no list of 'name: colour', of the names " + ", ".join(COLORS)
        )
    # In an order of their own: the same colours are the same style sheet.
    for name, color in sorted(value.items(), key=lambda item: str(item[0])):
        yield f".{name}", partial(_color, name, color)


def _color(name: Any, value: Any) -> Color:
    if name not in COLORS:
        raise SettingError("is no colour that there is: " + ", ".join(COLORS))
    if isinstance(value, dict):
        if value.keys() != {"light", "dark"}:
            raise SettingError("needs two colours, 'light' and 'dark'")
        return Color(name, _hex(value["light"]), _hex(value["dark"]))
    color = _hex(value)
    return Color(name, color, color)


def _hex(value: Any) -> str:
    """Return a colour as CSS has it; what is returned is never what was written."""
    if value is None:
        raise SettingError("is empty; a colour that begins with # needs quotes")
    try:
        parts = ImageColor.getrgb(value.strip())
    except (AttributeError, ValueError) as exc:
        raise SettingError(
            f"{_shown(value)} is no colour, as '#2453b5' or 'navy'"
        ) from exc
    return "#" + "".join(f"{min(max(part, 0), 255):02x}" for part in parts)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
