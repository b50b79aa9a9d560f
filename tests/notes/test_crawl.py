"""Real vaults, from their files to what a reader gets: everything linked is there."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from notes.exceptions import FrontmatterError
from notes.frontmatter import split
from notes.looking import catch_up
from notes.publishing import is_published
from notes.sync import sync_vault
from tests.notes.sites import Client, Reply, served
from tests.notes.trees import VAULT_NAMES, VAULTS, copy_vault

_HERE = "http://localhost:8080"

_RAW = re.compile(r"!?\[\[|%%|\[!")
_CODE = frozenset({"annotation", "code", "pre"})
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
        self._waiting = ["/", "/robots.txt", "/feed.xml", "/sitemap.xml"]
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


@pytest.mark.django_db
@pytest.mark.parametrize("name", VAULT_NAMES)
def test_everything_a_vault_links_to_is_there(
    name: str, tmp_path: Path, settings
) -> None:
    if not VAULTS.is_dir():
        pytest.skip(f"no vaults at {VAULTS}")
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    vault = copy_vault(name, tmp_path)
    sync_vault(vault, exclude=())
    site = catch_up(None)
    with served(site) as client:
        crawl = Crawl(client)

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
    raw = {line for page in crawl.pages.values() for line in page.raw}
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
