"""Wikilinks and embeds: `[[note#heading|text]]` and `![[image.png|300]]`."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from notes.bases.values import without_comments
from notes.rendering.comments import comments
from notes.rendering.formulas import formulas
from notes.rendering.highlights import highlights
from notes.rendering.media import media_tag, split_size
from notes.rendering.model import Embed, Target
from notes.rendering.slots import mark

# Ends at the next bracket pair of either kind, so that each character is looked at
# by one attempt only, however many of them fail.
_WIKILINK = re.compile(r"!?\[\[((?:[^\[\]\n]|\[(?!\[)|\](?!\]))+)\]\]")
_NOT_IN_CLASS = re.compile(r"[^\w-]+")


def wikilinks(md: MarkdownIt) -> None:
    """
    Read `[[…]]` and `![[…]]`; tokens 'wikilink', 'media' and 'embed'.

    A link with a text of its own is 'wikilink_open', the text, and 'wikilink_close'.
    """
    md.inline.ruler.before("link", "wikilink", _parse)
    md.add_render_rule("wikilink", _render_wikilink)
    md.add_render_rule("wikilink_open", _render_opening)
    md.add_render_rule("wikilink_close", _render_closing)
    md.add_render_rule("media", _render_media)
    md.add_render_rule("embed", _render_embed)


def _parse(state: StateInline, silent: bool) -> bool:
    src = state.src
    pos = state.pos
    if not (src.startswith("[[", pos) or src.startswith("![[", pos)):
        return False
    match = _WIKILINK.match(src, pos, state.posMax)
    if match is None:
        return False
    place, bar, text = match[1].partition("|")
    if bar:
        # Outside of tables nothing has taken the backslash of '\|'.
        place = place.removesuffix("\\")
    path, _, fragment = place.partition("#")
    target = Target(path.strip(), fragment.strip(), True)
    if not target.label:
        return False
    is_embed = src[pos] == "!"
    if silent:
        pass
    elif text.strip() and not is_embed:
        _push_link(state, target, text.strip())
    else:
        _push(state, target, without_comments(text).strip(), is_embed=is_embed)
    state.pos = match.end()
    return True


def _push_link(state: StateInline, target: Target, text: str) -> None:
    state.push("wikilink_open", "a", 1).meta = {"target": target}
    # Not by the notes' own parser: there are no links in a link, and no HTML.
    md = _text_parser()
    tokens: list[Token] = []
    md.inline.parse(text, md, state.env, tokens)
    state.tokens += tokens
    state.tokens_meta += [None] * len(tokens)
    state.push("wikilink_close", "a", -1)


@functools.cache
def _text_parser() -> MarkdownIt:
    """Return the parser of the texts of links."""
    md = MarkdownIt("zero")
    for rule in (highlights, formulas, comments):
        md.use(rule)
    return md.enable(["backticks", "emphasis", "entity", "escape", "strikethrough"])


def _push(state: StateInline, target: Target, text: str, *, is_embed: bool) -> None:
    tag = media_tag(target.path) if is_embed else None
    if tag is not None:
        token = state.push("media", "", 0)
    elif is_embed:
        token = state.push("embed", "", 0)
    else:
        token = state.push("wikilink", "", 0)
    token.content = text or target.label
    token.meta = {"target": target, "text": text}


def _render_wikilink(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    return (
        f'<a href="{mark(env, token.meta["target"])}">{escapeHtml(token.content)}</a>'
    )


def _render_opening(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    return f'<a href="{mark(env, tokens[idx].meta["target"])}">'


def _render_closing(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    return "</a>"


def _render_media(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    target: Target = tokens[idx].meta["target"]
    alt, size = split_size(tokens[idx].meta["text"])
    # The fragment of an image is a class for it, as '#icon'.
    name = _NOT_IN_CLASS.sub("-", target.fragment).strip("-")
    rest = f' class="{escapeHtml(name)}"' if name else ""
    alt = alt or target.path.rpartition("/")[2]
    place = mark(env, target._replace(fragment=""))
    return f'<img src="{place}" alt="{escapeHtml(alt)}"{rest}{size}>'


def _render_embed(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    place = mark(env, Embed(token.meta["target"], token.content))
    return f'<div title="{place}"></div>\n'
