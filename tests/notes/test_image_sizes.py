"""Pages say how large their pictures are, so that nothing moves when they come."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from notes.blobs import blob_path
from notes.building import change_site
from notes.image_sizes import image_size
from notes.site import Site
from tests.notes.sites import attachment, make_site, served
from tests.notes.trees import write_tree


def png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG, which is what is read of it."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
        + bytes(64)
    )


def jpeg(width: int, height: int, orientation: int) -> bytes:
    """Return the beginning of a JPEG that lies as EXIF's *orientation* says."""
    tag = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + tag + bytes(4)
    exif = b"Exif\0\0" + tiff
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\0"
    return (
        b"\xff\xd8"
        + struct.pack(">HH", 0xFFE1, 2 + len(exif))
        + exif
        + struct.pack(">HH", 0xFFC0, 2 + len(frame))
        + frame
        + bytes(64)
    )


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (png(40, 30), (40, 30)),
        (jpeg(40, 30, orientation=1), (40, 30)),
        (jpeg(40, 30, orientation=6), (30, 40)),
        (png(0, 30), None),
        (b'<svg viewBox="0 0 9 9"><rect width="3" height="3"/></svg>', None),
        (b"no picture", None),
        (b"", None),
        (b"\xff\xd8\xff", None),
    ],
)
def test_the_size_is_what_a_browser_shows(
    tmp_path: Path, content: bytes, size: tuple[int, int] | None
) -> None:
    file = tmp_path / "blob"
    file.write_bytes(content)
    assert image_size(file) == size
    assert image_size(tmp_path / "gone") is None


def test_a_page_follows_its_picture(tmp_path: Path, settings) -> None:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path
    picture = _stored(tmp_path, 40)
    site = make_site({"a.md": "![[p.png]]", "b.md": "![[a]]", "p.png": picture})
    assert all(' width="40" height="30"' in _text(site, path) for path in ("/a", "/b"))

    changed = attachment("p.png", _stored(tmp_path, 50))
    site = change_site(site, 2, {"p.png"}, [], [changed])
    assert all(' width="50" height="30"' in _text(site, path) for path in ("/a", "/b"))


def _stored(folder: Path, width: int) -> bytes:
    """Return a picture, and have it as a blob."""
    content = png(width, 30)
    file = blob_path(folder, hashlib.sha256(content).hexdigest())
    write_tree(file.parent, {file.name: content})
    return content


def _text(site: Site, path: str) -> str:
    with served(site) as client:
        return client.get(path).text
