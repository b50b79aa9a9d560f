"""Footnotes: `[^label]` and `^[text]`, with ids that no heading can have."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.footnote.index import footnote_ref

from notes.rendering.slots import ID_MARK

_REFERENCE = re.compile(r"\[\^[^\]\s]{1,200}\]")
# With brackets in it as links have them, in two levels at most: so it gives up at
# the third that is open, however many are.
_INLINE = re.compile(
    r"\^\[((?:[^\[\]\\]|\\.|\[(?:[^\[\]\\]|\\.|\[(?:[^\[\]\\]|\\.)*+\])*+\])++)\]",
    re.DOTALL,
)


def footnotes(md: MarkdownIt) -> None:
    """Read footnotes, and put them at the end."""
    md.use(footnote_plugin, inline=False)
    md.inline.ruler.at("footnote_ref", _parse_reference)
    md.inline.ruler.before("link", "footnote_inline", _parse_inline)
    md.add_render_rule("footnote_ref", _render_reference)
    md.add_render_rule("footnote_block_open", _render_block_open)
    md.add_render_rule("footnote_block_close", _render_block_close)
    md.add_render_rule("footnote_open", _render_open)
    md.add_render_rule("footnote_anchor", _render_backlink)


def _parse_reference(state: StateInline, silent: bool) -> bool:
    # The plugin's own search for the ']' has no end but the text's.
    if state.src[state.pos] != "[" or not _REFERENCE.match(state.src, state.pos):
        return False
    return footnote_ref(state, silent)


def _parse_inline(state: StateInline, silent: bool) -> bool:
    if not state.src.startswith("^[", state.pos) or state.env.get("in_footnote"):
        return False
    match = _INLINE.match(state.src, state.pos, state.posMax)
    if match is None or not match[1].strip():
        return False
    if not silent:
        notes = state.env.setdefault("footnotes", {"refs": {}, "list": {}})["list"]
        number = len(notes)
        tokens: list[Token] = []
        notes[number] = {"content": match[1], "tokens": tokens}
        # No footnote has another: that would be one parser in another for each.
        state.env["in_footnote"] = True
        state.md.inline.parse(match[1].strip(), state.md, state.env, tokens)
        state.env["in_footnote"] = False
        state.push("footnote_ref", "", 0).meta = {"id": number}
    state.pos = match.end()
    return True


def _place(token: Token) -> str:
    """Return what tells this reference to a footnote from the others, as '2:1'."""
    repeat = token.meta.get("subId", 0)
    return f"{token.meta['id'] + 1}" + (f":{repeat}" if repeat else "")


def _render_reference(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    number = token.meta["id"] + 1
    return (
        f'<sup class="footnote-ref" id="fnref:{_place(token)}">'
        f'<a href="#{ID_MARK}fn:{number}" role="doc-noteref">{number}</a></sup>'
    )


def _render_block_open(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    return '<div class="footnotes" role="doc-endnotes" aria-label="Footnotes">\n<ol>\n'


def _render_block_close(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    return "</ol>\n</div>\n"


def _render_open(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    return f'<li id="fn:{tokens[idx].meta["id"] + 1}">'


def _render_backlink(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    label = f"Back to reference {_place(token)}"
    # The second character asks for the arrow as text, not as a picture.
    return (
        f' <a href="#{ID_MARK}fnref:{_place(token)}" class="footnote-backref"'
        f' role="doc-backlink" aria-label="{label}">\u21a9\ufe0e</a>'
    )
