"""notes.frontmatter: properties and text, or one line that says what is wrong."""

from __future__ import annotations

import contextlib
import pickle
from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notes.exceptions import FrontmatterError
from notes.frontmatter import split


@pytest.mark.parametrize(
    ("source", "properties", "body"),
    [
        ("", {}, ""),
        ("text\n", {}, "text\n"),
        ("---\n---\n", {}, ""),
        ("---\n---", {}, ""),
        ("---\n\n---\ntext", {}, "text"),
        ("---\n# a comment\n---\ntext", {}, "text"),
        ("---\ntitle: A\n---\n\ntext\n", {"title": "A"}, "\ntext\n"),
        ("---\t \ntitle: A\n--- \ntext", {"title": "A"}, "text"),
        ("---\na: 1\n---\n---\nb: 2\n---\n", {"a": 1}, "---\nb: 2\n---\n"),
        # A rule, not a frontmatter: not at the start, longer, or never closed.
        ("\n---\na: 1\n---\n", {}, "\n---\na: 1\n---\n"),
        ("----\na: 1\n---\n", {}, "----\na: 1\n---\n"),
        ("---\n\ntext\n", {}, "---\n\ntext\n"),
        ("---", {}, "---"),
    ],
)
def test_split_takes_the_frontmatter_off(source, properties, body):
    assert split(source) == (properties, body)


@pytest.mark.parametrize(
    ("yaml", "properties"),
    [
        ("tags: [a, b]", {"tags": ["a", "b"]}),
        ("tags:\n- a\n- b", {"tags": ["a", "b"]}),
        ("a: {b: {c: 1}}", {"a": {"b": {"c": 1}}}),
        ("date: 2024-02-29", {"date": date(2024, 2, 29)}),
        ("date: 2024-02-30", {"date": "2024-02-30"}),
        (
            "date: 2024-01-02T03:04:05Z",
            {"date": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)},
        ),
        ("publish: no", {"publish": False}),
        ("empty:", {"empty": None}),
        (
            "on: 1\n2024: 2\nnull: 3\n2024-01-01: 4",
            {"on": 1, "2024": 2, "null": 3, "2024-01-01": 4},
        ),
        ("base: &b {a: 1}\nother: *b", {"base": {"a": 1}, "other": {"a": 1}}),
        ("<<: {a: 1}\nb: 2", {"a": 1, "b": 2}),
        ("title: 标题 😀 é", {"title": "标题 😀 é"}),
        ("a: 1\n...", {"a": 1}),
    ],
)
def test_values_are_what_yaml_makes_of_them(yaml, properties):
    assert split(f"---\n{yaml}\n---\n") == (properties, "")


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        (
            "a: 1\nb: c: d",
            "line 3: broken YAML: mapping values are not allowed in this context",
        ),
        ("a: [1", "line 3: broken YAML: did not find expected ',' or ']'"),
        ("title: {{title}}", "line 2: broken YAML: found unhashable key"),
        (
            "a: !!python/object:os.system {}",
            "line 2: broken YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system'",
        ),
        ("text", "line 2: the frontmatter is not made of 'name: value'"),
        ("- a\n- b", "line 2: the frontmatter is not made of 'name: value'"),
        ("draft: true\na: 1\ndraft: false", "line 4: 'draft' stands twice"),
        ("a: !!int ''", "line 2: unreadable value (string index out of range)"),
        # Neither can be written as text: Python's limit is for those in tens alone.
        ("a: 0x" + "f" * 3600, "line 2: a number of over 4,000 digits"),
        ("a: {? 0x" + "f" * 3600 + " : 1}", "line 2: a number of over 4,000 digits"),
        ("a: &a [*a]", "line 2: values nest over 50 deep"),
        ("a: " + "[" * 99 + "]" * 99, "line 2: values nest over 50 deep"),
        # Longer than libyaml's own recursion can take: without a look at it
        # first, these end the process.
        ("a: " + "[" * 200_000, "line 2: values nest over 50 deep"),
        ("a:\n " + "- " * 200_000, "line 3: values nest over 50 deep"),
        ("? " * 200_000, "line 2: values nest over 50 deep"),
        (
            "a: &a [1,2,3,4,5,6,7,8,9,0]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
            "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]",
            "line 2: over 10000 values, aliases expanded",
        ),
    ],
    ids=lambda value: f"{len(value)}-{value[:12]}",
)
def test_split_says_what_is_wrong_and_where(yaml, message):
    with pytest.raises(FrontmatterError) as caught:
        split(f"---\n{yaml}\n---\n")

    assert str(caught.value) == message


def test_a_control_character_is_one_line():
    with pytest.raises(FrontmatterError, match=r"\Aline 2: broken YAML: [^\n]*\Z"):
        split("---\na: \0\n---\n")


@pytest.mark.parametrize(
    "source",
    [
        "---\ndraft: true\n",
        "---\npublish :\n- no\ntext",
        "---\n\nDraft: true\ntext",
        "---\n# my note\n'publish': no\n----\ntext",
    ],
)
def test_a_frontmatter_that_is_never_closed_is_not_taken_for_text(source):
    with pytest.raises(FrontmatterError) as caught:
        split(source)

    assert str(caught.value) == "line 1: the frontmatter has no closing ---"


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(alphabet="ab:-[]{}*&!?|>'\"#%@,.0 9\n\té\0\x85", max_size=60))
@example("a: !!timestamp x")
@example("a: !!bool x")
@example("a: " + "9" * 5000)
@example("a: !!binary é")
@example("a: 2024-01-01T00:00:00+99:99")
def test_split_raises_nothing_else_and_its_result_can_be_pickled(yaml):
    source = f"---\n{yaml}\n---\nbody"
    with contextlib.suppress(FrontmatterError):
        properties, body = split(source)

        assert source.endswith(body)
        assert body.endswith("body")
        assert all(isinstance(name, str) for name in properties)
        assert len(pickle.loads(pickle.dumps(properties))) == len(properties)  # noqa: S301
