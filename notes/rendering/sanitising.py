"""Sanitising: which HTML of an author reaches a page."""

from __future__ import annotations

import nh3

_TAGS = (
    {"a", "abbr", "article", "aside", "audio", "b", "bdi", "bdo"}
    | {"blockquote", "br", "caption", "cite", "code", "col", "colgroup", "data"}
    | {"dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption"}
    | {"figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header"}
    | {"hgroup", "hr", "i", "img", "input", "ins", "kbd", "li", "mark", "ol"}
    | {"p", "pre", "q", "rp", "rt", "ruby", "s", "samp", "section", "small"}
    | {"source", "span", "strong", "sub", "summary", "sup", "table", "tbody"}
    | {"td", "tfoot", "th", "thead", "time", "tr", "u", "ul", "var", "video"}
    | {"wbr"}
)
_ATTRIBUTES = {
    "*": {"aria-hidden", "aria-label", "class", "dir", "id", "lang", "role", "title"},
    "a": {"href"},
    "audio": {"controls", "loop", "muted", "preload", "src"},
    "blockquote": {"cite"},
    "col": {"span"},
    "colgroup": {"span"},
    "data": {"value"},
    "del": {"cite", "datetime"},
    "details": {"name", "open"},
    "img": {"alt", "height", "src", "width"},
    "input": {"checked"},
    "ins": {"cite", "datetime"},
    "li": {"value"},
    "ol": {"reversed", "start", "type"},
    "q": {"cite"},
    "source": {"src", "type"},
    "td": {"colspan", "headers", "rowspan"},
    "th": {"abbr", "colspan", "headers", "rowspan", "scope"},
    "time": {"datetime"},
    "video": {"controls", "height", "loop", "muted", "preload", "src", "width"},
}
_WITHOUT_CONTENT = {
    "iframe",
    "math",
    "noembed",
    "noframes",
    "object",
    "script",
    "select",
} | {"style", "svg", "template", "textarea", "title"}
_SCHEMES = (
    {"ftp", "ftps", "geo", "http", "https", "irc", "ircs", "magnet", "mailto"}
    | {"matrix", "news", "obsidian", "sftp", "sip", "sms", "ssh", "tel"}
    | {"webcal", "xmpp", "zotero"}
)


def make_cleaner(id_mark: str = "") -> nh3.Cleaner:
    """
    Return a sanitiser, to be kept and used again, from any thread.

    *id_mark* is put before each id that it lets through.
    """
    return nh3.Cleaner(
        tags=_TAGS,
        clean_content_tags=_WITHOUT_CONTENT,
        attributes=_ATTRIBUTES,
        # An input is a task's box, whatever its author wanted it to be.
        tag_attribute_values={"input": {"type": {"checkbox"}}},
        set_tag_attribute_values={"input": {"disabled": "", "type": "checkbox"}},
        url_schemes=_SCHEMES,
        # No link opens a window of its own, which is what a "noopener" would be for.
        link_rel=None,
        id_prefix=id_mark or None,
    )
