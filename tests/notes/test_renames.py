"""A link to a note that was renamed leads to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notes import caching
from notes import site as sites
from notes.authoring import put_note, remove_note
from notes.looking import catch_up
from notes.models import FormerAddress, Note
from notes.site import Site
from notes.sync import sync_vault
from notes.warmup import warm_site
from tests.notes.sites import served
from tests.notes.trees import write_tree

pytestmark = pytest.mark.django_db


@pytest.fixture
def vault(tmp_path: Path, settings: Any) -> Path:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    settings.NOTES_CACHE_DIR = tmp_path / "cache"
    return tmp_path / "vault"


def sync(vault: Path, site: Site | None = None, **files: str | None) -> Site:
    """Write *files*, None for one to remove; '__' is '/'. Return the site after it."""
    for name, text in files.items():
        path = name.replace("__", "/") + ".md"
        if text is None:
            (vault / path).unlink()
        else:
            write_tree(vault, {path: text})
    sync_vault(vault, exclude=(), delete=True)
    return catch_up(site)


def redirects(site: Site, *addresses: str) -> dict[str, str]:
    with served(site) as client:
        replies = {address: client.get(address) for address in addresses}
    return {
        address: reply.headers.get("Location", str(reply.status))
        for address, reply in replies.items()
    }


def test_old_addresses_lead_to_a_note_that_was_renamed_again_and_again(vault):
    site = sync(vault, old="# One", other="# Two")
    site = sync(vault, site, old=None, x__new="# One")
    assert redirects(site, "/old", "/OLD.html", "/x/new") == {
        "/old": "/x/new",
        "/OLD.html": "/x/new",
        "/x/new": "200",
    }
    site = sync(vault, site, x__new=None, x__newer="# One")
    assert redirects(site, "/old", "/x/new") == {
        "/old": "/x/newer",
        "/x/new": "/x/newer",
    }
    # Back again: nothing leads in a circle.
    site = sync(vault, site, x__newer=None, old="# One")
    assert redirects(site, "/old", "/x/newer") == {"/old": "200", "/x/newer": "/old"}
    assert redirects(catch_up(None), "/x/new", "/x/newer") == {
        "/x/new": "/old",
        "/x/newer": "/old",
    }


def test_a_folder_that_is_renamed_takes_its_notes_along(vault):
    site = sync(vault, a__index="i", a__one="1", a__same="", a__same2="", b="b")
    site = sync(
        vault,
        site,
        a__index=None,
        a__one=None,
        a__same=None,
        a__same2=None,
        c__d__index="i",
        c__d__one="1",
        c__d__same="",
        c__d__same2="",
    )
    assert redirects(site, "/a/", "/a/one") == {"/a/": "/c/d/", "/a/one": "/c/d/one"}
    # An empty note is like any other empty note.
    assert redirects(site, "/a/same") == {"/a/same": "404"}


def test_equal_notes_are_told_apart_by_their_names_only(vault):
    site = sync(vault, a__one="x", a__two="x", a__three="x")
    site = sync(
        vault,
        site,
        a__one=None,
        a__two=None,
        a__three=None,
        b__one="x",
        b__four="x",
        b__five="x",
    )
    assert redirects(site, "/a/one", "/a/two", "/a/three") == {
        "/a/one": "/b/one",
        "/a/two": "404",
        "/a/three": "404",
    }


def test_a_permalink_or_slug_that_changes_leaves_a_redirect(vault):
    text = "---\n{}\n---\ntext"
    site = sync(vault, a=text.format("permalink: /one"), b=text.format("slug: s"))
    site = sync(vault, site, a=text.format("permalink: /two"), b=text.format("x: y"))
    assert redirects(site, "/one", "/s", "/a") == {
        "/one": "/two",
        "/s": "/b",
        "/a": "/two",
    }
    # Changed in its text only, a note leaves none.
    before = FormerAddress.objects.count()
    sync(vault, site, a=text.format("permalink: /two") + " more")
    assert FormerAddress.objects.count() == before


def test_another_note_at_the_old_address_is_shown_there(vault):
    site = sync(vault, old="# One")
    site = sync(vault, site, old=None, new="# One")
    site = sync(vault, site, old="# Another")
    assert redirects(site, "/old") == {"/old": "200"}
    # As is one that has it for an alias.
    site = sync(vault, site, old=None, third="---\naliases: old\n---\n")
    assert redirects(site, "/old") == {"/old": "/third"}


def test_drafts_have_no_old_addresses_and_no_note_leads_to_one(vault):
    draft = "---\ndraft: true\n---\nx"
    site = sync(vault, secret=draft, open="# One")
    site = sync(vault, site, secret=None, other=draft, open=None, opened="# One")
    assert redirects(site, "/secret", "/open") == {"/secret": "404", "/open": "/opened"}
    assert not FormerAddress.objects.filter(address__contains="secret").exists()
    site = sync(vault, site, opened="---\ndraft: true\n---\n# One")
    assert redirects(site, "/open", "/opened") == {"/open": "404", "/opened": "404"}
    site = sync(vault, site, opened=None)
    assert redirects(site, "/open") == {"/open": "404"}


def test_the_api_renames_by_putting_the_new_before_removing_the_old(vault):
    site = sync(vault, old="# One", twin="# Two", twin2="# Two", gone="# Three")
    put_note("new.md", b"# One")
    for path in ("old.md", "twin.md", "gone.md"):
        remove_note(Note.objects.get(path=path))
    site = catch_up(site)
    assert redirects(site, "/old", "/twin", "/gone") == {
        "/old": "/new",
        "/twin": "/twin2",
        "/gone": "404",
    }
    put_note("new.md", b"---\npermalink: /far\n---\n# One")
    put_note("new.md", b"---\npermalink: /farther\n---\n# One")
    assert redirects(catch_up(site), "/far", "/new") == {
        "/far": "/farther",
        "/new": "/farther",
    }


@pytest.mark.django_db(transaction=True)
def test_a_boot_from_the_cache_knows_the_old_addresses(vault):
    class Context:
        processes, is_nice, check = 1, False, False

        def report(self, done: int, total: int, what: str, /) -> None: ...

        def prepare_child(self) -> None: ...

    before = sites.current()
    try:
        sync(vault, old="# One")
        warm_site(Context())
        assert caching.load().site is not None
        sync(vault, old=None, new="# One")
        warm_site(Context())
        site = sites.current()
        assert site is not None
        assert redirects(site, "/old") == {"/old": "/new"}
        FormerAddress.objects.all().delete()
        warm_site(Context())
        site = sites.current()
        assert site is not None
        assert redirects(site, "/old") == {"/old": "404"}
    finally:
        sites.publish(before)


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6))
def test_every_address_that_a_note_had_leads_to_it(vault, names):
    Note.objects.all().delete()
    FormerAddress.objects.all().delete()
    for path in vault.glob("*.md"):
        path.unlink()
    site = sync(vault, start="# It")
    place = "start"
    had = {"start"}
    for name in names:
        if name != place:
            site = sync(vault, site, **{place: None, name: "# It"})
            place = name
            had.add(name)
    found = redirects(site, *(f"/{name}" for name in had))
    assert found == {
        f"/{name}": "200" if name == place else f"/{place}" for name in had
    }
