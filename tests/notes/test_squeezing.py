"""Squeezing: the next boot serves smaller pages that say the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest

from notes import caching
from notes import site as sites
from notes.responses import BROTLI
from notes.site import Site
from notes.squeezing import squeeze_cache
from tests.notes.sites import make_site

FILES: dict[str, str | bytes] = {
    "README.md": "# Home\n\n[[a]] #tag",
    "a.md": "text " * 200,
    "x/b.md": "[[a]] other text " * 50,
}


@pytest.fixture
def site(tmp_path: Path, settings: Any) -> Iterator[Site]:
    settings.NOTES_CACHE_DIR = tmp_path / "cache"
    before = sites.current()
    made = make_site(FILES)
    sites.publish(made)
    yield made
    sites.publish(before)


def test_the_next_boot_has_every_page_squeezed(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    squeeze_cache()
    assert sites.current() is site
    assert not any(page.is_squeezed for page in site.pages.values())
    loaded = caching.load().site
    assert loaded is not None
    assert loaded.pages.keys() == site.pages.keys()
    for path, page in loaded.pages.items():
        assert page == site.pages[path].squeezed()
        packed, _, headers = page.variant(BROTLI)
        if ("Content-Encoding", "br") in headers:
            packed = brotli.decompress(packed)
        assert packed == site.pages[path].body
    # As in any other Site, a page is one object wherever it stands.
    for pages in (loaded.note_pages, loaded.folder_pages, loaded.tag_pages):
        assert all(any(p is q for q in loaded.pages.values()) for p in pages.values())
    assert f"event=pages_squeezed pages={len(site.pages)} " in caplog.text


def test_what_is_squeezed_is_left_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeeze_cache()
    loaded = caching.load().site
    assert loaded is not None
    sites.publish(loaded)
    monkeypatch.setattr(caching, "save", None)
    squeeze_cache()


def test_a_process_without_a_site_has_nothing_to_squeeze(site: Site) -> None:
    sites.publish(None)
    squeeze_cache()
    assert caching.load().site is None
