"""Images of Markdown: `![alt|300](path)`."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from notes.rendering.media import split_size
from notes.rendering.plain import plain_text
from notes.rendering.slots import mark


def images(md: MarkdownIt) -> None:
    """Take sizes from the alternative text; let images be in the page itself."""
    md.add_render_rule("image", _render)


def _render(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    src = escapeHtml(str(token.attrs.get("src", "")))
    if src[:5].lower() == "data:":
        # As a scheme it would be allowed in links too; the parser lets pictures
        # through and nothing else.
        src = mark(env, src)
    alt, size = split_size(plain_text(token.children))
    title = token.attrs.get("title")
    rest = f' title="{escapeHtml(str(title))}"' if title else ""
    return f'<img src="{src}" alt="{escapeHtml(alt)}"{rest}{size}>'
