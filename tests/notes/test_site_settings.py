"""Site settings: what an author says of the whole site, and what they may not."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from notes.authoring import put_note
from notes.building import change_site
from notes.exceptions import UnreadableFileError
from notes.looking import catch_up
from notes.models import Note
from notes.site import Site
from notes.site_settings import COLORS, Color, SiteSettings
from notes.sources import load_note
from notes.sync import sync_vault
from notes.vault import note_path
from tests.notes.sites import make_site, note, served, sort_files
from tests.notes.trees import write_tree

HOME = "---\ntitle: Home\n---\nWelcome"


def _site(settings: str, **files: str | bytes) -> Site:
    """Return a site with *settings*, YAML; names of *files* have '__' for a dot."""
    made: dict[str, str | bytes] = {
        "index.md": HOME,
        "About.md": "us",
        "Draft.md": "---\ndraft: true\n---\n",
        "img/logo.svg": b"<svg/>",
        "plan.canvas": b"{}",
        "_site.md": f"---\n{settings}\n---\nNobody reads this.",
    }
    made |= {name.replace("__", "."): text for name, text in files.items()}
    return make_site(made)


def _read(settings: str) -> tuple[SiteSettings, list[str]]:
    site = _site(settings)
    return site.frame.settings, [str(problem) for problem in site.problems]


def test_every_setting_is_on_every_page() -> None:
    site = _site(
        "title: Tea & Co\n"
        "description: All about <tea>\n"
        "lang: he\n"
        "navigation:\n"
        "  - '[[About]]'\n"
        "  - '[[about|Who we are]]'\n"
        "  - Elsewhere: https://example.org/?a=1&b=2\n"
        "  - Mail: mailto:tea@example.org\n"
        "  - All tags: /tags/\n"
        "logo: '![[logo.svg]]'\n"
        "colors:\n"
        "  accent: {light: '#24B', dark: lightblue}\n"
        "  page: 'hsl(60, 100%, 50%)'\n",
        tagged__md="#tea",
    )
    assert site.problems == ()
    with served(site) as client:
        for url in ("/", "/About", "/tags/", "/search", "/nowhere"):
            page = client.get(url).text
            assert '<html lang="he" dir="rtl">' in page
            assert "· Tea &amp; Co</title>" in page
            assert (
                '<a class="site-title" href="/"><img src="/img/logo.svg" alt="" '
                'width="24" height="24">Tea &amp; Co</a>'
            ) in page
            assert '<link rel="icon" href="/img/logo.svg">' in page
            assert re.findall(r'<li><a href="(.*?)">(.*?)</a></li>', page)[:5] == [
                ("/About", "About"),
                ("/About", "Who we are"),
                ("https://example.org/?a=1&amp;b=2", "Elsewhere"),
                ("mailto:tea@example.org", "Mail"),
                ("/tags/", "All tags"),
            ]
            (look,) = re.findall(r'href="(/-/look\.css\?v=\w+)"', page)
        assert client.get(look, cookie="theme=dark").text == (
            ":root{--accent:light-dark(#2244bb,#add8e6);"
            "--page:light-dark(#ffff00,#ffff00)}\n"
            ":root{color-scheme:dark}"
        )
        assert "/img/logo.svg" in site.files  # though no note shows it
        assert '"description" content="All about &lt;tea&gt;"' in client.get("/").text
        assert '"description" content="us"' in client.get("/About").text
        feed = client.get("/feed.xml").text
        assert 'xml:lang="he"' in feed
        assert "<title>Tea &amp; Co</title>" in feed
        assert "<subtitle>All about &lt;tea&gt;</subtitle>" in feed


def test_the_home_page_says_what_the_file_of_settings_does_not() -> None:
    home = (
        "---\ntitle: Home\ndescription: Of home\nlang: de\nlogo: img/logo.svg\n"
        "navigation: [/a]\ncolors: {text: red}\n---\n"
    )
    site = make_site({"index.md": home, "img/logo.svg": b""})
    expected = SiteSettings(
        title="Home",
        description="Of home",
        language="de",
        navigation=(("/a", "/a"),),
        logo="img/logo.svg",
        colors=(Color("text", "#ff0000", "#ff0000"),),
    )
    assert site.frame.settings == expected
    site = _site("title: Own\ncolors: {text: blue}", index__md=home)
    assert site.frame.settings.title == "Own"
    assert site.frame.settings.language == "de"
    assert site.frame.settings.colors == (Color("text", "#0000ff", "#0000ff"),)
    # What is bad is as if it were not there.
    site = _site("lang: German\ncolors: blue", index__md=home)
    assert (site.frame.settings.language, site.frame.settings.colors) == (
        "de",
        expected.colors,
    )
    assert [(problem.file, problem.name) for problem in site.problems] == [
        ("_site.md", "lang"),
        ("_site.md", "colors"),
    ]


def test_comments_in_settings_are_for_the_author_alone() -> None:
    said = "All %%secret%%about tea"
    for settings, home in (
        (f"title: Tea %%secret%%\ndescription: {said}", ""),
        ("title: Tea", f"---\ndescription: {said}\n---\n"),
    ):
        site = _site(settings, index__md=home)
        assert site.frame.settings.title == "Tea"
        assert site.frame.settings.description == "All about tea"
        with served(site) as client:
            for url in ("/", "/feed.xml", "/llms.txt"):
                text = client.get(url).text
                assert "All about tea" in text
                assert "secret" not in text


def test_a_site_without_settings_is_called_by_its_home_page_or_its_host() -> None:
    assert make_site({"index.md": HOME}).frame.site_title == "Home"
    assert make_site({"a.md": ""}).frame.settings == SiteSettings(title="localhost")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("title: [a]", "title: is not a text"),
        ("title: yes", "title: is not a text"),
        ("description: {a: b}", "description: is not a text"),
        ("lang: English", "lang: 'English' is no language tag, as 'en' or 'pt-BR'"),
        ("language: 3", "language: 3 is no language tag, as 'en' or 'pt-BR'"),
        ("logo: nowhere.png", "logo: 'nowhere.png' is no file of the vault"),
        ("logo: https://x.org/a.png", "logo: 'https://x.org/a.png' is no file of"),
        ("logo: 'javascript:alert(1)'", "logo: 'javascript:alert(1)' is no file of"),
        ("logo: '[[About]]'", "logo: '[[About]]' is no file of the vault"),
        ("logo: plan.canvas", "logo: 'plan.canvas' is no file of the vault"),
        ("logo: [a, b]", "logo: ['a', 'b'] is no file of the vault"),
        ("nav: 3", "nav: is not a list of links"),
        ("nav: [3]", "nav[1]: 3 is not a link"),
        ("nav: [/a, {b: [c]}]", "nav[2]: ['c'] is not a link"),
        ("nav: ['[[Draft]]']", "nav[1]: '[[Draft]]' leads to no published note"),
        ("nav: [{Plan: Draft.md}]", "nav[1]: 'Draft.md' leads to no published note"),
        ("nav: ['[[_site]]']", "nav[1]: '[[_site]]' leads to no published note"),
        ("nav: ['[[plan.canvas]]']", "nav[1]: '[[plan.canvas]]' leads to no published"),
        ("nav: ['[[]]']", "nav[1]: '[[]]' leads to no published note"),
        (
            "nav: {a: 'javascript:alert(1)'}",
            "nav[1]: 'javascript:alert(1)' leads to no",
        ),
        ("nav: {a: ' JaVaScRiPt:x'}", "nav[1]: ' JaVaScRiPt:x' leads to no published"),
        ("nav: {a: 'java\\tscript:x'}", "nav[1]: 'java"),
        ("nav: {a: 'data:text/html,x'}", "nav[1]: 'data:text/html,x' leads to no"),
        ("nav: {a: //evil.example}", "nav[1]: '//evil.example' leads to no published"),
        ("nav: {a: 'http://'}", "nav[1]: 'http://' leads to no published note"),
        ("nav: {a: 'http://[x'}", "nav[1]: 'http://[x' leads to no published note"),
        ("nav: {a: 'https://a b'}", "nav[1]: 'https://a b' leads to no published note"),
        ("nav: {a: 'mailto:a@b?cc=c'}", "nav[1]: 'mailto:a@b?cc=c' leads to no"),
        (f"nav: [{'/a, ' * 21}]", "nav: is over 20 links; the rest is left out"),
        ("colors: red", "colors: is no list of 'name: colour', of the names accent"),
        ("colors: {accent: }", "colors.accent: is empty; a colour that begins with #"),
        ("colors: {accent: 3}", "colors.accent: 3 is no colour, as '#2453b5' or"),
        ("colors: {size: red}", "colors.size: is no colour that there is: accent,"),
        ("colors: {3: red}", "colors.3: is no colour that there is: accent, page"),
        ("colors: {text: {light: red}}", "colors.text: needs two colours, 'light'"),
        ("colors: {text: 'red;}'}", "colors.text: 'red;}' is no colour, as"),
        ("colors: {text: 'url(//x)'}", "colors.text: 'url(//x)' is no colour, as"),
        ("colors: {text: 'var(--x)'}", "colors.text: 'var(--x)' is no colour, as"),
        ("colours: {text: '#12'}", "colours.text: '#12' is no colour, as '#2453b5'"),
    ],
)
def test_what_is_bad_is_left_out_and_named(settings: str, problem: str) -> None:
    found, problems = _read(settings)
    assert len(problems) == 1
    assert problems[0].startswith(f"_site.md: {problem}")
    expected = SiteSettings(title="Home")
    kept = found.navigation
    assert found == SiteSettings(title="Home", navigation=kept)
    assert set(kept) <= {("/a", "/a")}
    assert len(kept) <= 20
    assert expected.colors == found.colors


def test_what_has_no_quotes_in_yaml_is_understood() -> None:
    settings, problems = _read(
        "nav:\n  - [[About]]\n  - Us: [[About]]\nlogo: [[logo.svg]]"
    )
    assert problems == []
    assert settings.navigation == (("About", "/About"), ("Us", "/About"))
    assert settings.logo == "img/logo.svg"


def test_a_problem_is_logged_once_and_is_no_problem_of_the_site(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = _site("colors: {accent: reddish}")
    message = (
        "event=setting_left_out file='_site.md' property='colors.accent' "
        "reason=\"'reddish' is no colour, as '#2453b5' or 'navy'\""
    )
    assert [one for one in caplog.messages if "setting" in one] == [message]
    other = note("new.md", "")
    assert other is not None
    after = change_site(site, 2, {"new.md"}, [other], [])
    assert [one for one in caplog.messages if "setting" in one] == [message]
    assert after.problems == site.problems


_HOSTILE = st.sampled_from(
    [
        "</title><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "'};alert(1);//",
        "\x02main\x03\x02head\x03",
        "{{ main }}{% now 'Y' %}",
        "javascript:alert(1)",
        'https://example.org/"onmouseover=alert(1)//<script>',
        "/\\evil.example/<script>\"'",
        "//evil.example/",
        'mailto:"<script>@x',
        "red}*{background:url(//evil.example)}",
        "#fff</style><script>",
        "\ud800",
        "\u202egnp.exe",
        "x" * 10_000,
        "",
        "[[<b>]]",
        "[[About|<script>]]",
        "[[Draft]]",
    ]
)
_VALUES = st.recursive(
    _HOSTILE | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_HOSTILE | st.sampled_from(COLORS), inner, max_size=3)
    ),
    max_leaves=6,
)
_NAMES = ("title", "description", "lang", "nav", "navigation", "logo", "colors")


@hypothesis_settings(max_examples=150, derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES))
def test_no_value_is_code_on_any_page(properties: dict[str, Any]) -> None:
    plain = make_site({"index.md": HOME, "About.md": "us"})
    made = note("_site.md", "")
    assert made is not None
    object.__setattr__(made, "properties", properties)
    site = change_site(plain, 2, {"_site.md"}, [made], [])
    with served(site) as client:
        for url in ("/", "/About", "/nowhere", "/search"):
            page = client.get(url).text
            data = page.count('<script type="application/ld+json">')
            assert page.count("<script") - data == 1
            assert page.count("<img") == 0
            assert page.count("<h1") == 1
            assert len(page) < 40_000
            for tag in re.findall(r"<[a-z][^>]*>", page):
                names = re.findall(r"\s([a-z-]+)(?==|\s|>)", re.sub('"[^"]*"', "", tag))
                assert not [name for name in names if name.startswith("on")], tag
            for address in re.findall(r'(?:href|src)="([^"]*)"', page):
                address = html.unescape(address)
                assert re.match(r"/(?![/\\])|#|https?://|mailto:[^<>\"]+$", address)
        for name, value in re.findall(
            r"--(\w+):([^;}]*)", client.get("/-/look.css").text
        ):
            assert name in COLORS
            assert re.fullmatch(r"light-dark\(#[0-9a-f]{6,8},#[0-9a-f]{6,8}\)", value)
        assert client.get("/feed.xml").status == 200


def test_settings_are_no_page_and_in_no_answer() -> None:
    site = _site("title: Tea\nsecret: hushhush\ntags: [hushtag]")
    assert "_site.md" not in site.facts
    with served(site) as client:
        for url in ("/_site", "/_site.md", "/-/links/_site", "/tags/hushtag"):
            assert client.get(url).status == 404
        for url in (
            "/",
            "/sitemap.xml",
            "/feed.xml",
            "/-/tree",
            "/-/links",
            "/-/graph",
        ):
            text = client.get(url).text
            assert "hush" not in text
            assert "_site" not in text
        for word in ("Nobody", "hush"):
            assert "Nobody reads" not in client.get(f"/-/search?q={word}").text


def test_a_place_that_the_author_names_has_no_second_name() -> None:
    nav = "nav: [All tags: /tags/, Map: /-/graph]"
    page = _site(nav, tagged__md="#tea").pages["/About"].body.decode()
    places = page.partition('<ul class="places">')[2].partition("</ul>")[0]
    assert re.findall('href="(.*?)">(.*?)<', places) == [
        ("/tags/", "All tags"),
        ("/-/graph", "Map"),
    ]


def test_settings_that_are_a_draft_are_none() -> None:
    assert _read("title: Tea\ndraft: true")[0].title == "Home"
    assert _read("title: Tea\ndate: 2999-01-01")[0].title == "Home"


def test_a_note_that_comes_or_goes_changes_the_navigation() -> None:
    site = _site("nav: ['[[Later]]', '[[About]]']")
    assert site.frame.settings.navigation == (("About", "/About"),)
    after = change_site(
        site, 2, {"Later.md"}, *sort_files({"Later.md": "---\ntitle: Now\n---\n"})[:2]
    )
    assert after.frame.settings.navigation[0] == ("Now", "/Later")
    assert after.problems == ()
    assert b'href="/Later">Now<' in after.pages["/About"].body
    again = change_site(after, 3, {"Later.md"}, [], [])
    assert again.is_equal_to(site)


@pytest.mark.django_db(transaction=True)
def test_a_sync_takes_settings_in_and_counts_no_page(
    tmp_path: Path, settings: Any
) -> None:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    vault = write_tree(
        tmp_path / "vault",
        {
            "_site.md": "---\ntitle: Tea\n---\n",
            "a.md": "",
            "x/_site.md": "---\ntitle: No\n---\n",
            "_other.md": "",
        },
    )
    report = sync_vault(vault, exclude=())
    assert (report.published, report.drafts, report.added) == (1, 0, 2)
    site = catch_up(None)
    assert (site.frame.site_title, *site.facts) == ("Tea", "a.md")
    (vault / "_site.md").unlink()
    (vault / "_site.md").mkdir()
    (vault / "_site.md" / "in.md").write_text("")
    sync_vault(vault, exclude=())
    site = catch_up(site)
    assert (site.frame.site_title, *site.facts) == ("localhost", "a.md")


@pytest.mark.django_db(transaction=True)
def test_settings_can_be_put_by_the_api() -> None:
    for name in ("_site", "_site.md"):
        assert note_path(name) == "_site.md"
    for name in ("_Site", "x/_site.md", "_site/a", "_other"):
        with pytest.raises(UnreadableFileError):
            note_path(name)
    put_note("_site.md", b"---\ntitle: Tea\n---\n")
    assert catch_up(None).frame.site_title == "Tea"
    assert load_note(Note.objects.get()) is None


def test_the_names_of_colours_are_those_of_the_style_sheet() -> None:
    css = Path("notes/static/notes/site.css").read_text()
    assert set(COLORS) <= set(re.findall(r"^  --(\w+): light-dark", css, re.MULTILINE))
