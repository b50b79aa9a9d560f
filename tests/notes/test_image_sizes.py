"""Pages say how large their pictures are, so that nothing moves when they come."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image
from PIL.ExifTags import Base

from notes.blobs import blob_path
from notes.building import change_site
from notes.image_sizes import image_size
from notes.site import Site
from tests.notes.sites import attachment, make_site, served
from tests.notes.trees import write_tree


def picture(kind: str, width: int, height: int, orientation: int = 1) -> bytes:
    """Return a picture that lies as EXIF's *orientation* says."""
    image, file = Image.new("RGB", (width, height)), io.BytesIO()
    exif = image.getexif()
    exif[Base.Orientation] = orientation
    image.save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (picture("PNG", 40, 30), (40, 30)),
        (picture("PNG", 40, 30, orientation=6), (30, 40)),
        (picture("WEBP", 40, 30), (40, 30)),
        (picture("JPEG", 40, 30), (40, 30)),
        (picture("JPEG", 40, 30, orientation=6), (30, 40)),
        (picture("JPEG", 40, 30)[:20], None),
        (picture("TIFF", 40, 30), None),
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


def test_no_more_than_the_beginning_of_a_picture_is_read(tmp_path: Path) -> None:
    file = tmp_path / "blob"
    with io.BytesIO() as stream:
        Image.effect_noise((200, 100), 50).save(stream, "PNG")
        # To unpack all of it takes a thousand times as long.
        file.write_bytes(stream.getvalue()[:1000])
    assert image_size(file) == (200, 100)


def test_a_page_follows_its_picture(tmp_path: Path, settings) -> None:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path
    content = _stored(tmp_path, 40)
    site = make_site({"a.md": "![[p.png]]", "b.md": "![[a]]", "p.png": content})
    assert all(' width="40" height="30"' in _text(site, path) for path in ("/a", "/b"))

    changed = attachment("p.png", _stored(tmp_path, 50))
    site = change_site(site, 2, {"p.png"}, [], [changed])
    assert all(' width="50" height="30"' in _text(site, path) for path in ("/a", "/b"))


def _stored(folder: Path, width: int) -> bytes:
    """Return a picture, and have it as a blob."""
    content = picture("PNG", width, 30)
    file = blob_path(folder, hashlib.sha256(content).hexdigest())
    write_tree(file.parent, {file.name: content})
    return content


def _text(site: Site, path: str) -> str:
    with served(site) as client:
        return client.get(path).text
