"""Comments: what stands between `%%` and `%%` is for its author alone."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.html_block import HTML_SEQUENCES
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from notes.rendering.enclosed import find_enclosed, go_on_after
from notes.rendering.model import Target
from notes.rendering.slots import target_of

_SIGN = "%%"
_ENCLOSED = re.compile(r"%%(.*?)%%", re.DOTALL)
_UNCLOSED = re.compile(r"^\s*%%.*", re.DOTALL | re.MULTILINE)
# How blocks begin whose own text comes later (quotes and items), or in whose text the
# sign means nothing.
_NO_TEXT = re.compile(
    r">|(?:[-+*]|\d{1,9}[.)])\s|```|~~~|\$\$|<(?:pre|script|style|textarea|!|\?)",
    re.IGNORECASE,
)


def comments(md: MarkdownIt) -> None:
    """Leave comments out; env's 'mentions' are the targets of the links in them."""
    md.block.ruler.before(
        "fence",
        "comment",
        _parse_block,
        {"alt": ["paragraph", "reference", "blockquote", "list"]},
    )
    first = md.block.ruler.get_all_rules()[0]
    md.block.ruler.before(first, "comment_across", _hide_across)
    md.inline.ruler.before("link", "comment", _parse_inline)
    md.core.ruler.before("text_join", "comments", _leave_out)


def _parse_block(state: StateBlock, startLine: int, endLine: int, silent: bool) -> bool:  # noqa: N803
    start = state.bMarks[startLine] + state.tShift[startLine]
    if not state.src.startswith(_SIGN, start) or state.is_code_block(startLine):
        return False
    if state.src.find(_SIGN, start + len(_SIGN), state.eMarks[startLine]) >= 0:
        # It ends on the line: one in a paragraph.
        return False
    if silent:
        return True
    found = find_enclosed(state, _SIGN, startLine, endLine)
    if found.end < 0 and _hide(state, start, startLine, found.last_line + 1):
        # The quote or item that it is in ended before it did.
        state.line = startLine + 1
        return True
    token = state.push("comment", "", 0)
    token.content = found.text
    token.map = [startLine, found.last_line + 1]
    go_on_after(state, found)
    return True


def _hide_across(
    state: StateBlock,
    startLine: int,  # noqa: N803
    endLine: int,  # noqa: N803
    silent: bool,
) -> bool:
    """
    Hide a comment that begins in the midst of a block's text and ends in another one.

    Never parses a block itself: it takes away what the rules after it would see.
    """
    start = state.bMarks[startLine] + state.tShift[startLine]
    if (
        silent
        or not _odd_lines(state)
        or _NO_TEXT.match(state.src, start)
        or state.is_code_block(startLine)
        or _parse_block(state, startLine, endLine, silent=True)
    ):
        return False
    last = _last_line(state, startLine, endLine)
    begins = [state.bMarks[n] + state.tShift[n] for n in range(startLine, last + 1)]
    lines = [
        state.src[begin : state.eMarks[n]]
        for n, begin in enumerate(begins, start=startLine)
    ]
    opened = _find_opened(state.md, "\n".join(lines))
    if opened < 0:
        return False
    for n, (begin, line) in enumerate(zip(begins, lines, strict=True), start=startLine):
        if opened <= len(line):
            _hide(state, begin + opened, n, last + 1)
            break
        opened -= len(line) + 1
    return False


def _odd_lines(state: StateBlock) -> list[int]:
    """
    Return the lines that have an odd number of signs.

    In the others comments end where they begin, so none of those ends one from above.
    """
    found: list[int] | None = state.env.get("odd_lines")
    if found is None:
        found = state.env["odd_lines"] = (
            [n for n, line in enumerate(state.src.split("\n")) if line.count(_SIGN) % 2]
            if _SIGN in state.src
            else []
        )
    return found


def _last_line(state: StateBlock, first: int, end: int) -> int:
    """Return the last line of the paragraph, or heading, that begins at *first*."""
    if state.src.startswith(("#", "[!"), state.bMarks[first] + state.tShift[first]):
        return first  # a heading, or the title of a callout
    # Nothing but an empty line ends the lines of an element.
    start = state.bMarks[first] + state.tShift[first]
    line_text = state.src[start : state.eMarks[first]]
    is_html = any(begin.search(line_text) for begin, _, _ in HTML_SEQUENCES)
    terminators = [] if is_html else state.md.block.ruler.getRules("paragraph")
    was, state.parentType = state.parentType, "paragraph"
    line = first + 1
    while line < end and not state.isEmpty(line):
        is_lazy = state.sCount[line] - state.blkIndent > 3 or state.sCount[line] < 0
        if not is_lazy and any(rule(state, line, end, True) for rule in terminators):
            break
        line += 1
    state.parentType = was
    return line - 1


