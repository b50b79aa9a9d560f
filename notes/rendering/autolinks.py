"""
Autolinks: web and mail addresses in the text, as GitHub's Markdown has them.

Written here because the libraries at hand take time by the square of the text on
some inputs ('a:' or '://' by the thousand): each attempt looks through all the text
before it.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.common.utils import isLinkClose, isLinkOpen
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

# Bounded, and each begins where no other can: no text is looked at twice. Full-width
# punctuation ends an address, since no space does in the scripts that use it.
_END = r"[^\s<\u3000-\u303f\uff00-\uff20\u201c\u201d]{1,2000}"
_ADDRESS = re.compile(
    r"(?<![^\s*_~(\u3000-\u303f\uff00-\uff20\u4e00-\u9fff])"
    rf"(?:(?:(?:https?|ftp)://(?=\w)|www\.(?=[\w-]+\.)){_END}"
    r"|(?P<mail>(?:mailto:)?[A-Za-z0-9._+-]{1,64}"
    r"@[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){1,10}))"
)
_ENTITY = re.compile(r"&[A-Za-z0-9]{1,32};$")


def autolinks(md: MarkdownIt) -> None:
    """Link addresses that stand in the text."""
    md.core.ruler.before("text_join", "autolinks", _link_all)


def _link_all(state: StateCore) -> None:
    for token in state.tokens:
        content = token.content
        if token.type == "inline" and (
            "://" in content or "www." in content or "@" in content
        ):
            token.children = _link(state.md, token.children or [])


def _link(md: MarkdownIt, children: list[Token]) -> list[Token]:
    """Return *children* with the addresses in their texts as links."""
    linked: list[Token] = []
    depth = 0
    for number, token in enumerate(children):
        if token.type == "link_open":
            depth += 1
        elif token.type == "link_close":
            depth -= 1
        elif token.type == "html_inline":
            if isLinkOpen(token.content):
                depth += 1
            elif isLinkClose(token.content):
                depth = max(0, depth - 1)
        elif token.type == "text" and not depth:
            # 'http\://…' is how an author says that it is no link.
            follows_escape = number and children[number - 1].type == "text_special"
            linked.extend(_split(md, token, follows_escape=bool(follows_escape)))
            continue
        linked.append(token)
    return linked


def _split(md: MarkdownIt, token: Token, *, follows_escape: bool) -> list[Token]:
    text = token.content
    tokens: list[Token] = []
    end = 0
    for match in _ADDRESS.finditer(text):
        if follows_escape and match.start() == 0:
            continue
        address = match[0]
        if match["mail"]:
            if address[-1] in "-_":
                continue
            url = address if address.startswith("mailto:") else "mailto:" + address
        else:
            address = _trim(address)
            url = "http://" + address if address.startswith("www.") else address
        url = md.normalizeLink(url)
        if not md.validateLink(url):
            continue
        tokens.append(token.copy(content=text[end : match.start()]))
        opening = Token("link_open", "a", 1, level=token.level, info="auto")
        opening.attrs = {"href": url}
        shown = token.copy(content=address, level=token.level + 1)
        closing = Token("link_close", "a", -1, level=token.level, info="auto")
        tokens += [opening, shown, closing]
        end = match.start() + len(address)
    if not tokens:
        return [token]
    tokens.append(token.copy(content=text[end:]))
    return tokens


def _trim(address: str) -> str:
    """Return *address* without what belongs to the sentence around it."""
    while True:
        last = address[-1]
        if last in "?!.,:*_~'\"[]" or (
            last == ")" and address.count(")") > address.count("(")
        ):
            address = address[:-1]
        elif last == ";":
            entity = _ENTITY.search(address)
            address = address[: entity.start()] if entity else address[:-1]
        else:
            return address
