"""Letters of mathematics by their style, which browsers no longer make themselves."""

from __future__ import annotations

import functools
import re
import unicodedata

# MathML's name of a style, by Unicode's
_STYLES = {
    "bold": "BOLD",
    "bold-italic": "BOLD ITALIC",
    "double-struck": "DOUBLE-STRUCK",
    "fraktur": "FRAKTUR",
    "bold-fraktur": "BOLD FRAKTUR",
    "script": "SCRIPT",
    "bold-script": "BOLD SCRIPT",
    "sans-serif": "SANS-SERIF",
    "monospace": "MONOSPACE",
}
_NAME = re.compile(r"(?:(?:LATIN|GREEK) (CAPITAL|SMALL) LETTER|(DIGIT)) ([A-Z]+)")


def styled(text: str, style: str) -> str:
    """Return *text* in letters of *style*; those that it lacks stay as they are."""
    return "".join(_letter(char, style) for char in text) if style in _STYLES else text


@functools.lru_cache(maxsize=1024)
def _letter(char: str, style: str) -> str:
    match = _NAME.fullmatch(unicodedata.name(char, ""))
    if match is None:
        return char
    rest = f"{match[1] or match[2]} {match[3]}"
    name = _STYLES[style]
    # Some had their place before the others came: the script B is U+212C. Digits
    # are never italic.
    for wanted in (f"MATHEMATICAL {name} {rest}", f"{name} {rest}"):
        try:
            return unicodedata.lookup(wanted)
        except KeyError:
            continue
    return _letter(char, "bold") if style == "bold-italic" else char
