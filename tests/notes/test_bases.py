"""Bases list what readers may see, by its properties, and say what they cannot do."""

from __future__ import annotations

import re
import time
import tracemalloc
from html import unescape
from typing import cast
from unittest import mock

import pytest

from notes.bases import functions, querying
from notes.bases.definitions import Filter, read_base
from notes.bases.evaluation import Budget, Evaluator, World
from notes.bases.expressions import ExpressionError, parse_expression
from notes.building import change_site
from tests.notes.sites import make_site, sort_files

FILES: dict[str, str | bytes] = {
    "Books/Emma.md": (
        "---\nauthor: '[[Jane Austen]]'\nyear: 1815\nrating: 5\nread: 2024-02-03\n"
        "tags: [book/novel]\ngenre: ['[[Comedy]]', '[[Romance|love]]']\n"
        "cover: '[[emma.png]]'\nurl: https://example.com/?a&b\n---\n![[emma.png]]"
    ),
    "Books/Dune.md": (
        "---\nauthor: Frank Herbert\nyear: 1965\nread: 2023-05-06 07:08\n"
        "tags: book\ndone: true\n---\nSee [[Emma]]."
    ),
    "Books/Zoo.md": "---\nrating: 3\nyear: 2001\nhtml: <b>&\n---\n#book",
    "Books/Draft.md": "---\ndraft: true\nrating: 9\ntags: book\n---\nhidden",
    "Jane Austen.md": "---\naliases: Jane\nlevel: 2\n---\n",
    "Comedy.md": "![[all.base#Genre]]",
    "emma.png": b"picture",
}


def page(base: str, **others: str | bytes) -> str:
    """Return the page of the base 'all.base', below its title."""
    files = {**FILES, "index.md": "[[all.base]]", "all.base": base.encode(), **others}
    return text_of(make_site(files).pages["/all.base"].body)


def text_of(body: bytes) -> str:
    html = body.decode()
    return html[html.index('<div class="prose"') : html.index("</article>")]


def rows(html: str) -> list[list[str]]:
    """Return what a reader sees in the cells of each row of the first table."""
    table = html.partition("<tbody>")[2].partition("</table>")[0]
    return [
        [unescape(re.sub(r"<[^>]*>|\n", "", cell)) for cell in row.split("</td>")[:-1]]
        for row in table.split("</tr>")
        if "<td>" in row
    ]


def value(expression: str, row: str = "Books/Emma.md") -> str:
    """Return what *expression* is for the note at *row*, as text."""
    quoted = expression.replace("'", "''")
    html = page(
        f"filters: file.path == '{row}'\nformulas:\n  x: '{quoted}'\n"
        "views:\n  - order: [formula.x]\n"
    )
    assert "base-note" not in html, html
    return rows(html)[0][0]


BOOKS = "filters: file.inFolder('Books')\n"


def test_a_table_shows_the_properties_that_it_names():
    html = page(
        BOOKS + "properties:\n  note.year: {displayName: Year}\n"
        "  file.name: {displayName: Book}\n"
        "views:\n  - type: table\n    name: The books\n"
        "    order: [file.name, author, year, genre, read, done, url, html]\n"
        "    sort:\n      - {property: year, direction: DESC}\n"
    )
    assert '<h2 id="the-books">The books</h2>' in html
    heads = re.findall(r'<th scope="col">(.*?)</th>', html)
    assert heads == ["Book", "author", "Year", "genre", "read", "done", "url", "html"]
    assert rows(html) == [
        ["Zoo", "", "2001", "", "", "", "", "<b>&"],
        ["Dune", "Frank Herbert", "1965", "", "2023-05-06 07:08", "yes", "", ""],
        ["Emma", "Jane Austen", "1815", "Comedy, love", "2024-02-03", "", *[URL, ""]],
    ]
    assert '<a href="/Books/Emma">Emma</a>' in html
    assert '<a href="/Jane-Austen">Jane Austen</a>' in html
    assert '<span class="unresolved">love</span>' in html
    assert '<time datetime="2024-02-03">' in html
    assert 'href="https://example.com/?a&amp;b"' in html
    assert "hidden" not in html
    assert "Draft" not in html


