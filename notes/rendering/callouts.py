"""
Callouts: quotes that begin with `[!type] title`.

The first line of a quote is looked at by a rule that comes before all others, so that
a list, a table or a heading may follow it, and a title is no part of a paragraph.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore

_HEAD = re.compile(r"\[!([^\]\n]{1,200})\]([+-]?)(?:\s|$)")
_SPACE = re.compile(r"\s+")
_NOT_IN_CLASS = re.compile(r"[^\w-]+")
_LOOKS = {
    **dict.fromkeys(("summary", "tldr"), "abstract"),
    **dict.fromkeys(("hint", "important"), "tip"),
    **dict.fromkeys(("check", "done"), "success"),
    **dict.fromkeys(("help", "faq"), "question"),
    **dict.fromkeys(("caution", "attention"), "warning"),
    **dict.fromkeys(("fail", "missing"), "failure"),
    "error": "danger",
    "cite": "quote",
}
"""Types that look like another; one that the style sheet does not know, as a note."""


def callouts(md: MarkdownIt) -> None:
    """Read callouts: 'blockquote_open' with another tag, and 'callout_title_open'."""
    md.block.ruler.before("table", "callout", _parse_head)
    md.core.ruler.after("block", "callouts", _match_ends)


def _parse_head(state: StateBlock, startLine: int, endLine: int, silent: bool) -> bool:  # noqa: N803
    # What was taken out of sight on this very line stands before it.
    at = -2 if state.tokens and state.tokens[-1].type == "comment" else -1
    quote = state.tokens[at] if len(state.tokens) >= -at else None
    if quote is None or quote.type != "blockquote_open" or silent:
        return False
    end = state.eMarks[startLine]
    start = state.bMarks[startLine] + state.tShift[startLine]
    match = _HEAD.match(state.src, start, end)
    if match is None or state.is_code_block(startLine):
        return False
    fold = match[2]
    quote.tag = "details" if fold else "div"
    if fold == "+":
        quote.attrSet("open", "")
    type_ = _SPACE.sub("-", match[1].partition("|")[0].strip().lower())
    quote.attrSet("class", f"callout {_classes(type_)}")
    opening = state.push("callout_title_open", "summary" if fold else "div", 1)
    opening.attrSet("class", "callout-title")
    title = state.push("inline", "", 0)
    given = state.src[match.end() : end].strip()
    title.content = given or type_.replace("-", " ").capitalize()
    title.map = [startLine, startLine + 1]
    title.children = []
    state.push("callout_title_close", opening.tag, -1)
    state.line = startLine + 1
    if state.line < endLine and state.sCount[state.line] < state.blkIndent:
        # A line without '>' that goes on with what is above, where there is nothing
        # to go on with: it begins the text.
        state.sCount[state.line] = state.blkIndent
    return True


def _classes(type_: str) -> str:
    name = _NOT_IN_CLASS.sub("-", type_).strip("-") or "note"
    look = _LOOKS.get(name)
    return f"callout-{name}" if look is None else f"callout-{look} callout-{name}"


def _match_ends(state: StateCore) -> None:
    """Give the end of each quote the tag that its beginning got."""
    if "[!" not in state.src:
        return
    tags: list[str] = []
    for token in state.tokens:
        if token.type == "blockquote_open":
            tags.append(token.tag)
        elif token.type == "blockquote_close":
            token.tag = tags.pop()
