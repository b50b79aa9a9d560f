"""After a change, bases show what they would if all of it were looked at again."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notes.bases.evaluation import MAX_STEPS, Budget, Evaluator
from notes.building import change_site
from notes.site import Site
from tests.notes.sites import make_site, sort_files

_BASES = (
    "filters: file.hasTag('t')\nviews:\n  - order: [file.name, file.tags, up]\n",
    "filters: file.inFolder('x')\nviews:\n  - order: [title, up, file.links]\n"
    "  - {filters: up, sort: [title], groupBy: n, order: [file.name, text]}\n",
    "views:\n  - filters: up == link('b') || file.hasLink('q.png')\n",
    "views:\n  - {filters: file.ext != 'md', order: [file.path, file.size]}\n",
    # These look at other files than the row's.
    "filters: up.asFile().hasTag('t')\nviews:\n  - order: [file.name, up]\n",
    "formulas: {far: up.asFile().properties.n}\nfilters: formula.far\n"
    "views:\n  - {filters: n, order: [formula.far]}\n",
    "filters: n\nviews:\n  - order: [file.name, file.backlinks, up.asFile()]\n",
    "filters: file.backlinks.length > 1\n",
    # These ask for the page that they are shown in.
    "filters: file.hasLink(this)\nviews:\n  - order: [file.name, this.n]\n",
    "filters: up == this.up && file != this.file\n",
    "formulas: {same: n == this.n}\nfilters: formula.same\n",
    "views:\n  - limit: 2\n    sort: [n]\n",
)
_NOTES = ("a.md", "b.md", "c.md", "x/a.md", "x/d.md", "y/d.md")
_UPS = ("'[[b]]'", "'[[d]]'", "'[[x/d|there]]'", "'[[./d]]'")
_PROPERTIES = (
    *("title: Other", "permalink: moved", "draft: true", "slug: '[[b]]'"),
    "text: 'see [[c]] and ![[q.png]]'",
)
_LINES = ("[[b]]", "[[x/a]] [[d]]", "![[q.png]]", "![[list-8]]", "text")


@st.composite
def _sources(draw: st.DrawFn) -> str:
    properties = [
        f"{name}: {value}"
        for name, values in (("up", _UPS), ("n", (1, 2)), ("tags", ("t", "[T/a]")))
        if (value := draw(st.sampled_from((None, *values)))) is not None
    ]
    properties += draw(st.lists(st.sampled_from(_PROPERTIES), max_size=1))
    return "---\n" + "\n".join((*properties, "---", draw(st.sampled_from(_LINES))))


_EDITS = st.lists(
    st.dictionaries(
        st.sampled_from((*_NOTES, *_NOTES, "q.png")),
        _sources() | _sources() | st.none(),
        min_size=1,
        max_size=2,
    ),
    min_size=1,
    max_size=4,
)


def _edited(
    site: Site,
    files: dict[str, str | bytes],
    edit: dict[str, str | None],
    sequence: int,
) -> Site:
    """Return *site*, of *files*, after *edit*, which the files get, too."""
    for path, text in edit.items():
        files.pop(path, None)
        if text is not None:
            files[path] = text if path.endswith(".md") else text.encode()
    touched = {path: files[path] for path in edit if path in files}
    notes, attachments, _ = sort_files(touched)
    return change_site(site, sequence, edit, notes, attachments)


@settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    st.fixed_dictionaries({path: _sources() for path in _NOTES}),
    _EDITS,
    st.sampled_from((MAX_STEPS, MAX_STEPS, MAX_STEPS, 60, 150)),
)
def test_bases_show_after_changes_what_they_show_when_built_anew(
    notes: dict[str, str], edits: list[dict[str, str | None]], steps: int
) -> None:
    files: dict[str, str | bytes] = dict(notes)
    for number, base in enumerate(_BASES):
        files[f"list-{number}.md"] = f"```base\n{base}```\n"
    # So does one page with the same queries as another, in another order.
    files["lists.md"] = "".join(f"![[list-{number}]]\n\n" for number in (3, 0, 8, 1))
    with mock.patch.object(Budget.__init__, "__defaults__", (steps,)):
        site = make_site(files)
        for sequence, edit in enumerate(edits, 2):
            site = _edited(site, files, edit, sequence)
            anew = make_site(files, sequence=sequence)
            other = {p for p in anew.pages if site.pages.get(p) != anew.pages[p]}
            assert other == set()
            assert site.is_equal_to(anew)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rows of which an expression is evaluated, from now on."""
    found: list[str] = []
    begin = Evaluator.begin

    def note(self: Evaluator, path: str) -> None:
        found.append(path)
        begin(self, path)

    monkeypatch.setattr(Evaluator, "begin", note)
    return found


def test_only_rows_that_a_change_touches_are_looked_at_again(rows: list[str]) -> None:
    files: dict[str, str | bytes] = {
        f"n{number}.md": f"---\ntags: t{number % 2}\n---\n" for number in range(50)
    }
    files["n7.md"] = "---\ntags: t1\nup: '[[n8]]'\n---\n"
    filter_ = "filters: file.hasTag('t1')\nviews:\n  - {order: [file.name, up]}\n"
    files["list.md"] = f"```base\n{filter_}```\n"
    site = make_site(files)

    rows.clear()
    after = _edited(site, files, {"n2.md": "---\ntags: t0\n---\nother\n"}, 2)
    assert rows == ["n2.md"]
    assert after.pages["/list"] is site.pages["/list"]

    rows.clear()
    after = _edited(after, files, {"new.md": "---\ntags: t1\n---\n"}, 3)
    # The filter of one row, then the cells of those that are shown.
    assert rows[0] == "new.md"
    assert set(rows) == {"new.md", *(f"n{number}.md" for number in range(1, 50, 2))}
    assert b">new</a>" in after.pages["/list"].body

    rows.clear()
    moved = _edited(after, files, {"n8.md": "---\npermalink: moved\n---\n"}, 4)
    assert set(rows[:2]) == {"n7.md", "n8.md"}  # one leads to the other
    assert b'href="/moved"' in moved.pages["/list"].body