def _find_opened(md: MarkdownIt, text: str) -> int:
    """Return where in *text* a comment begins that does not end in it, or -1."""
    if _SIGN not in text:
        return -1
    env: dict[str, Any] = {}
    md.inline.parse(text, md, env, [])
    position = int(env.get("opened", -1))
    # A part of the text may have been parsed by itself.
    return position if text.startswith(_SIGN, position) else -1


def _hide(state: StateBlock, begin: int, line: int, search_from: int) -> bool:
    """
    Take what stands from *begin*, in *line*, to the sign that ends it out of sight.

    Returns False when no line from *search_from* on has that sign. Reaches out of the
    quote or item that *line* is in: a sign ends what the last one began.
    """
    odd_lines = _odd_lines(state)
    index = bisect.bisect_left(odd_lines, search_from)
    if index == len(odd_lines):
        return False
    last = odd_lines[index]
    end = state.src.index(_SIGN, state.bMarks[last])
    token = state.push("comment", "", 0)
    token.content = state.src[begin + len(_SIGN) : end]
    # Not by eMarks: a line is taken with the character that follows it.
    unseen = " " * (state.eMarks[line] - begin)
    state.src = state.src[:begin] + unseen + state.src[state.eMarks[line] :]
    for n in range(line + 1, last):
        state.bMarks[n] = state.eMarks[n]
        state.tShift[n] = 0
    rest = min(state.skipSpaces(end + len(_SIGN)), state.eMarks[last])
    state.bMarks[last] = rest
    state.tShift[last] = 0
    state.sCount[last] = state.blkIndent
    return True


def _parse_inline(state: StateInline, silent: bool) -> bool:
    start = state.pos + len(_SIGN)
    if not state.src.startswith(_SIGN, state.pos):
        return False
    end = -1
    if state.html_terminator_last(_SIGN) >= start:
        end = state.src.find(_SIGN, start, state.posMax)
    if end < 0:
        state.env["opened"] = min(state.pos, state.env.get("opened", state.pos))
        return False
    if not silent:
        token = state.push("comment", "", 0)
        token.content = state.src[start:end]
    state.pos = end + len(_SIGN)
    return True


def _leave_out(state: StateCore) -> None:
    if _SIGN not in state.src:
        return
    mentions: list[Target] = state.env.setdefault("mentions", [])
    kept: list[Token] = []
    for token in state.tokens:
        if token.type == "comment":
            mentions.extend(_targets(state.md, token.content))
            continue
        kept.append(token)
        if token.type == "html_block":
            # Its lines are the sanitiser's; what is hidden in them is no less so.
            for match in _ENCLOSED.finditer(token.content):
                mentions.extend(_targets(state.md, match[1]))
            token.content = _UNCLOSED.sub("", _ENCLOSED.sub("", token.content))
        children = token.children
        if children and any(child.type == "comment" for child in children):
            for child in children:
                if child.type == "comment":
                    mentions.extend(_targets(state.md, child.content))
            token.children = _without_comments(children)
            if not token.children and kept[-2].type == "paragraph_open":
                # Its closing token follows, and is found to close nothing.
                del kept[-2:]
    state.tokens = list(_balanced(kept))


def _without_comments(children: Iterable[Token]) -> list[Token]:
    """Return *children* without comments, and without the lines that were theirs."""
    kept: list[Token] = []
    for child in children:
        if child.type == "comment":
            continue
        kept.append(child)
    while kept and _is_blank(kept[-1]):
        kept.pop()
    first = next((n for n, token in enumerate(kept) if not _is_blank(token)), 0)
    return kept[first:]


def _is_blank(token: Token) -> bool:
    return token.type in ("softbreak", "hardbreak") or (
        token.type == "text" and not token.content.strip()
    )


def _balanced(tokens: Iterable[Token]) -> Iterable[Token]:
    """Leave out of *tokens* the ends of paragraphs that do not begin."""
    is_open = False
    for token in tokens:
        if token.type == "paragraph_open":
            is_open = True
        elif token.type == "paragraph_close":
            if not is_open:
                continue
            is_open = False
        yield token


def _targets(md: MarkdownIt, text: str) -> Iterable[Target]:
    """Return what the links and embeds in *text* point at."""
    tokens: list[Token] = []
    # An environment of its own: nothing in a comment counts but its links.
    md.inline.parse(text, md, {}, tokens)
    for token in tokens:
        target = token.meta.get("target")
        if target is None and token.type == "link_open":
            target = target_of(str(token.attrs.get("href", "")))
        if target is not None and target.path:
            yield target
