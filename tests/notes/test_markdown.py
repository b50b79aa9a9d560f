"""Pages as Markdown, and the list of them: what readers see, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notes import markdown
from tests.notes.sites import make_site, served

TEXT = """# Tea

Green *or* **black**, ==hot== [[b|there]] [[Draft|later]] `a<b` 1 < 2 %%secret%%
<!-- secret -->
$x_1 < 2$ #drink

%%
secret
%%

> [!warning] Careful
> It is hot.

- [x] done

```python
if a < b: pass  # %%
```

$$
\\int x
$$

![[b]] ![[leaf.png]] ![[Draft]]
"""
FILES: dict[str, str | bytes] = {
    "a.md": TEXT,
    "b.md": "embedded",
    "x/index.md": "---\ntitle: Folder\nhidden: secret\n---\nIn it",
    "x/y/c d.md": "deep",
    "Draft.md": "---\ndraft: true\n---\nsecret",
    "leaf.png": b"",
}
EXPECTED = """# Tea

Green *or* **black**, ==hot== [there](http://localhost:8080/b) later `a<b` 1 &lt; 2

$x_1 < 2$ [#drink](http://localhost:8080/tags/drink)

**Careful**

It is hot.

- [x] done

```python
if a < b: pass  # %%
```

$$\\int x$$

[b](http://localhost:8080/b)

embedded

![leaf.png](http://localhost:8080/leaf.png)

Draft
"""


def test_a_page_is_markdown_at_its_address_and_md() -> None:
    with served(make_site(FILES)) as client:
        reply = client.get("/a.md")
        assert reply.text == EXPECTED
        assert reply.headers["Content-Type"] == "text/markdown; charset=utf-8"
        assert reply.headers["X-Robots-Tag"] == "noindex"
        page = client.get("/a").text
        assert '<link rel="alternate" type="text/markdown" href="/a.md">' in page
        etag = reply.headers["ETag"]
        assert client.get("/a.md", if_none_match=etag).status == 304


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("/x/index.md", "# Folder"),
        ("/x/y/c-d.md", "# c d\n\ndeep"),
        ("/x/y/index.md", "# y"),
        ("/index.md", "# localhost"),
        ("/tags/drink.md", "# #drink"),
        ("/tags/index.md", "# Tags"),
    ],
)
def test_every_page_is(url: str, text: str) -> None:
    with served(make_site(FILES)) as client:
        found = client.get(url).text
        assert found.startswith(text)
        assert "secret" not in found


@pytest.mark.parametrize(
    "url",
    [
        "/Draft.md",
        "/nowhere.md",
        "/x.md",
        "/robots.txt.md",
        "/.md",
        "/x/.md",
        "/a.md.md",
    ],
)
def test_what_is_no_page_is_no_markdown(url: str) -> None:
    with served(make_site(FILES)) as client:
        assert client.get(url).status == 404


def test_a_page_at_such_an_address_is_that_page() -> None:
    files = FILES | {"d.md": "---\npermalink: /a.md\n---\n# Another"}
    with served(make_site(files)) as client:
        assert client.get("/a.md").headers["Content-Type"].startswith("text/html")


def test_a_page_that_is_too_large_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "MAX_SIZE", 100)
    with served(make_site(FILES)) as client:
        assert client.get("/a.md").status == 404


_WORDS = ["<b>", "*", "> ", "[[a]]", "`", "$x$", "\n\n", "- ", "|", "<", "%%"]


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=30).map("".join))
def test_nothing_that_is_written_breaks_it(text: str) -> None:
    site = make_site({"a.md": text})
    found = markdown.find_markdown(site, "/a.md")
    assert found is not None
    assert b"<script" not in found.body


@pytest.mark.parametrize(
    "text", ["> " * 5000, "- " * 5000, "<div>" * 5000, "*a " * 9999]
)
def test_what_nests_deep_is_no_danger(text: str) -> None:
    assert markdown.find_markdown(make_site({"a.md": text}), "/a.md") is not None


def test_a_bracket_in_an_address_ends_no_link_of_llms_txt() -> None:
    with served(make_site({"Hello :).md": "text"})) as client:
        assert client.get("/llms.txt").text.endswith(
            "- [Hello :)](http://localhost:8080/Hello-:%29.md): text\n"
        )
        assert client.get("/Hello-:%29.md").status == 200


def test_llms_txt_lists_all_notes() -> None:
    files = FILES | {
        "_site.md": "---\ntitle: Tea [and] <co>\ndescription: All of it\n---\n"
    }
    with served(make_site(files)) as client:
        reply = client.get("/llms.txt")
    assert reply.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert reply.text == (
        "# Tea \\[and\\] \\<co>\n\n"
        "> All of it\n\n"
        "## Notes\n\n"
        "- [b](http://localhost:8080/b.md): embedded\n"
        "- [Tea](http://localhost:8080/a.md): Green or black, hot there later a\\<b "
        "1 \\< 2 x_1 \\< 2 #drink It is hot. done\n\n"
        "## x\n\n"
        "- [c d](http://localhost:8080/x/y/c-d.md): deep\n"
        "- [Folder](http://localhost:8080/x/index.md): In it\n"
    )