URL = "https://example.com/?a&b"


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ("file.hasTag('book')", "Dune Emma Zoo"),
        ("file.hasTag('book/novel', 'x')", "Emma"),
        ("{and: [\"file.ext == 'md'\", rating > 3]}", "Emma"),
        ("{or: [year < 1900, rating == 3]}", "Emma Zoo"),
        (
            "{not: [\"file.inFolder('Books')\", \"file.ext != 'md'\"]}",
            "Comedy index ...",
        ),
        ("'!done && file.folder == \"Books\"'", "Emma Zoo"),
        ("author == link('Jane Austen')", "Emma"),
        ("author.contains('Austen')", "Emma"),
        ("list(author).contains(link('jane austen'))", "Emma"),
        ("genre.containsAny(link('Comedy'), 'x')", "Emma"),
        ("file.hasLink('Emma')", "Dune"),
        ("file.links.contains(link('Emma'))", "Dune"),
        ("file.backlinks.contains(link('Dune'))", "Emma"),
        ("file.hasProperty('done')", "Dune"),
        ("read >= date('2024-01-01')", "Emma"),
        ("read < '2024-01-01'", ""),
        ("author.asFile().properties.level == 2", "Emma"),
        ("file.embeds[0].contains('png')", "Emma"),
        ("file.ext == 'png'", "emma.png"),
        ("file.size == 7", "emma.png"),
        ("{and: []}", "all.base Comedy ..."),
        ("nothing", ""),
        ("nothing.contains('x')", ""),
        ("nothing.isEmpty() && year == 1815", "Emma"),
        ("file.properties.rating == 3", "Zoo"),
        ("note['rating'] == 3 && note.year", "Zoo"),
    ],
)
def test_filters_let_rows_through(filters, names):
    html = page(f"filters: {filters}\n")
    found = [row[0] for row in rows(html)]
    wanted = names.split()
    if wanted[-1:] == ["..."]:
        assert found[: len(wanted) - 1] == wanted[:-1]
    else:
        assert found == wanted


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("1 + 2 * 3 - 4 / 2 % 3", "5"),
        ("(1 + 2) * -3", "-9"),
        ("1 / 0", ""),
        ("0.1 + 0.2", "0.3"),
        ("'a' + 1 + true", "a1true"),
        ("if(rating > 4, 'good', 'bad')", "good"),
        ("if(nothing, 1)", ""),
        ("formula.x", ""),
        ("year.toString().slice(2)", "15"),
        ("(2.5).round() + ' ' + (2.345).round(2) + ' ' + (-2.5).round()", "3 2.35 -3"),
        ("(3.14159).toFixed(2)", "3.14"),
        ("(2.1).ceil() + (2.9).floor() + (-1).abs()", "6"),
        ("'a,b,c'.split(',', 2).join('-')", "a-b"),
        ("' Hello '.trim().lower().title().reverse()", "olleH"),
        ("'a-b-a'.replace('a', 'x').repeat(2)", "x-b-xx-b-x"),
        ("'abc'.startsWith('a') && 'abc'.endsWith('c')", "yes"),
        ("'abc'.containsAll('a', 'z')", "no"),
        ("[1, 2, 3, 4].filter(value > 2).map(value * index)", "0, 4"),
        ("[3, 1, 2].sort().reverse()", "3, 2, 1"),
        ("[1, [2, 3]].flat().length", "3"),
        ("[1, 2, 2, 1].unique()", "1, 2"),
        ("[1, 2, 3].slice(1, 2)[0]", "2"),
        ("[1, 2] == [1, 2]", "yes"),
        ("max(1, '3', 2) - min(4, 2)", "1"),
        ("number('3.5') + number(true)", "4.5"),
        ("number('x')", ""),
        ("date('2024-01-31') + '1M'", "2024-02-29"),
        ("date('2024-01-01 10:00') - '2h'", "2024-01-01 08:00"),
        ("date('2024-12-01') + '1M' + '4h' + '3m'", "2025-01-01 04:03"),
        ("(date('2024-01-02') - date('2024-01-01'))", "86400000"),
        ("date('9999-12-31') + '1y'", ""),
        ("date('2024-02-30')", ""),
        ("read.year + read.month + read.day", "2029"),
        (
            "read.format('dddd, D MMMM YYYY [at] HH:mm')",
            "Saturday, 3 February 2024 at 00:00",
        ),
        ("(today() - '3d').relative()", "3 days ago"),
        ("duration('2 days') * 2", "4 days"),
        ("now() > date('2020-01-01')", "yes"),
        ("read == '2024-02-03'", "yes"),
        ("author.asFile().name + this.file.name", "Jane Austenall.base"),
        ("link('Dune', 'words')", "words"),
        ("file.asLink('me')", "me"),
        ("file.tags", "book/novel"),
        ("file.mtime.date()", "2026-03-01"),
        ("escapeHTML('<i>')", "&lt;i&gt;"),
        ("'<i>'", "<i>"),
        ("1.isType('number') && 'x'.isType('string')", "yes"),
        ("'[[Dune]] and [[Draft|it]]'", "Dune and it"),
        ("!(1 == 1) || null == nothing", "yes"),
        ("this.year", ""),
        ('"a\\"b"', 'a"b'),
    ],
)
def test_expressions(expression, text):
    assert value(expression) == text


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "1 +",
            "(1",
            "a.",
            "a..b",
            "[1",
            "f(",
            "1 2",
            "a ? b : c",
            "/x/.matches('x')",
        ),
        *("eval('1')", "a.__class__()", "exec", "'a", "", "@", "a = 1", "x => 1"),
        "(" * 100 + "1" + ")" * 100,
        "!" * 100 + "1",
        "1" + "+1" * 100,
        "a" + ".b" * 100,
        "a" * 10_000,
    ],
)
def test_what_is_no_expression_is_refused(expression):
    if expression == "exec":
        assert parse_expression(expression).kind == "name"
        return
    with pytest.raises(ExpressionError):
        parse_expression(expression)


