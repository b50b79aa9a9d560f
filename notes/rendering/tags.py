"""Tags: `#like/this` in the text, and `tags` in the frontmatter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from notes.addresses import quote, tag_address
from notes.frontmatter import named
from notes.rendering.slots import mark

# No space, no punctuation but '-', '_' and '/'; the ranges are ASCII's, then general
# and CJK punctuation, then the full-width forms.
_TAG = re.compile(
    r"#([^\s!-,.:-@\[-^`{-~\u2000-\u200c\u200e-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20]{1,200})"
)
_SEPARATORS = re.compile(r"[,\s]+")


def tags(md: MarkdownIt) -> None:
    """Read `#tag`; token 'tag'."""
    md.inline.ruler.before("link", "tag", _parse)
    md.add_render_rule("tag", _render)


def _parse(state: StateInline, silent: bool) -> bool:
    src = state.src
    pos = state.pos
    if src[pos] != "#" or (pos and not src[pos - 1].isspace()):
        return False
    match = _TAG.match(src, pos, state.posMax)
    if match is None:
        return False
    name = match[1].strip("/")
    # '#1' is a number of something, not a tag.
    if not name or name.isdecimal() or state.linkLevel:
        return False
    if not silent:
        token = state.push("tag", "", 0)
        token.content = "#" + name
    state.pos += 1 + len(match[1].rstrip("/"))
    return True


def _render(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    text = tokens[idx].content
    env.setdefault("tags", []).append(text[1:])
    place = mark(env, quote(tag_address(text[1:])))
    return f'<a href="{place}" class="tag">{escapeHtml(text)}</a>'


def tags_of(properties: Mapping[str, Any]) -> list[str]:
    """Return the tags in a note's frontmatter, without '#'."""
    found = named(properties, "tags", "tag")
    if isinstance(found, str):
        found = _SEPARATORS.split(found)
    elif not isinstance(found, list):
        found = [found]
    names = (
        str(name).strip().lstrip("#").strip("/") for name in found if name is not None
    )
    return [name for name in names if name]


def without_repeats(names: Iterable[str]) -> tuple[str, ...]:
    """Return *names* in order, each as first written; case does not tell them apart."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.lower(), name)
    return tuple(first.values())
