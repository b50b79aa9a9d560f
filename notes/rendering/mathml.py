"""
MathML of formulas in TeX.

The library's elements are written out here, each by a list of what is allowed: its
own text of them has whatever an author put into a formula in it, unescaped.
"""

from __future__ import annotations

import html
import re
from xml.etree.ElementTree import Element

from latex2mathml.converter import Converter

MAX_LENGTH = 5_000
"""Characters of one formula; the library takes time by the square on some."""

_ELEMENTS = frozenset(
    {"math", "menclose", "merror", "mfrac", "mi", "mmultiscripts", "mn", "mo"}
    | {"mover", "mpadded", "mphantom", "mprescripts", "mroot", "mrow", "ms", "mspace"}
    | {"msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr"}
    | {"munder", "munderover", "none"}
)
_ATTRIBUTES = frozenset(
    {
        "accent",
        "accentunder",
        "columnalign",
        "columnlines",
        "columnspacing",
        "depth",
        "display",
    }
    | {"displaystyle", "fence", "form", "frame", "height", "largeop", "linethickness"}
    | {"lspace", "mathbackground", "mathcolor", "mathsize", "mathvariant", "maxsize"}
    | {"minsize", "movablelimits", "notation", "rowlines", "rowspacing", "rspace"}
    | {"scriptlevel", "separator", "stretchy", "symmetric", "voffset", "width"}
)
# A macro may mean itself, and many of one mean many of another.
_DEFINITION = re.compile(
    r"\\(?:def|let|newcommand|newenvironment|DeclareMathOperator)(?![A-Za-z])"
)
_COMMAND = re.compile(r"\\[A-Za-z]+")


class FormulaError(Exception):
    """A formula cannot be shown as MathML; the text says why."""


def mathml(tex: str, *, is_display: bool) -> str:
    """
    Return *tex* as a `math` element, with its source in it for who copies it.

    Raises:
        FormulaError: there is something in it that would not be shown right.
    """
    if len(tex) > MAX_LENGTH:
        raise FormulaError(f"it is longer than {MAX_LENGTH} characters")
    if definition := _DEFINITION.search(tex):
        raise FormulaError(f"{definition[0]} is not known")
    try:
        element = Converter(
            display="block" if is_display else "inline"
        ).convert_to_element(tex)
    # The library raises what its own code stumbles over, IndexError and the like.
    except Exception as exc:
        raise FormulaError(_reason(exc)) from exc
    body = "".join(_write(child) for child in element)
    display = ' display="block"' if is_display else ""
    source = html.escape(tex, quote=False)
    return (
        f"<math{display}><semantics>{body}"
        f'<annotation encoding="application/x-tex">{source}</annotation>'
        "</semantics></math>"
    )


def _reason(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "it is nested too deep"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(exc).__name__).lower()
    return words.removesuffix(" error")


def _write(element: Element) -> str:
    """Return *element* as HTML, which has no elements that close themselves."""
    if element.tag not in _ELEMENTS:
        raise FormulaError(f"<{element.tag}> is not known")
    # The library writes what is not ASCII, and '<', as references.
    text = html.unescape(element.text or "")
    if command := _COMMAND.search(text):
        raise FormulaError(f"{command[0]} is not known")
    attributes = "".join(
        f' {name}="{html.escape(html.unescape(value))}"'
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES
    )
    side = element.attrib.get("columnalign")
    if side in ("left", "center", "right"):
        # What browsers know of MathML is not how columns are aligned.
        attributes += f' class="align-{side}"'
    body = html.escape(text, quote=False) + "".join(map(_write, element))
    return f"<{element.tag}{attributes}>{body}</{element.tag}>"