def test_names_of_python_are_names_of_properties():
    assert value("file.__class__") == ""
    assert value("this.__class__.__subclasses__") == ""
    assert value("'x'.__len__") == ""


def test_this_is_the_note_that_a_base_stands_in():
    site = make_site(
        {
            **FILES,
            "all.base": (
                BOOKS
                + "views:\n  - name: Genre\n    filters: list(genre).contains(this)\n"
                "  - name: Other\n"
            ).encode(),
            "outer.md": "![[Comedy]]",
        }
    )
    for name in ("Comedy", "outer"):
        html = text_of(site.pages[f"/{name}"].body)
        assert [row[0] for row in rows(html)] == ["Emma"], name
        assert "Other" not in html
        assert 'href="/all.base' in html
        assert "base.css" in site.pages[f"/{name}"].body.decode()
    # In a base's own page it is the base.
    assert "No results." in text_of(site.pages["/all.base"].body)


def test_a_base_in_a_block_of_a_note():
    text = f"```base\n{BOOKS}views:\n  - type: list\n    order: [file.name, year]\n```"
    html = text_of(make_site({**FILES, "n.md": text}).pages["/n"].body)
    assert '<li><a href="/Books/Dune">Dune</a>, 1965</li>' in html
    assert "<code" not in html
    both = f"```base\n{BOOKS}views:\n  - name: A\n  - name: B\n```"
    html = text_of(make_site({**FILES, "n.md": both}).pages["/n"].body)
    assert html.count("<table>") == 2
    assert "<strong>B</strong>" in html


def test_cards_have_pictures_and_groups_have_names():
    html = page(
        BOOKS + "views:\n  - type: cards\n    image: note.cover\n"
        "    order: [file.name, rating]\n"
        "    groupBy: {property: rating, direction: DESC}\n"
    )
    assert '<li><img src="/emma.png" alt="" loading="lazy"><p><a' in html
    assert "<p>rating: 5</p>" in html
    assert re.findall(r'"base-group">(.*?)<', html) == ["5", "3", "None"]
    table = page(BOOKS + "views:\n  - groupBy: rating\n    order: [file.name, year]\n")
    groups = re.findall(r'<th colspan="2" scope="rowgroup">(.*?)</th>', table)
    assert groups == ["3", "5", "None"]


def test_limit_and_more(monkeypatch: pytest.MonkeyPatch):
    assert len(rows(page(BOOKS + "views:\n  - limit: 2\n"))) == 2
    monkeypatch.setattr(querying, "MAX_ROWS", 1)
    html = page(BOOKS)
    assert len(rows(html)) == 1
    assert "2 more are not shown." in html


