"""Image sizes: how large a picture is, read from its first bytes."""

from __future__ import annotations

import functools
from pathlib import Path

import imagesize


@functools.lru_cache(maxsize=4096)
def image_size(path: Path) -> tuple[int, int] | None:
    """
    Return width and height of the picture at *path*, in pixels, as it is shown.

    None for what is no picture, and for SVG, which need not have a size of its own.
    *path* is a blob's: its bytes do not change.
    """
    try:
        with path.open("rb") as file:
            if file.read(1) == b"<":
                return None
            file.seek(0)
            width, height = imagesize.get(file)
    except OSError:
        return None
    return (width, height) if width > 0 and height > 0 else None
