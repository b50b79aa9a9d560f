"""Media: which files are shown in a page, and how large."""

from __future__ import annotations

import re

_TAGS = {
    **dict.fromkeys(
        ("apng", "avif", "bmp", "gif", "jpeg", "jpg", "png", "svg", "webp"), "img"
    ),
    **dict.fromkeys(
        ("3gp", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav"), "audio"
    ),
    **dict.fromkeys(("m4v", "mkv", "mov", "mp4", "ogv", "webm"), "video"),
}
_WIDTH_OR_HEIGHT = re.compile(r' (width|height)="([^"]*)"')
_SIZE = re.compile(r"(?:^|\|)\s*(\d{1,5})(?:x(\d{1,5}))?\s*$")


def _suffix(path: str) -> str:
    return path.rpartition(".")[2].lower()


def media_tag(path: str) -> str | None:
    """Return 'img', 'audio' or 'video' by the suffix of *path*; None for others."""
    return _TAGS.get(_suffix(path))


def is_pdf(path: str) -> bool:
    """Return whether *path* is a file that a browser shows in a frame of its own."""
    return _suffix(path) == "pdf"


def split_size(text: str) -> tuple[str, str]:
    """
    Return *text*, an image's alternative text, without its size, and the size.

    'A cat|300' and '300x200' are as Obsidian writes sizes, in pixels. The size is
    HTML attributes, each with a space before it.
    """
    match = _SIZE.search(text)
    if match is None:
        return text, ""
    size = f' width="{match[1]}"' + (f' height="{match[2]}"' if match[2] else "")
    return text[: match.start()], size


def with_size(attributes: str, size: tuple[int, int] | None) -> str:
    """
    Return *attributes*, an image's as HTML, with width and height.

    With both the browser keeps the place of a picture that is still on its way. What
    an author gave stays, and the other one follows from *size*, the picture's own.
    """
    given = dict(_WIDTH_OR_HEIGHT.findall(attributes))
    if size is None or len(given) > 1 or not all(map(str.isdecimal, given.values())):
        return attributes
    width, height = size
    if "width" in given:
        return f'{attributes} height="{round(int(given["width"]) * height / width)}"'
    if "height" in given:
        return f'{attributes} width="{round(int(given["height"]) * width / height)}"'
    return f'{attributes} width="{width}" height="{height}"'
