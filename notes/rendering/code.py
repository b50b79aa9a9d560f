"""Code: fenced blocks with the colours of their language, as CSS classes."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml, unescapeAll
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_by_name
from pygments.util import ClassNotFound

from notes.bases.definitions import read_base
from notes.rendering.model import Query
from notes.rendering.slots import mark

MAX_BLOCK = 100_000
"""Characters: a longer block stays plain, and so do those after `MAX_NOTE`."""
MAX_NOTE = 400_000
"""Characters of highlighted code in one note."""

_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True)


def pygments_css() -> tuple[str, str]:
    """Return the style sheets for light and for dark, for code in '.highlight'."""
    return _css("default"), _css("github-dark")


def _css(style: str) -> str:
    formatter: HtmlFormatter[str] = HtmlFormatter(style=style)
    return str(formatter.get_style_defs(".highlight"))  # type: ignore[no-untyped-call]


def code(md: MarkdownIt) -> None:
    """Highlight fenced blocks."""
    md.add_render_rule("fence", _render)


@functools.lru_cache(maxsize=512)
def _lexer_class(language: str) -> type[Lexer] | None:
    try:
        return find_lexer_class_by_name(language)
    except ClassNotFound:
        return None


def _highlight(text: str, language: str, env: EnvType) -> str | None:
    """Return *text* as HTML; None when it stays plain."""
    highlighted = env.get("highlighted", 0) + len(text)
    if len(text) > MAX_BLOCK or highlighted > MAX_NOTE:
        return None
    lexer_class = _lexer_class(language) if 0 < len(language) <= 40 else None
    if lexer_class is None:
        return None
    env["highlighted"] = highlighted
    # A lexer of its own: some keep state, and notes are parsed in threads.
    lexer = lexer_class(stripnl=False, ensurenl=False)
    return highlight(text, lexer, _FORMATTER)


def _queries(text: str, env: EnvType) -> str:
    """Return the places of the views of a base that stands in the note itself."""
    base = read_base(text)
    problems: list[str] = env.setdefault("problems", [])
    problems.extend(base.problems)
    if not base.views:
        return "".join(f"<p>{escapeHtml(problem)}</p>\n" for problem in base.problems)
    parts = []
    for number, view in enumerate(base.views):
        problems.extend(view.problems)
        if len(base.views) > 1:
            parts.append(f"<p><strong>{escapeHtml(view.name)}</strong></p>\n")
        parts.append(f'<div title="{mark(env, Query(base, number))}"></div>\n')
    return "".join(parts)


def _render(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    words = unescapeAll(token.info).split()
    language = words[0] if words else ""
    if language.lower() == "mermaid":
        # A drawing, for a script that knows how; its text for who has none.
        pre = token.copy(attrs={**token.attrs})
        pre.attrJoin("class", "mermaid")
        return f"<pre{self.renderAttrs(pre)}>{escapeHtml(token.content)}</pre>\n"
    if language.lower() == "base":
        return _queries(token.content, env)
    html = _highlight(token.content, language.lower(), env)
    pre = token.copy(attrs={**token.attrs})
    if html is not None:
        pre.attrJoin("class", "highlight")
    name = f' class="language-{escapeHtml(language)}"' if language else ""
    body = escapeHtml(token.content) if html is None else html
    return f"<pre{self.renderAttrs(pre)}><code{name}>{body}</code></pre>\n"
