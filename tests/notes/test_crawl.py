"""Real vaults, from their files to what a reader gets: all is there, and is valid."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from notes.exceptions import FrontmatterError
from notes.frontmatter import split
from notes.looking import catch_up
from notes.publishing import is_published
from notes.site import Site
from notes.sync import sync_vault
from tests.documents import MANUAL
from tests.notes import validity
from tests.notes.sites import Client, Reply, served
from tests.notes.trees import VAULT_NAMES, VAULTS, copy_vault

_HERE = "http://localhost:8080"

_RAW = re.compile(r"!?\[\[|%%|\[!")
_CODE = frozenset({"annotation", "code", "pre", "script"})
# Each with the reason why its reader sees it as its author wrote it.
_MEANT = {
    r"For \[\[wikilink\]\] format:": "code of a heading, as a line of the contents",
    r"co-[a-z]+=>+ \[![A-Za-z]+\] .*": "the head of a callout is not where a line begins",
    r"\[!TIP\]Callouts can have .*": "no space after the head: no callout to Obsidian",
}
_ESCAPED = re.compile(r"\\\[\\\[(.+?)\\\]\\\]")


class Page(HTMLParser):
    """What a page links to and loads, and the ids that it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.ids: list[str] = []
        self.raw: set[str] = set()
        """Lines that have Markdown in them, outside of code."""
        self._code = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag in _CODE
        for name, value in attrs:
            if value is None:
                continue
            if name == "id":
                self.ids.append(value)
            elif name == "href" and (tag == "a" or dict(attrs)["rel"] == "canonical"):
                self.links.add(value)
            elif name in {"href", "src", "poster", "data"}:
                self.loaded.add(value)
            elif name == "srcset" or (name == "style" and "url(" in value):
                raise AssertionError(f"{tag} {name}={value!r} is not looked into")

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in _CODE

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.raw |= {line for line in data.splitlines() if _RAW.search(line)}


class Crawl:
    """All that can be reached from the start page, the feed and the sitemap."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.replies: dict[str, Reply] = {}
        self.pages: dict[str, Page] = {}
        self.fragments: set[tuple[str, str, str]] = set()
        """Triples of a page, the page that it links to, and the id there."""
        self._waiting = ["/", "/robots.txt", "/feed.xml", "/sitemap.xml", "/search?q=a"]
        while self._waiting:
            self._visit(self._waiting.pop())

    def _visit(self, url: str) -> None:
        if url in self.replies:
            return
        reply = self._client.get(url)
        self.replies[url] = reply
        kind = reply.headers.get("Content-Type", "")
        if reply.status == 301:
            self._follow(url, reply.headers["Location"], is_loaded=False)
        elif url in {"/feed.xml", "/sitemap.xml"}:
            for link in re.findall(r'<loc>(.*?)<|href="(.*?)"', reply.text):
                self._follow(url, unescape("".join(link)), is_loaded=False)
        elif kind.startswith("text/html") and "sandbox" not in str(reply.headers):
            page = self.pages[url] = Page(reply.text)
            for link in page.links:
                self._follow(url, link, is_loaded=False)
            for link in page.loaded:
                self._follow(url, link, is_loaded=True)

    def _follow(self, page: str, link: str, *, is_loaded: bool) -> None:
        target = urlsplit(urljoin(_HERE + page, link))
        if f"{target.scheme}://{target.netloc}" != _HERE:
            # A reader may go elsewhere; a page alone must not.
            assert not is_loaded, (page, link)
            return
        url = target.path + (f"?{target.query}" if target.query else "")
        if target.fragment:
            self.fragments.add((page, url, unquote(target.fragment)))
        self._waiting.append(url)


def _unpublished(vault: Path) -> dict[str, str]:
    """Return the text of each draft, by path."""
    found = {}
    for path in vault.rglob("*.md"):
        text = path.read_text(errors="replace").removeprefix("\ufeff")
        try:
            properties, body = split(text.replace("\r\n", "\n"))
        except FrontmatterError:
            found[str(path.relative_to(vault))] = ""
            continue
        if not is_published(properties):
            found[str(path.relative_to(vault))] = body
    return found


def _escaped(vault: Path) -> set[str]:
    """Return what stands between `\\[\\[` and `\\]\\]` in the vault, to be seen so."""
    return {
        text
        for path in vault.rglob("*.md")
        for text in _ESCAPED.findall(path.read_text(errors="replace"))
    }


def _is_meant(line: str, escaped: set[str]) -> bool:
    for text in escaped:
        line = line.replace(f"[[{text}]]", "")
    return not _RAW.search(line) or any(re.fullmatch(way, line) for way in _MEANT)


@dataclass(frozen=True)
class Crawled:
    """A vault, the site of it, and all that its crawl reached."""

    vault: Path
    site: Site
    crawl: Crawl


_crawled: dict[str, Crawled] = {}


@pytest.fixture(params=[*VAULT_NAMES, "the manual"])
def crawled(request, tmp_path: Path, settings, db) -> Crawled:
    """A vault whose crawl the tests of this file share."""
    name = request.param
    if name == "the manual":
        vault = MANUAL
    elif VAULTS.is_dir():
        vault = copy_vault(name, tmp_path)
    else:
        pytest.skip(f"no vaults at {VAULTS}")
    if name not in _crawled:
        settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
        sync_vault(vault, exclude=())
        site = catch_up(None)
        with served(site) as client:
            _crawled[name] = Crawled(vault, site, Crawl(client))
    return _crawled[name]


def _sample(pages: list[str]) -> list[str]:
    """Return what pages to look at: all with SOAK, else some of every part."""
    return pages if os.environ.get("SOAK") else pages[:: max(1, len(pages) // 40)]


def test_the_html_of_a_vault_is_valid(crawled: Crawled, tmp_path: Path) -> None:
    if reason := validity.missing():
        pytest.skip(reason)
    replies = crawled.crawl.replies
    pages = {url: replies[url].body for url in _sample(sorted(crawled.crawl.pages))}

    assert validity.complaints(pages, tmp_path / "pages") == set()


def test_everything_a_vault_links_to_is_there(crawled: Crawled) -> None:
    vault, site, crawl = crawled.vault, crawled.site, crawled.crawl
    failed = {
        url: reply.status
        for url, reply in crawl.replies.items()
        if reply.status not in {200, 301}
    }
    assert failed == {}
    # Every page can be reached, and every file that a page uses.
    reached = {unquote(urlsplit(url).path) for url in crawl.replies}
    listed = {path.encode("latin-1").decode() for path in (*site.pages, *site.files)}
    assert listed - reached == set()

    missing = {
        (page, url, fragment)
        for page, url, fragment in crawl.fragments
        if url in crawl.pages and fragment not in crawl.pages[url].ids
    }
    assert missing == set()
    # What an excerpt shows may be code in its note.
    raw = {
        line
        for url, page in crawl.pages.items()
        if not url.startswith("/search?")
        for line in page.raw
    }
    escaped = _escaped(vault)
    assert {line for line in raw if not _is_meant(line, escaped)} == set()
    for url, page in crawl.pages.items():
        assert len(page.ids) == len(set(page.ids)), url

    sent = b"".join(reply.body for reply in crawl.replies.values()).decode(
        errors="replace"
    )
    for path, body in _unpublished(vault).items():
        assert path not in site.addresses.notes
        for line in body.splitlines():
            if len(line) > 40:
                assert line not in sent
