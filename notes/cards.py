"""
Cards: the picture of a note that messengers show beside a link to it.

It is drawn at the first request, from title, name and colours of the site, and kept
beside the render cache by what it was drawn from. No page and no start waits for one.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import re
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from notes.addresses import CARDS, MARKDOWN_INDEX, quote
from notes.conf import conf
from notes.frames import Frame
from notes.responses import Response, digest_of, make_response

if TYPE_CHECKING:
    from notes.site import Site

logger = logging.getLogger(__name__)

WIDTH, HEIGHT = 1200, 630
SUFFIX = ".png"
KEPT = 1000
"""Cards on disk, of some 20 KB each; the oldest go first."""

_VERSION = "1"
"""Of the drawing; other cards have other addresses."""
_MARGIN = 96
_SIZES = (84, 72, 60, 52)
_MAX_LINES = 4
_MAX_TITLE = 200
_COLORS = {"page": "#fefefc", "strong": "#14171b", "muted": "#5b6470"}
_ACCENT = "#2453b5"
# Scripts that are written without spaces may be broken after each character.
_PARTS = re.compile(r"\s+|[\u2e80-\U0003ffff]|[^\s\u2e80-\U0003ffff]+")
_FOLDERS = ("/usr/local/share/fonts", "/usr/share/fonts")
_MAX_FONTS = 60
"""That are tried for a title; the likeliest come first."""

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_one_at_a_time = threading.Lock()
_at_once = threading.BoundedSemaphore(8)
"""Threads of a process that draw or wait to; the others, of 32, are for pages."""


class _BusyError(Exception):
    """As many threads as may be are at cards."""


def card_url(frame: Frame, title: str, address: str) -> str:
    """Return the absolute URL of the card of the note at *address*."""
    index = MARKDOWN_INDEX if address.endswith("/") else ""
    name = quote(f"{CARDS}{address}{index}{SUFFIX}")
    return f"{conf.public_url}{name}?v={_key(frame, title)}"


def make_card(site: Site, place: str) -> Response | None:
    """
    Return the card at *place*, an address and '.png'; None where there is no note.

    It is a 503 while other cards are drawn that readers wait for.
    """
    if not place.endswith(SUFFIX) or place.endswith(f"/{SUFFIX}"):
        return None
    address = place.removesuffix(SUFFIX)
    path = site.addresses.note_at(address)
    if path is None and address.endswith(f"/{MARKDOWN_INDEX}"):
        path = site.addresses.note_at(address.removesuffix(MARKDOWN_INDEX))
    if path is None:
        return None
    title = site.rendered[path].title
    try:
        body = _load(_key(site.frame, title), lambda: draw(site.frame, title))
    except _BusyError:
        return make_response("busy", b"", "503 Service Unavailable")
    return Response("card", "200 OK", digest_of(body), body, None, None)


def _key(frame: Frame, title: str) -> str:
    parts = (_VERSION, title, frame.site_title, repr(frame.settings.colors))
    return digest_of("\0".join(parts).encode(errors="replace"))


def _load(key: str, make: Callable[[], bytes]) -> bytes:
    """Return the card of *key* from the disk; else make it, and keep it there."""
    file = conf.cache_dir / "cards" / f"{key}{SUFFIX}"
    with contextlib.suppress(OSError):
        return file.read_bytes()
    if not _at_once.acquire(blocking=False):
        raise _BusyError
    try:
        with _one_at_a_time:
            # Those who waited find what the first has made.
            with contextlib.suppress(OSError):
                return file.read_bytes()
            body = make()
            _keep(file, body)
            return body
    finally:
        _at_once.release()


def _keep(file: Path, body: bytes) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(descriptor, "wb") as new:
            new.write(body)
        Path(name).replace(file)
        _prune(file.parent)
    except OSError as exc:
        logger.warning("event=card_not_kept reason=%r", str(exc))


def _prune(folder: Path) -> None:
    files = list(folder.iterdir())
    if len(files) > KEPT:
        files.sort(key=lambda file: file.stat().st_mtime)
        for file in files[: len(files) - KEPT * 9 // 10]:
            file.unlink(missing_ok=True)


def draw(frame: Frame, title: str) -> bytes:
    """Return a card as PNG."""
    own = {color.name: color.light[:7] for color in frame.settings.colors}
    colors = _COLORS | own
    image = Image.new("RGB", (WIDTH, HEIGHT), colors["page"])
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 24, HEIGHT), fill=own.get("accent", _ACCENT))
    _write_title(pen, _drawable(title), colors["strong"])
    site_title = _drawable(frame.site_title)
    if site_title != _drawable(title):
        font = _font(site_title, 36)
        line = _cut(site_title, font)
        pen.text((_MARGIN, HEIGHT - _MARGIN - 36), line, colors["muted"], font)
    stream = io.BytesIO()
    image.quantize(64).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _write_title(pen: ImageDraw.ImageDraw, title: str, color: str) -> None:
    for size in _SIZES:
        font = _font(title, size)
        lines = list(_lines(title, font))
        if len(lines) <= _MAX_LINES - (size > _SIZES[1]):
            break
    else:
        lines = lines[:_MAX_LINES]
        lines[-1] = _cut(f"{lines[-1]}…", font)
    for number, line in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + number * size * 1.2), line, color, font)


def _lines(text: str, font: _Font) -> Iterator[str]:
    line = ""
    for part in _PARTS.findall(text):
        if font.getlength(f"{line}{part}".strip()) <= WIDTH - 2 * _MARGIN:
            line += part
            continue
        if line.strip():
            yield line.strip()
        line = part
        while font.getlength(line) > WIDTH - 2 * _MARGIN:  # one long word
            count = len(line)
            while font.getlength(line[:count]) > WIDTH - 2 * _MARGIN:
                count -= 1
            yield line[:count]
            line = line[count:]
    if line.strip():
        yield line.strip()


def _cut(line: str, font: _Font) -> str:
    """Return *line*, its end left out where it is too long."""
    if font.getlength(line) <= WIDTH - 2 * _MARGIN:
        return line
    while line and font.getlength(f"{line}…") > WIDTH - 2 * _MARGIN:
        line = line[:-1]
    return f"{line}…"


def _drawable(text: str) -> str:
    """Return *text* without what no font here has: a box in its place says nothing."""
    text = text.encode(errors="replace").decode()[:_MAX_TITLE]
    text = "".join(char for char in text if char.isprintable())
    if _find_font(text) is not None:
        return text
    # A sign in a title, or a script that no font here has.
    text = "".join(char for char in text if unicodedata.category(char)[0] != "S")
    return text.strip() if _find_font(text) is not None else ""


def _font(text: str, size: int) -> _Font:
    file = _find_font(text)
    return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)


@functools.lru_cache(maxsize=256)
def _find_font(text: str) -> str | None:
    """Return the file of a font with all of *text*; '' for Pillow's own."""
    if _has_all(ImageFont.load_default(20), text):
        return ""
    for file in _font_files():
        with contextlib.suppress(OSError):
            if _has_all(ImageFont.truetype(file, 20), text):
                return file
    return None


@functools.cache
def _font_files() -> tuple[str, ...]:
    files = [
        path
        for folder in _FOLDERS
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in {".ttf", ".otf", ".ttc"}
    ]
    files.sort(key=_unlikeliness)
    return tuple(map(str, files[:_MAX_FONTS]))


def _unlikeliness(path: Path) -> tuple[bool, bool, bool, str]:
    name = path.name.lower()
    is_slanted = "italic" in name or "oblique" in name
    return is_slanted or "mono" in name, "sans" not in name, "bold" not in name, name


def _has_all(font: _Font, text: str) -> bool:
    missing = _mask(font, "\U0010ffff")
    return all(
        _mask(font, char) != missing
        for char in set(text)
        # Marks and joiners are drawn with what is before them.
        if not char.isspace() and unicodedata.category(char) not in {"Mn", "Me", "Cf"}
    )


def _mask(font: _Font, char: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(char)
    return mask.size, bytes(mask)