@pytest.mark.parametrize(
    ("base", "problem"),
    [
        ("views:\n  - type: map\n", "A view of the type map is shown as a table."),
        ("summaries: {a: b}\n", "The base has what is not supported: summaries."),
        ("views:\n  - summaries: {a: b}\n", "The view has what is not supported:"),
        ("formulas:\n  a: foo(1)\n", "The formula a is empty: the function foo() is"),
        ("filters: foo(1)\n", "No rows are shown: in the filter 'foo(1)'"),
        ("filters: [a, b]\n", "No rows are shown: a filter is one of"),
        ("filters: {xor: [a]}\n", "No rows are shown: a filter is one of"),
        ("filters: " + "{and: [" * 22 + "a" + "]}" * 22, "filters nest over"),
        ("views:\n  - filters: /x/\n", "regular expressions are not supported"),
        ("{", "The base cannot be read: line"),
        ("- a\n", "The base cannot be read: line 1: it is not made of"),
        ("views:\n" + "  - name: x\n" * 40, "Only the first 30 views are shown."),
    ],
)
def test_what_is_not_supported_is_named(base, problem):
    html = unescape(page(base))
    assert problem in html
    assert ("Emma" in html) == ("rows are shown" not in html and "read" not in html)


@pytest.mark.parametrize(
    "base",
    [
        "",
        "views: 1\nfilters: 1\nformulas: 1\nproperties: [1]\ndisplay: x\n",
        "views: [1, null, {}]\n",
        "views:\n  - {limit: x, order: x, sort: x, groupBy: 1, image: 1, type: 1}\n",
        "views:\n  - {limit: -1, order: [1, null], sort: [1, null, {}], name: [1]}\n",
        "properties:\n  1: 2\n  x: {displayName: 1}\n",
        "formulas:\n  1: 2\n  x: [1]\n  y: null\n",
        "views:\n  - order: [formula., 'file.', '', formula.none]\n",
    ],
)
def test_whatever_the_file_holds_there_is_a_page(base):
    assert "<table>" in page(base)


