"""Formulas: `$x$` in the text, `$$x$$` displayed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from notes.rendering.enclosed import find_enclosed, go_on_after
from notes.rendering.mathml import FormulaError, mathml
from notes.rendering.model import Formula
from notes.rendering.slots import mark

MAX_NOTE = 200_000
"""Characters of formulas in one note; those after them are shown as code."""

MAX_PROBLEMS = 20
"""In one note; its author looks at it anyway."""

_SIGN = "$$"
# Each ends at the first sign that could end it, or is none: no text is looked at
# twice. A price is no formula.
_INLINE = re.compile(r"\$(?![\s$])((?:[^$\\]|\\.)+)\$(?!\d)", re.DOTALL)
_DISPLAYED = re.compile(r"\$\$((?:[^$\\]|\\.|\$(?!\$))+)\$\$", re.DOTALL)


def formulas(md: MarkdownIt) -> None:
    """Read formulas; tokens 'formula' and 'formula_block'."""
    md.block.ruler.before(
        "fence",
        "formula",
        _parse_block,
        {"alt": ["paragraph", "reference", "blockquote", "list"]},
    )
    md.inline.ruler.before("link", "formula", _parse_inline)
    md.add_render_rule("formula", _render_inline)
    md.add_render_rule("formula_block", _render_block)


def _parse_block(state: StateBlock, startLine: int, endLine: int, silent: bool) -> bool:  # noqa: N803
    start = state.bMarks[startLine] + state.tShift[startLine]
    if not state.src.startswith(_SIGN, start) or state.is_code_block(startLine):
        return False
    found = find_enclosed(state, _SIGN, startLine, endLine)
    if found.end < 0 or not found.text.strip():
        return False
    line = found.last_line
    if line == startLine and state.skipSpaces(found.end) < state.eMarks[line]:
        # There is more on the line: a displayed formula in a paragraph.
        return False
    if silent:
        return True
    token = state.push("formula_block", "div", 0)
    token.content = found.text.strip()
    token.map = [startLine, line + 1]
    go_on_after(state, found)
    return True


def _parse_inline(state: StateInline, silent: bool) -> bool:
    pos = state.pos
    if state.src[pos] != "$" or state.html_terminator_last("$") <= pos:
        return False
    is_display = state.src.startswith(_SIGN, pos)
    pattern = _DISPLAYED if is_display else _INLINE
    match = pattern.match(state.src, pos, state.posMax)
    if match is None or not match[1].strip():
        return False
    if not is_display and match[1][-1].isspace():
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content = match[1].strip()
        token.meta = {"is_display": is_display}
    state.pos = match.end()
    return True


def _convert(tex: str, env: EnvType, *, is_display: bool) -> str | None:
    """Return the mark that stands for *tex*; None, and a problem, for none."""
    length = env["formulas"] = env.get("formulas", 0) + len(tex)
    if length > MAX_NOTE:
        reason = f"the note has more than {MAX_NOTE} characters of formulas"
    else:
        try:
            return mark(env, Formula(mathml(tex, is_display=is_display)))
        except FormulaError as exc:
            reason = str(exc)
    start = " ".join(tex[:60].split())
    problem = f"formula {start!r} is shown as code: {reason}"
    problems: list[str] = env.setdefault("problems", [])
    if len(problems) < MAX_PROBLEMS:
        problems.append(problem)
    return None


def _render_inline(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    is_display = bool(token.meta["is_display"])
    place = _convert(token.content, env, is_display=is_display)
    if place is None:
        return f'<code class="formula">{escapeHtml(token.content)}</code>'
    html = f'<span title="{place}"></span>'
    return f'<span class="formula">{html}</span>' if is_display else html


def _render_block(
    self: RendererHTML,
    tokens: Sequence[Token],
    idx: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[idx]
    attributes = self.renderAttrs(token)
    place = _convert(token.content, env, is_display=True)
    if place is None:
        return (
            f'<pre class="formula"{attributes}>'
            f"<code>{escapeHtml(token.content)}</code></pre>\n"
        )
    return f'<div class="formula"{attributes}><div title="{place}"></div></div>\n'
