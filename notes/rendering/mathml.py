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

from notes.rendering.letters import styled
from notes.rendering.tex import UnknownEnvironmentError, prepared

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
_NO_LIMITS = re.compile(r"\\nolimits(?![A-Za-z])")
# What stands below and above such a sign, where the formula is displayed
_SIGNS = frozenset("∏∐∑⋀⋁⋂⋃⨀⨁⨂⨄⨆")
_WORDS = frozenset(
    {"det", "gcd", "inf", "lim", "max", "min", "Pr", "sup"}
    | {f"lim {end}" for end in ("inf", "sup")}
)
_UNDER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
_FENCES = {r"\{": "{", r"\}": "}", r"\|": "‖"}
_WIDTHS = {"negativethinmathspace": "-0.167em"}


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
        ).convert_to_element(prepared(tex))
    except UnknownEnvironmentError as exc:
        raise FormulaError(f"the environment {exc} is not known") from exc
    # The library raises what its own code stumbles over, IndexError and the like.
    except Exception as exc:
        raise FormulaError(_reason(exc)) from exc
    if not _NO_LIMITS.search(tex):
        _move_limits(element)
    _rule(element)
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


def _move_limits(root: Element) -> None:
    """Put under and over signs what the library puts beside most of them."""
    for element in root.iter():
        if element.tag not in _UNDER or not len(element):
            continue
        sign = element[0]
        text = _text(sign)
        # The library has thin spaces in its words.
        words = " ".join(text.split())
        if (
            sign.tag in ("mi", "mo")
            and not len(sign)
            and (text in _SIGNS or words in _WORDS or "movablelimits" in sign.attrib)
        ):
            sign.tag = "mo"
            # In a line of text, browsers put them beside it.
            sign.attrib["movablelimits"] = "true"
            element.tag = _UNDER[element.tag]


def _rule(root: Element) -> None:
    """Say of cells and rows which have a line after them: browsers ask only these."""
    for table in root.iter("mtable"):
        rows = list(table)
        _mark(rows, table.attrib.get("rowlines", ""))
        for row in rows:
            _mark(list(row), table.attrib.get("columnlines", ""))


def _mark(elements: list[Element], lines: str) -> None:
    """Mark those that a line follows; the last word of *lines* is that of the rest."""
    words = lines.split()
    for place, element in enumerate(elements[:-1] if words else ()):
        if words[min(place, len(words) - 1)] != "none":
            element.attrib["line"] = "solid"


def _classes(element: Element) -> list[str]:
    """Return the classes of cells and rows, by which the style sheet does the rest."""
    found = []
    side = element.attrib.get("columnalign")
    if side in ("left", "center", "right"):
        found.append(f"align-{side}")
    if "line" in element.attrib:
        found.append("lined")
    return found


def _text(element: Element) -> str:
    """Return its text: the library writes what is not ASCII, and '<', as references."""
    return html.unescape(element.text or "")


def _write(element: Element) -> str:
    """Return *element* as HTML, which has no elements that close themselves."""
    if element.tag not in _ELEMENTS:
        raise FormulaError(f"<{element.tag}> is not known")
    if element.text == "&":  # one that is meant is a reference
        raise FormulaError("& is in no table")
    text = _text(element)
    text = _FENCES.get(text, text)
    if command := _COMMAND.search(text):
        raise FormulaError(f"{command[0]} is not known")
    tag = element.tag
    known = {
        name: _WIDTHS.get(value := html.unescape(raw), value)
        for name, raw in element.attrib.items()
        if name in _ATTRIBUTES
    }
    style = known.get("mathvariant", "")
    if tag != "mtext" and style and style != "normal":
        text = styled(text, style)
        del known["mathvariant"]
    attributes = "".join(
        f' {name}="{html.escape(value)}"' for name, value in known.items()
    )
    if tag == "mi" and text.isascii() and len(text) == 1 and element.text != text:
        # As a reference it is meant to be upright, which one letter is not by itself.
        attributes += ' mathvariant="normal"'
    if classes := _classes(element):
        attributes += f' class="{" ".join(classes)}"'
    if tag == "mrow" and any(_is_line_end(child) for child in element):
        return _write_lines(element)
    if tag == "mo" and len(element):
        # A formula that is used as a sign; the element takes text only.
        tag = "mrow"
    body = html.escape(text, quote=False) + "".join(map(_write, element))
    return f"<{tag}{attributes}>{body}</{tag}>"


def _is_line_end(element: Element) -> bool:
    return element.tag == "mspace" and element.attrib.get("linebreak") == "newline"


def _write_lines(element: Element) -> str:
    """Return a table of what is between the ends of lines, which browsers ignore."""
    lines = [""]
    for child in element:
        if _is_line_end(child):
            lines.append("")
        else:
            lines[-1] += _write(child)
    if not lines[-1]:
        lines.pop()
    rows = "".join(f"<mtr><mtd>{line}</mtd></mtr>" for line in lines)
    return f'<mtable displaystyle="true">{rows}</mtable>'
