"""Frontmatter: the YAML between two lines of `---` at the start of a note."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from notes.exceptions import FrontmatterError

if TYPE_CHECKING:
    from yaml import SafeLoader as _SafeLoader
else:  # the C loader is about ten times as fast, and not in every build
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_OPENING = re.compile(r"---[ \t]*\n")
_CLOSING = re.compile(r"^---[ \t]*(?:\n|\Z)", re.MULTILINE)
_UNCLOSED = re.compile(r"---[ \t]*\n[\w-]+[ \t]*:(?:\s|\Z)")
_WITHHOLDING = re.compile(r"^[\"']?(?:publish|draft)[\"']?[ \t]*:", re.I | re.M)
_HEAD = 2000
"""In characters; how far on a frontmatter that never ends is looked at."""
# What PyYAML's constructors let through: a number of 5,000 digits, `!!int ''`,
# `!!timestamp x`, `!!bool x`. They name no line.
_CONSTRUCTOR_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_STRING = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"

MAX_VALUES = 10_000
"""How many values a frontmatter may have once its aliases are expanded."""
MAX_DEPTH = 50
"""How deep lists and mappings may nest; printing or pickling them recurses."""
_MAX_BITS = 13_288
"""Of a number, which are 4,000 digits; Python writes none of over 4,300 as text."""
_SHORT = 5_000
"""In characters; a text of this length cannot nest deep enough to be dangerous."""


class _Loader(_SafeLoader):
    """The safe loader, which keeps as text what only looks like a date."""

    def construct_timestamp(self, node: Any) -> Any:
        try:
            return self.construct_yaml_timestamp(node)
        except ValueError:  # 2024-02-30
            return self.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_timestamp)


def split(source: str) -> tuple[dict[str, Any], str]:
    """
    Return the properties of a note, and the text after its frontmatter.

    *source* has no BOM, and its newlines are '\\n'. Without a frontmatter the
    properties are empty and the text is all of it. The names of properties are
    the words that stand in the file ('on' stays 'on'); values are what YAML makes
    of them: strings, numbers, booleans, dates, lists, mappings.

    Raises:
        FrontmatterError: the YAML is broken, is not a mapping, or never ends.
    """
    opening = _OPENING.match(source)
    if opening is None:
        return {}, source
    closing = _CLOSING.search(source, opening.end())
    if closing is None:
        # Published as text, a `draft: true` whose block was not closed would be
        # out in the open.
        head = source[:_HEAD]
        if _UNCLOSED.match(head) or _WITHHOLDING.search(head):
            raise FrontmatterError("the frontmatter has no closing ---", 1)
        return {}, source
    return load_mapping(source[opening.end() : closing.start()]), source[
        closing.end() :
    ]


def load_mapping(text: str) -> dict[str, Any]:
    """
    Return the mapping that *text*, YAML, is; empty when there is nothing in it.

    Raises:
        FrontmatterError: as `split` does. Lines count from one above the text.
    """
    if not text.strip():
        return {}
    try:
        if len(text) > _SHORT:
            _check_depth(text)
        loader = _Loader(text)
    except yaml.YAMLError as exc:  # also a character that YAML does not allow
        raise _as_frontmatter_error(exc) from exc
    try:
        node = loader.get_single_node()
        if node is None:  # comments only
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise FrontmatterError(
                "the frontmatter is not made of 'name: value'",
                node.start_mark.line + 2,
            )
        names: set[str] = set()
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode) and name.tag != _MERGE:
                name.tag = _STRING
                if name.value in names:  # which of two `draft` is meant?
                    line = name.start_mark.line + 2
                    raise FrontmatterError(f"{name.value!r} stands twice", line)
                names.add(name.value)
        properties = loader.construct_document(node)
    except yaml.YAMLError as exc:
        raise _as_frontmatter_error(exc) from exc
    except _CONSTRUCTOR_ERRORS as exc:
        raise FrontmatterError(f"unreadable value ({_one_line(exc)})", 2) from exc
    finally:
        loader.dispose()
    _check_size(properties)
    return {str(name): value for name, value in properties.items()}


def named(properties: Mapping[str, Any], *names: str) -> Any:
    """
    Return the property of the first of *names* that there is; None without any.

    In upper or lower case, as Obsidian reads 'Tags'; one that is written just so first.
    """
    for name in names:
        if name in properties:
            return properties[name]
        folded = name.casefold()
        for key in properties:
            if key.casefold() == folded:
                return properties[key]
    return None


def _check_depth(text: str) -> None:
    """
    Raise when *text* nests too deep.

    The C loader builds its tree by recursion on the C stack: '- ' 200,000 times
    ends the process, without an exception. Reading events does not recurse.
    """
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 2 if event.start_mark else 2
                raise FrontmatterError(f"values nest over {MAX_DEPTH} deep", line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_size(properties: dict[Any, Any]) -> None:
    """
    Raise when *properties* are too many, too deep or too long numbers.

    Shared ones are counted each time.
    """
    seen = 0
    stack: list[tuple[Any, int]] = [(properties, 0)]
    while stack:
        value, depth = stack.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise FrontmatterError(f"over {MAX_VALUES} values, aliases expanded", 2)
        if depth > MAX_DEPTH:
            raise FrontmatterError(f"values nest over {MAX_DEPTH} deep", 2)
        _check_number(value)
        if isinstance(value, dict):
            for name in value:
                _check_number(name)
            stack.extend((inner, depth + 1) for inner in value.values())
        elif isinstance(value, list | tuple | set):
            stack.extend((inner, depth + 1) for inner in value)


def _check_number(value: Any) -> None:
    """Raise when *value* is a number that cannot be written: '0xff…' may be one."""
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise FrontmatterError("a number of over 4,000 digits", 2)


def _as_frontmatter_error(exc: yaml.YAMLError) -> FrontmatterError:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    reason = getattr(exc, "problem", None) or _one_line(exc)
    # Marks count from 0, and the first line of the file is the opening ---.
    return FrontmatterError(f"broken YAML: {reason}", mark.line + 2 if mark else 2)


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
