"""What is not published is in no answer at all."""

from __future__ import annotations

import json
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from notes.building import change_site
from notes.site import Site
from tests.notes.sites import Client, make_site, served, sort_files

SEARCHES = ("/search", "/-/search")
_FOLDERS = ("", "open/", "hidden{0}/", "open/hidden{0}/")
_DRAFT = (
    *("publish: false", "draft: true", "publish: 'no'", "Draft: YES"),
    *("date: 2999-01-01", "Date: '2026-12-31 08:00 by hidden'"),
)
# Each holds words that no published note has: {0} makes them the draft's own.
_DRAFT_PROPERTIES = (
    "title: hiddentitle{0}",
    "aliases: [hiddenalias{0}]",
    "permalink: hiddenlink{0}",
    "slug: hiddenslug{0}",
    "tags: [hiddentag{0}]",
    "description: hiddenwords{0}",
)
_DRAFT_TEXT = (
    "# hiddenheading{0}",
    "hiddentext{0}",
    "#hiddentag{0}",
    "[[open/note 0]] hiddencontext{0}",
    "![[hiddenfile{0}.png]]",
    "![[shared.png]]",
    "![[open/note 0]]",
    "![[hidden{0}.canvas]]",
)
# Published notes point at drafts in every way, by names that are no secret.
_POINTERS = (
    "[[draft0]]",
    "![[draft0]]",
    "![[draft0#part]]",
    "[see](draft1.md)",
    "![see](draft1.md)",
    "[[open/draft2|there]]",
    "<a href='draft0'>raw</a>",
    "![[shared.png]]",
    "[[note 1]]",
    "[[open.canvas]]",
    "![[open.canvas]]",
    "[[all.base]]",
    "![[all.base]]",
)
# They ask for all that there is, and for what drafts are.
_BASE = b"""
views:
  - order: [file.name, file.path, file.links, file.embeds, file.backlinks, file.tags,
            file.properties, title, aliases, tags, link, formula.other]
  - type: list
    filters: {or: [file.hasTag('hiddentag0'), title.contains('hidden'), "true"]}
    groupBy: file.folder
formulas:
  other: list(link).map(value.asFile()).map(value.properties)
"""
# Canvases have drafts on them by their paths, which are secrets.
_CARDS = (
    {"type": "file", "file": "{0}draft{1}.md"},
    {"type": "file", "file": "{0}draft{1}.md", "subpath": "#hiddenheading{1}"},
    {"type": "text", "text": "![[draft{1}]] [[draft{1}#part]]"},
    {"type": "file", "file": "open/note 0.md"},
)
_EDGE = {"fromNode": "0", "toNode": "1", "label": "seen"}


@st.composite
def _vaults(draw: st.DrawFn) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {"shared.png": b"shared"}
    for number in range(draw(st.integers(1, 3))):
        lines = draw(st.lists(st.sampled_from(_POINTERS), max_size=4))
        head = "---\nlink: ['[[draft0]]', '[[draft1|there]]']\n---\n"
        files[f"open/note {number}.md"] = f"{head}note {number}\n\n" + "\n\n".join(
            lines
        )
    for number in range(draw(st.integers(1, 3))):
        folder = draw(st.sampled_from(_FOLDERS)).format(number)
        lines = draw(st.lists(st.sampled_from(_DRAFT_TEXT), max_size=4))
        names = draw(st.lists(st.sampled_from(_DRAFT_PROPERTIES), unique=True))
        properties = [draw(st.sampled_from(_DRAFT)), *names]
        text = "---\n" + "\n".join(properties) + "\n---\n" + "\n\n".join(lines)
        files[f"{folder}draft{number}.md"] = text.format(number)
        files[f"{folder}hiddenfile{number}.png"] = f"hiddenbytes{number}".encode()
        cards = draw(st.lists(st.sampled_from(_CARDS), max_size=4))
        nodes = [
            {key: word.format(folder, number) for key, word in card.items()}
            | {"id": str(place)}
            for place, card in enumerate(cards)
        ]
        files["all.base"] = _BASE
        files["open.canvas"] = json.dumps({"nodes": nodes, "edges": [_EDGE]}).encode()
        # A draft's own, or nobody's.
        secret = {"type": "text", "text": f"hiddencard{number}", "id": "0"}
        files[f"{folder}hidden{number}.canvas"] = json.dumps(
            {"nodes": [secret, *nodes[1:]], "edges": [_EDGE]}
        ).encode()
    return files


