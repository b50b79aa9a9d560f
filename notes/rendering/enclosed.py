"""Enclosed blocks: lines between two signs, each of which may stand beside text."""

from __future__ import annotations

from typing import NamedTuple

from markdown_it.rules_block import StateBlock


class Enclosed(NamedTuple):
    """
    What stands between a sign and the next one of its kind.

    Attributes:
        text: without the signs, lines without what is around their block.
        last_line: the line that the second sign is in.
        end: the position after the second sign, -1 when there is none.
    """

    text: str
    last_line: int
    end: int


def find_enclosed(
    state: StateBlock, sign: str, first_line: int, end_line: int
) -> Enclosed:
    """Return what the *sign* at the start of *first_line* begins."""
    line = first_line
    begin = state.bMarks[line] + state.tShift[line] + len(sign)
    lines: list[str] = []
    while True:
        end = state.src.find(sign, begin, state.eMarks[line])
        lines.append(state.src[begin : state.eMarks[line] if end < 0 else end])
        if end >= 0:
            return Enclosed("\n".join(lines), line, end + len(sign))
        line += 1
        # A line that is outdented ends what is around this block.
        if line >= end_line or (
            state.sCount[line] < state.blkIndent and not state.isEmpty(line)
        ):
            return Enclosed("\n".join(lines), line - 1, -1)
        begin = state.bMarks[line] + state.tShift[line]


def go_on_after(state: StateBlock, enclosed: Enclosed) -> None:
    """Let the parser go on after *enclosed*, on its last line if there is more."""
    line = enclosed.last_line
    state.line = line + 1
    if enclosed.end < 0:
        return
    rest = state.skipSpaces(enclosed.end)
    if rest < state.eMarks[line]:
        state.bMarks[line] = rest
        state.tShift[line] = 0
        state.sCount[line] = state.blkIndent
        state.line = line
