"""Showing: what a query found, as HTML."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

from notes.bases.querying import Line, Result
from notes.bases.values import (
    WIKILINK,
    File,
    Link,
    file_name,
    is_empty,
    to_text,
    without_comments,
)
from notes.rendering.media import media_tag

Url = Callable[[str], str | None]
"""Tells the URL path of a file that readers can see; None for any other."""
Resolve = Callable[[str, str], str | None]
"""Tells the file that a target means in a note, if readers can see it."""

MAX_CELL = 2_000
"""Characters of a text, and items of a list."""
_WEB = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_FILE_NAMES = frozenset({"file.name", "file.basename", "file.file"})


class Show:
    """Makes the HTML of results."""

    def __init__(self, names: Mapping[str, str], url: Url, resolve: Resolve) -> None:
        """
        Take what columns are called, by property, and what is to know of files.
        """
        self._names = names
        self._url = url
        self._resolve = resolve

    def show(self, result: Result) -> str:
        """Return *result* as HTML."""
        shapes = {"cards": self._cards, "list": self._list}
        shape = shapes.get(result.view.type, self._table)
        body = shape(result) if result.groups else _nothing(result)
        if result.more:
            body += f'<p class="base-note">{result.more} more are not shown.</p>\n'
        problems = "".join(
            f'<p class="base-note">{escape(problem)}</p>\n'
            for problem in result.problems
        )
        return f'<div class="base">\n{body}{problems}</div>\n'

    def _table(self, result: Result) -> str:
        columns = result.view.columns
        head = "".join(f'<th scope="col">{self._name(name)}</th>' for name in columns)
        parts = [
            '<div class="table"><table>\n<thead>\n',
            f"<tr>{head}</tr>\n</thead>\n",
        ]
        for group in result.groups:
            parts.append("<tbody>\n")
            if result.view.group is not None:
                parts.append(
                    f'<tr><th colspan="{len(columns)}" scope="rowgroup">'
                    f"{escape(without_comments(group.name))}</th></tr>\n"
                )
            for line in group.lines:
                cells = "".join(
                    f"<td>{cell}</td>" for _, cell in self._cells(columns, line)
                )
                parts.append(f"<tr>{cells}</tr>\n")
            parts.append("</tbody>\n")
        return "".join((*parts, "</table></div>\n"))

    def _cards(self, result: Result) -> str:
        parts = []
        for group in result.groups:
            if result.view.group is not None:
                parts.append(
                    f'<p class="base-group">{escape(without_comments(group.name))}</p>\n'
                )
            parts.append('<ul class="base-cards">\n')
            for line in group.lines:
                parts.append(f"<li>{self._picture(line)}")
                for name, cell in self._cells(result.view.columns, line):
                    label = "" if name in _FILE_NAMES else f"{self._name(name)}: "
                    if cell:
                        parts.append(f"<p>{label}{cell}</p>")
                parts.append("</li>\n")
            parts.append("</ul>\n")
        return "".join(parts)

    def _list(self, result: Result) -> str:
        parts = []
        for group in result.groups:
            if result.view.group is not None:
                parts.append(
                    f'<p class="base-group">{escape(without_comments(group.name))}</p>\n'
                )
            parts.append("<ul>\n")
            for line in group.lines:
                cells = (cell for _, cell in self._cells(result.view.columns, line))
                parts.append(f"<li>{', '.join(filter(None, cells))}</li>\n")
            parts.append("</ul>\n")
        return "".join(parts)

    def _picture(self, line: Line) -> str:
        value = (
            line.image[0] if isinstance(line.image, list) and line.image else line.image
        )
        path = value.path if isinstance(value, Link | File) else None
        if isinstance(value, str):
            path = self._resolve(value, line.path)
        url = None if path is None else self._url(path)
        if path is None or url is None or media_tag(path) != "img":
            return ""
        return f'<img src="{escape(url)}" alt="" loading="lazy">'

    def _name(self, name: str) -> str:
        """Return what a column is called, as HTML."""
        given = self._names.get(name)
        if given is None:
            given = {"file.name": "Name", "file.file": "File"}.get(
                name, name.partition(".")[2]
            )
        return escape(given)

    def _cells(self, columns: Iterable[str], line: Line) -> Iterable[tuple[str, str]]:
        for name, value in zip(columns, line.cells, strict=True):
            if name in _FILE_NAMES:
                value = Link(to_text(value), "", line.path)
            yield name, self._html(value, line.path)

    def _html(self, value: Any, path: str, depth: int = 0) -> str:
        """Return a value as HTML; '' for none."""
        if is_empty(value):
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, Link):
            return self._link(value)
        if isinstance(value, File):
            return self._link(Link(file_name(value.path), "", value.path))
        if isinstance(value, datetime.date):
            text = to_text(value)
            return f'<time datetime="{text}">{text}</time>'
        if isinstance(value, list) and depth < 2:
            items = (self._html(item, path, depth + 1) for item in value[:MAX_CELL])
            return ", ".join(filter(None, items))
        return self._text(to_text(value), path)

    def _text(self, text: str, path: str) -> str:
        """Return a text with the links in it as links."""
        text = without_comments(text)
        if len(text) > MAX_CELL:
            text = text[:MAX_CELL] + "…"
        if _WEB.fullmatch(text.strip()):
            address = escape(text.strip())
            return f'<a href="{address}">{address}</a>'
        parts = []
        end = 0
        for match in WIKILINK.finditer(text):
            parts.append(escape(text[end : match.start()]))
            target, display = match[1].strip(), (match[3] or "").strip()
            found = self._resolve(target, path) if target else path
            words = display or target or (match[2] or "").removeprefix("#")
            parts.append(self._link(Link(words, "", found)))
            end = match.end()
        return "".join((*parts, escape(text[end:])))

    def _link(self, link: Link) -> str:
        words = escape(without_comments(link.display or link.target))
        url = None if link.path is None else self._url(link.path)
        if url is not None:
            return f'<a href="{escape(url)}">{words}</a>'
        if _WEB.fullmatch(link.target):
            return f'<a href="{escape(link.target)}">{words}</a>'
        return f'<span class="unresolved">{words}</span>'


def _nothing(result: Result) -> str:
    return "" if result.view.is_broken else '<p class="base-note">No results.</p>\n'