def _addresses(files: dict[str, str | bytes]) -> set[str]:
    """Return every address that a draft or its attachment might be looked for at."""
    found = set()
    for path, content in files.items():
        if "draft" in path or "hidden" in path:
            folder, _, name = path.rpartition("/")
            stem = path.removesuffix(".md")
            found |= {f"/{path}", f"/{stem}", f"/{stem}.html", f"/{stem}/"}
            found |= {f"/{name}", f"/{folder}/", f"/{folder}"} - {"//", "/"}
        if isinstance(content, str):
            for word in content.replace("[", " ").replace("]", " ").split():
                if word.startswith(("hidden", "#hidden")):
                    word = word.lstrip("#")
                    found |= {f"/{word}", f"/tags/{word}", f"/open/{word}"}
    return {address for address in found if address not in {"/open/", "/open"}}


def _assert_nothing_leaks(site: Site, files: dict[str, str | bytes]) -> None:
    with served(site) as client:
        for url in _all_urls(site):
            _assert_clean(client, url)
        for address in _addresses(files):
            reply = client.get(quote(address))
            assert reply.status == 404, address
            assert b"hidden" not in reply.body
            assert client.get(quote(f"/-/links{address}")).status == 404
            assert client.get(quote(f"/-/tree{address}")).status == 404
            assert client.get(quote(f"/-/card{address}.png")).status == 404


def _all_urls(site: Site) -> list[str]:
    asked_of: list[str] = []
    known = [path.encode("latin-1").decode() for path in (*site.pages, *site.files)]
    redirects = [f"/{key}" for key in site.addresses.redirects]
    other = [f"{page}{'index' if page.endswith('/') else ''}.md" for page in known]
    other += [f"{page.rstrip('/')}/feed.xml" for page in known]
    other += [
        "/llms.txt",
        "/feed.xml",
        "/sitemap.xml",
        "/nowhere",
        "/-/links",
        "/-/graph",
    ]
    other += [f"/-/tree{address}" for address in site.addresses.folders.values()]
    for address in site.addresses.notes.values():
        other.append(f"/-/links{address}")
        asked_of.append(f"/-/graph?of={quote(address)}")
    # The beginning of every word that a draft has, which the page may repeat.
    asked = [f"{place}?q={word}" for place in SEARCHES for word in ("hid", "note")]
    return [
        *(quote(address) for address in (*known, *redirects, *other)),
        *asked,
        *asked_of,
    ]


def _assert_clean(client: Client, url: str) -> None:
    # The bytes of a file that is sent are looked for in the attachment's own test.
    reply = client.request("HEAD" if url.endswith(".png") else "GET", url)
    assert reply.status in {200, 301, 404}, url
    sent = f"{url} {reply.headers} {reply.text}".casefold()
    assert "hidden" not in sent.replace("aria-hidden", ""), url


@settings(max_examples=100, derandomize=True, deadline=None)
@given(_vaults())
def test_a_draft_is_in_no_answer(files: dict[str, str | bytes]) -> None:
    _assert_nothing_leaks(make_site(files), files)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(_vaults())
def test_a_note_that_becomes_a_draft_leaves_nothing(
    files: dict[str, str | bytes],
) -> None:
    once = {
        path: text.replace(text.split("\n")[1], "x: y", 1)
        if isinstance(text, str) and text.startswith("---")
        else text
        for path, text in files.items()
    }
    site = make_site(once)
    drafts = {path for path in files if files[path] != once[path]}
    assert any(path in site.facts for path in drafts)
    notes, attachments, _ = sort_files({path: files[path] for path in drafts})
    after = change_site(site, 2, drafts, notes, attachments)
    _assert_nothing_leaks(after, files)
