"""Cards: a picture for each published note, drawn once, whatever its title is."""

from __future__ import annotations

import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from notes import cards
from notes.frames import make_frame
from notes.site_settings import Color, SiteSettings
from tests.notes.sites import make_site, served

FRAME = make_frame(SiteSettings("Tea & Co", colors=(Color("page", "#102030", "red"),)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, settings: Any) -> Path:
    settings.NOTES_CACHE_DIR = tmp_path / "cache"
    return tmp_path / "cache" / "cards"


def _image(body: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(body))
    assert (image.format, image.size) == ("PNG", (1200, 630))
    return image.convert("RGB")


def test_a_note_has_a_card_that_is_drawn_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(
        {"index.md": "# Home", "x/日本 a.md": "", "d.md": "---\ndraft: 1\n---"}
    )
    with served(site) as client:
        assert not cache.exists()
        for page in ("/", "/x/%E6%97%A5%E6%9C%AC-a"):
            (url,) = re.findall(
                r'"og:image" content="http://localhost:8080(.*?)"',
                client.get(page).text,
            )
            reply = client.get(url)
            _image(reply.body)
            assert reply.headers["Content-Type"] == "image/png"
            assert client.get(url, if_none_match=reply.headers["ETag"]).status == 304
        assert len(list(cache.iterdir())) == 2
        monkeypatch.setattr(cards, "draw", None)
        assert client.get(url).body == reply.body
        for url in ("/-/card/d.png", "/-/card/index", "/-/card/x/.png", "/-/card/.png"):
            assert client.get(url).status == 404


def test_a_card_has_the_colours_of_the_site() -> None:
    image = _image(cards.draw(FRAME, "Green"))
    assert image.getpixel((1190, 10)) == (16, 32, 48)
    assert image.getpixel((10, 10)) == (0x24, 0x53, 0xB5)


@pytest.mark.parametrize(
    "title",
    [
        "",
        "word " * 100,
        "x" * 10_000,
        "日本語の" * 60,
        "שלום עולם",
        "emoji 🍵 tea",
        "\ud800\x00\u202e",
        "a\u0301 e\u0301",
        "\U000f0000",
    ],
)
def test_no_title_breaks_a_card_or_leaves_its_frame(title: str) -> None:
    image = _image(cards.draw(FRAME, title))
    background = (16, 32, 48)
    for x in range(1200 - cards._MARGIN + 8, 1200, 4):
        assert all(image.getpixel((x, y)) == background for y in range(0, 630, 4))
    assert image.getpixel((600, 620)) == background


def test_what_no_font_has_is_not_drawn_as_a_box(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cards, "_font_files", lambda: ())
    cards._find_font.cache_clear()
    assert cards._drawable("Tea ☕") == "Tea"
    assert cards._drawable("日本") == ""
    cards._find_font.cache_clear()


def test_the_oldest_cards_go(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "KEPT", 10)
    for number in range(12):
        assert cards._load(str(number), lambda: b"card") == b"card"
    assert len(list(cache.iterdir())) <= 10


def test_a_disk_that_is_full_is_no_reason_to_have_none(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.write_bytes(b"")
    assert cards._load("a", lambda: b"card") == b"card"
    assert caplog.messages[0].startswith("event=card_not_kept reason=")


def test_beyond_some_threads_readers_of_cards_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = make_site({"a.md": "", "b.md": ""})
    is_drawing, go_on = threading.Event(), threading.Event()

    def draw(_frame: object, title: str) -> bytes:
        is_drawing.set()
        assert go_on.wait(60)
        return title.encode()

    monkeypatch.setattr(cards, "draw", draw)
    monkeypatch.setattr(cards, "_at_once", threading.BoundedSemaphore(1))
    with served(site) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.get, "/-/card/a.png")
        assert is_drawing.wait(60)
        try:
            refused = pool.submit(client.get, "/-/card/b.png").result(60)
        finally:
            go_on.set()
        assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
        assert refused.headers["Cache-Control"] == "no-store"
        assert first.result(60).body == b"a"
        assert client.get("/-/card/b.png").body == b"b"
