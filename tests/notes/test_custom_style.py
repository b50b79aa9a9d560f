"""custom.css: the author's own style, after the site's, under the same policy."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from notes import custom_style
from notes.building import change_site
from notes.site import Site
from tests.notes.sites import make_site, served, sort_files

CSS = b"@import 'https://evil.example/x.css'; a { color: red }"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, settings: Any) -> Path:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path
    return tmp_path


def _put(store: Path, content: bytes) -> None:
    name = hashlib.sha256(content).hexdigest()
    (store / name[:2]).mkdir(exist_ok=True)
    (store / name[:2] / name).write_bytes(content)


def _link(site: Site) -> str:
    sheets = re.findall(
        r'<link rel="stylesheet" href="(.*?)">', site.pages["/a"].body.decode()
    )
    assert sheets[0].startswith("/static/notes/site.css")
    return str(sheets[-1])


def test_it_is_the_last_sheet_of_each_page_and_kept_as_long_as_it_is_the_same(
    store: Path,
) -> None:
    _put(store, CSS)
    site = make_site({"a.md": "", "custom.css": CSS})
    url = _link(site)
    assert url.startswith("/-/custom.css?v=")
    with served(site) as client:
        reply = client.get(url)
        assert reply.body == CSS
        assert reply.headers["Content-Type"] == "text/css; charset=utf-8"
        assert "immutable" in reply.headers["Cache-Control"]
        for other in ("/-/custom.css", "/-/custom.css?v=before"):
            reply = client.get(other)
            assert reply.body == CSS
            assert "must-revalidate" in reply.headers["Cache-Control"]
        assert client.request("POST", url).status == 405
        # What it asks for elsewhere is not asked for.
        policy = client.get("/a").headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "style-src 'self';" in policy
        assert "img-src 'self' data:;" in policy


def test_a_change_of_it_has_another_address_and_none_has_none(store: Path) -> None:
    site = make_site({"a.md": "", "custom.css": CSS})
    other = b"b { color: blue }"
    _put(store, other)
    after = change_site(site, 2, {"custom.css"}, *sort_files({"custom.css": other})[:2])
    assert _link(after) != _link(site)
    with served(after) as client:
        assert client.get(_link(after)).body == other
    gone = change_site(after, 3, {"custom.css"}, [], [])
    assert _link(gone) == "/-/look.css"
    with served(gone) as client:
        assert client.get("/-/custom.css").status == 404


def test_only_the_one_at_the_top_is_meant_and_a_large_one_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _link(make_site({"a.md": "", "x/custom.css": CSS})) == "/-/look.css"
    monkeypatch.setattr(custom_style, "MAX_SIZE", 10)
    site = make_site({"a.md": "", "custom.css": CSS})
    assert _link(site) == "/-/look.css"
    assert list(map(str, site.problems)) == ["custom.css: size: is over 10 bytes"]


def test_one_whose_bytes_are_lost_is_no_reason_to_fail() -> None:
    site = make_site({"a.md": "", "custom.css": CSS})
    with served(site) as client:
        assert client.get(_link(site)).status == 404