HOSTILE = {
    "texts that double": [f"formula.f{n + 1} + formula.f{n + 1}" for n in range(40)],
    "lists that double": [
        f"[formula.f{n + 1}, formula.f{n + 1}].flat()" for n in range(40)
    ],
    "lists in lists": [f"[formula.f{n + 1}, formula.f{n + 1}]" for n in range(40)],
    "comparisons of lists in lists": [
        *(f"[formula.f{n + 1}, formula.f{n + 1}] == [formula.f2]" for n in range(1)),
        *(f"[formula.f{n + 1}, formula.f{n + 1}]" for n in range(1, 40)),
    ],
    "formulas that ask for each other": ["formula.f1 + 1", "formula.f0 + 1"],
    "maps in maps": [
        "formula.f1.map(formula.f1.map(formula.f1.map(value)))",
        "'aaaaaaaaaa'.repeat(1000).split('')",
    ],
    "long texts": ["'a'.repeat(1000000).split('').join('b').repeat(1000000)"],
    "large numbers": ["9999999999 * 9999999999 * number('9'.repeat(99))"],
    "dates off the calendar": ["date('0001-01-01') - '999999999y'"],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_formulas_end(name):
    formulas = "".join(f'  f{n}: "{text}"\n' for n, text in enumerate(HOSTILE[name]))
    before = time.process_time()
    html = page(f"formulas:\n{formulas}views:\n  - order: [formula.f0]\n")
    assert len(html) < 400_000
    assert time.process_time() - before < 30


def test_comments_in_properties_are_for_the_author_alone():
    note = "---\nauthor: X %%secret%%\nyear: '%%secret%% 1900'\n---\n"
    for type_ in ("table", "cards", "list"):
        html = page(
            f"{BOOKS}views:\n  - type: {type_}\n    order: [author, year]\n"
            "    groupBy: author\n",
            **{"Books/New.md": note},
        )
        assert "1900" in html
        assert "secret" not in html


@pytest.mark.parametrize("views", ["", "views:\n  - filters: 'true'\n"])
def test_too_many_steps_are_said(monkeypatch: pytest.MonkeyPatch, views):
    monkeypatch.setattr(Budget.__init__, "__defaults__", (50,))
    html = page(f"filters: 1 + 1 + 1 + 1\n{views}")
    assert "its expressions take too many steps" in html


def test_a_filter_by_a_formula_means_that_of_its_own_base():
    filter_ = "filters: formula.chosen\nformulas:\n  chosen: "
    others: dict[str, str | bytes] = {
        "other.base": f"{filter_}year == 1965\n".encode(),
        "n.md": "[[other.base]]",
    }
    files: dict[str, str | bytes] = {**FILES, **others, "index.md": "[[all.base]]"}
    files["all.base"] = f"{filter_}year == 1815\n".encode()
    pages = make_site(files).pages
    assert rows(text_of(pages["/all.base"].body)) == [["Emma"]]
    assert rows(text_of(pages["/other.base"].body)) == [["Dune"]]


def test_hostile_properties_are_shown():
    files: dict[str, str | bytes] = {
        "n.md": (
            f"---\nbig: {'9' * 400}\ninf: .inf\nnan: .nan\nset: !!set {{a, b}}\n"
            "bytes: !!binary aGk=\nfirst: 0001-01-01T00:00:00+14:00\n"
            f"deep: {'[' * 30}1{']' * 30}\nmap: {{a: [b, '[[n]]'], 1: c}}\n"
            "raw: <script>alert(1)</script>\nlink: '[[<i>|<b>]]'\n"
            "js: 'javascript:alert(1)'\n---\n"
        ),
        "index.md": "[[x.base]]",
        "x.base": (
            b"formulas:\n  n: big + 1 + inf - nan\n  r: inf.round()\n"
            b"views:\n  - order: [big, inf, nan, set, bytes, first, deep, map, raw, "
            b"link, js, formula.n, formula.r]\n    sort: [big, inf, nan, first, deep]\n"
        ),
    }
    html = text_of(make_site(files).pages["/x.base"].body)
    assert "&lt;script&gt;" in html
    assert "<i>" not in html
    assert 'href="javascript' not in html


@pytest.mark.parametrize(
    ("properties", "formula", "shown"),
    [
        ("x: 1.0e+300", "x.round(15)", str(int(1e300))),
        (f"x: 1{'0' * 299}", "x.round(15)", f"1{'0' * 299}"),
        ("x: 2.345", "x.round(2)", "2.35"),
        ("x: -2.5", "x.round()", "-3"),
        (f"x: {{a: 1{'0' * 400}}}", "x.values()[0] + 1", ""),
        (f"x: {{a: 1{'0' * 400}}}", "x.values()[0].round()", ""),
        (f"x: {{a: 1{'0' * 400}}}", "-x.values()[0]", ""),
        ("x: .nan", "duration('1M') * x", ""),
    ],
)
def test_no_number_is_too_large(properties, formula, shown):
    base = f'formulas:\n  f: "{formula}"\nfilters: file.name == "n"\n'
    note = f"---\n{properties}\n---\n"
    html = page(f"{base}views:\n  - order: [formula.f]\n", **{"n.md": note})
    assert rows(html) == [[shown]]


@pytest.mark.parametrize(
    "formula",
    [
        "x.repeat(1000000)",
        "x.replace('a', x)",
        "x.split('').join(x)",
    ],
)
def test_a_text_that_would_be_too_long_is_never_made(formula):
    text = "a" * 200_000
    evaluator = Evaluator(cast(World, _World(text)), "n.md", {}, Budget())
    evaluator.begin("n.md")
    made = Filter("expression", expression=parse_expression(f"{formula} == 1"))
    tracemalloc.start()
    try:
        assert not evaluator.matches(made)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * len(text)


class _World:
    """All that is asked for in these expressions: one property."""

    def __init__(self, text: str) -> None:
        self._text = text

    def begin(self, row: str, /) -> None:
        pass

    def properties(self, path: str, /) -> dict[str, str]:
        return {"x": self._text}


def test_a_base_that_fails_takes_nothing_else_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    files: dict[str, str | bytes] = {
        **FILES,
        "index.md": "[[all.base]]",
        "all.base": b"filters: file.name.lower() == 'emma'",
    }
    monkeypatch.setattr(functions, "_of_text", mock.Mock(side_effect=ZeroDivisionError))
    broken = make_site(files)
    assert "could not be shown" in text_of(broken.pages["/all.base"].body)
    assert "event=query_failed path='all.base'" in caplog.text
    monkeypatch.undo()
    # It is tried again with the next change, whatever that is of.
    files["Zoo.md"] = "new"
    notes, _, _ = sort_files({"Zoo.md": "new"})
    mended = change_site(broken, 2, {"Zoo.md"}, notes, ())
    assert mended.is_equal_to(make_site(files))
    assert rows(text_of(mended.pages["/all.base"].body)) == [["Emma"]]
    # One that was good fails just as well.
    monkeypatch.setattr(functions, "_of_text", mock.Mock(side_effect=ZeroDivisionError))
    failed = change_site(mended, 3, {"Zoo.md"}, notes, ())
    assert "could not be shown" in text_of(failed.pages["/all.base"].body)


def test_definitions_are_read_once_and_never_raise():
    base = read_base("filters: a\nviews:\n  - name: One\n")
    assert base.problems == ()
    assert base.views[0].columns == ("file.name",)
