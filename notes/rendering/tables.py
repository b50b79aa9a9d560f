"""Tables: in a box that scrolls, and aligned by classes, which a strict CSP allows."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict


def tables(md: MarkdownIt) -> None:
    """Read tables."""
    md.enable("table")
    md.add_render_rule("table_open", _render_open)
    md.add_render_rule("table_close", _render_close)
    md.add_render_rule("th_open", _render_cell)
    md.add_render_rule("td_open", _render_cell)


def _render_open(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    return f'<div class="table"><table{self.renderAttrs(tokens[idx])}>\n'


def _render_close(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    return "</table></div>\n"


def _render_cell(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    style = token.attrs.get("style")
    if not style:
        return f"<{token.tag}>"
    return f'<{token.tag} class="align-{str(style).removeprefix("text-align:")}">'
