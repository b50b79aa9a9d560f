"""Tasks: an item of a list with a box, which says in words what it shows."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict


def tasks(md: MarkdownIt) -> None:
    """Name the boxes that the parser's option `tasklists` reads."""
    md.add_render_rule("list_item_open", _render_item)


def _render_item(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    item = self.renderToken(tokens, idx, options, env)
    is_done = tokens[idx].meta.get("checked")
    if is_done is None:
        return item
    state = 'aria-label="Done" checked=""' if is_done else 'aria-label="To do"'
    return f'{item}<input class="task-list-item-checkbox" type="checkbox" {state}> '
