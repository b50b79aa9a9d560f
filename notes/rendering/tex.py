"""
TeX as the library reads it: environments under names that it knows.

It takes an environment that it does not know for a group, and shows the `&` in it.
"""

from __future__ import annotations

import re

# Nothing is numbered, as in Obsidian.
_SAME = {
    "align": "align*",
    "aligned": "align*",
    "alignat": "align*",
    "alignat*": "align*",
    "alignedat": "align*",
    "split": "align*",
    "dcases": "cases",
    "eqnarray": "array",
    "eqnarray*": "array",
}
_COLUMNS = {"eqnarray": "{rcl}", "eqnarray*": "{rcl}"}
# A group with lines in it is what these are.
_GROUPS = frozenset(
    {"equation", "equation*", "gather", "gather*", "gathered", "multline", "multline*"}
)
_MATRICES = frozenset(
    {f"{side}matrix{star}" for side in ("", *"pbBvV") for star in ("", "*")}
)
_KNOWN = _MATRICES | _GROUPS | {"align*", "array", "cases", "smallmatrix"}

_TOKEN = re.compile(
    # The end of a line, with the room after it
    r"\\\\\*?(?P<room>\s*\[\s*-?[\d.]+\s*[a-z]{2}\s*\])?"
    r"|\\(?P<edge>begin|end)\s*\{(?P<name>[^{}]*)\}"
    # Where it stands, and how many columns there are
    r"(?P<place>\s*\[[tbc]\])?(?P<count>\s*\{\d+\})?"
)

_TEXT = re.compile(r"(\\(?:text|textrm|textnormal|mbox))\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DOLLAR = re.compile(r"(?<!\\)\$")


class UnknownEnvironmentError(Exception):
    """An environment is not known; the text is its name."""


def prepared(tex: str) -> str:
    r"""
    Return *tex* with names that the library knows.

    Raises:
        UnknownEnvironmentError: there is a `\begin` of something else in it.
    """
    return _TOKEN.sub(_replaced, _without_formulas_in_text(tex))


def _without_formulas_in_text(tex: str) -> str:
    r"""Return *tex* with `\text{if $x$}` as `{\text{if }{x}}`: its `$` would be seen."""
    made = ""
    at = 0
    while match := _TEXT.search(tex, at):
        end = _closing(tex, match.end())
        if end < 0:
            break
        parts = _DOLLAR.split(tex[match.end() : end])
        made += tex[at : match.start()]
        at = end + 1
        if len(parts) == 1 or not len(parts) % 2:
            made += tex[match.start() : at]
            continue
        shown = [
            f"{{{part}}}" if place % 2 else f"{match[1]}{{{part}}}"
            for place, part in enumerate(parts)
            if part
        ]
        made += f"{{{''.join(shown)}}}"
    return made + tex[at:]


def _closing(tex: str, start: int) -> int:
    """Return where the brace is closed that ends before *start*, or -1."""
    depth = 1
    for match in _BRACE.finditer(tex, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth:
            return match.start()
    return -1


def _replaced(match: re.Match[str]) -> str:
    edge, name = match["edge"], match["name"]
    if edge is None:
        # Without its room, or as it is: `\\ [x]` is a line and a bracket.
        return r"\\ "
    known = _SAME.get(name, name)
    if known not in _KNOWN:
        raise UnknownEnvironmentError(name)
    count = match["count"] or ""
    if edge == "begin" and name.rstrip("*").endswith("at"):
        count = ""
    if edge == "end":
        return rf"\end{{{known}}}{match['place'] or ''}{count}"
    return rf"\begin{{{known}}}{_COLUMNS.get(name, '')}{count}"
