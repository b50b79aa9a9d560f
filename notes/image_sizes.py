"""Image sizes: how large a picture is, read from its first bytes."""

from __future__ import annotations

import functools
from pathlib import Path

from PIL import Image
from PIL.ExifTags import Base

# What browsers show; SVG need not have a size of its own.
_FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "PNG", "WEBP")
# How pictures lie that a camera took upright, as EXIF numbers it.
_TURNED = frozenset([5, 6, 7, 8])


@functools.lru_cache(maxsize=4096)
def image_size(path: Path) -> tuple[int, int] | None:
    """
    Return width and height of the picture at *path*, in pixels, as it is shown.

    None for what is no such picture. *path* is a blob's: its bytes do not change.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            # Not PNG's own way, which unpacks all of a picture for what may stand
            # behind it.
            exif = Image.Image.getexif(image)
            is_turned = exif.get(Base.Orientation) in _TURNED
    except Exception:  # noqa: BLE001 - whatever an author's file makes of a parser
        return None
    return (height, width) if is_turned else (width, height)
