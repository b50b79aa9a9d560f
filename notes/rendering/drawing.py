"""
Drawing: a board as SVG, with HTML in its cards.

What is drawn is in the order of reading, and the connections are a list too, for
those who cannot see arrows. Places are attributes of SVG, which the policy of pages
allows where it forbids styles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from notes.rendering.model import BoardEdge, BoardNode

_MARGIN = 40
_ARROW = 12
_BEND = 80
"""Pixels that an edge goes straight on, at most, before it turns."""
_OUT = {"top": (0, -1), "right": (1, 0), "bottom": (0, 1), "left": (-1, 0)}


class Card(NamedTuple):
    """
    A node that is shown.

    Attributes:
        label: what it is called, as text.
        body: HTML that stands in it; '' for a group.
        has_link: whether the keyboard comes to it by a link in the body.
    """

    node: BoardNode
    label: str
    body: str
    has_link: bool


def draw(
    title: str, cards: Sequence[Card], edges: Iterable[BoardEdge], left_out: int
) -> str:
    """
    Return the figure of a board.

    Args:
        left_out: how many cards could not be shown, because the page would be too
            large.
    """
    if not cards:
        return '<p class="canvas-empty">This canvas is empty.</p>\n'
    shown = {card.node.id: card for card in cards}
    edges = [edge for edge in edges if edge.start in shown and edge.end in shown]
    left = min(card.node.x for card in cards) - _MARGIN
    top = min(card.node.y for card in cards) - _MARGIN
    width = max(card.node.x + card.node.width for card in cards) + _MARGIN - left
    height = max(card.node.y + card.node.height for card in cards) + _MARGIN - top
    groups = [card for card in cards if card.node.kind == "group"]
    others = [card for card in cards if card.node.kind != "group"]
    name = escape(title)
    parts = [
        '<figure class="canvas">',
        f'<div class="canvas-view" role="group" tabindex="0" aria-label="{name}">',
        f'<svg width="{width}" height="{height}" '
        f'viewBox="{left} {top} {width} {height}">\n',
        *map(_group, groups),
        *(_line(edge, shown) for edge in edges),
        *map(_card, others),
        "</svg></div>\n",
        _connections(edges, shown),
    ]
    if left_out:
        parts.append(
            f'<p class="canvas-problem">{left_out} more cards are not shown.</p>\n'
        )
    parts.append("</figure>\n")
    return "".join(parts)


def _paint(kind: str, color: str, painted: str) -> str:
    """Return the attributes of the class and of a colour that is no preset."""
    if color.startswith("#"):
        return f' class="{kind}" {painted}="{color}"'
    preset = f" canvas-color-{color}" if color else ""
    return f' class="{kind}{preset}"'


def _box(node: BoardNode) -> str:
    return f'x="{node.x}" y="{node.y}" width="{node.width}" height="{node.height}"'


def _group(card: Card) -> str:
    node = card.node
    label = (
        f'<text x="{node.x + 8}" y="{node.y - 8}">{escape(card.label)}</text>'
        if card.label
        else ""
    )
    rect = f'<rect {_box(node)} rx="8"/>'
    return f"<g{_paint('canvas-group', node.color, 'stroke')}>{rect}{label}</g>\n"


def _card(card: Card) -> str:
    node = card.node
    reach = "" if card.has_link else ' tabindex="0"'
    label = escape(card.label or "Card")
    return (
        f"<g{_paint('canvas-node', node.color, 'stroke')}>"
        f'<rect {_box(node)} rx="8"/>'
        f"<foreignObject {_box(node)}>"
        f'<div class="canvas-card canvas-{node.kind}" role="group"'
        f' aria-label="{label}"{reach}>\n'
        f"{card.body}</div></foreignObject></g>\n"
    )


def _line(edge: BoardEdge, cards: Mapping[str, Card]) -> str:
    start, end = cards[edge.start].node, cards[edge.end].node
    start_side, end_side = _sides(edge, start, end)
    x1, y1 = _anchor(start, start_side)
    x2, y2 = _anchor(end, end_side)
    bend = min(_BEND, max(abs(x2 - x1), abs(y2 - y1)) // 2 + 10)
    dx1, dy1 = _OUT[start_side]
    dx2, dy2 = _OUT[end_side]
    path = (
        f"M{x1} {y1}C{x1 + dx1 * bend} {y1 + dy1 * bend} "
        f"{x2 + dx2 * bend} {y2 + dy2 * bend} {x2} {y2}"
    )
    arrows = ""
    if edge.has_end_arrow:
        arrows += _arrow(x2, y2, dx2, dy2)
    if edge.has_start_arrow:
        arrows += _arrow(x1, y1, dx1, dy1)
    label = (
        f'<text x="{(x1 + x2) // 2}" y="{(y1 + y2) // 2}" text-anchor="middle">'
        f"{escape(edge.label)}</text>"
        if edge.label
        else ""
    )
    # The list of connections says the same in words.
    return (
        f"<g{_paint('canvas-edge', edge.color, 'stroke')} aria-hidden="
        f'"true"><path d="{path}"/>{arrows}{label}</g>\n'
    )


def _sides(edge: BoardEdge, start: BoardNode, end: BoardNode) -> tuple[str, str]:
    """Return where an edge leaves and arrives; by where the nodes lie, if not said."""
    across = (end.x + end.width // 2) - (start.x + start.width // 2)
    down = (end.y + end.height // 2) - (start.y + start.height // 2)
    if abs(across) >= abs(down):
        likely = ("right", "left") if across >= 0 else ("left", "right")
    else:
        likely = ("bottom", "top") if down >= 0 else ("top", "bottom")
    return edge.start_side or likely[0], edge.end_side or likely[1]


def _anchor(node: BoardNode, side: str) -> tuple[int, int]:
    dx, dy = _OUT[side]
    return (
        node.x + node.width * (1 + dx) // 2,
        node.y + node.height * (1 + dy) // 2,
    )


def _arrow(x: int, y: int, dx: int, dy: int) -> str:
    """Return the head of an arrow that comes to *x*, *y* from the side *dx*, *dy*."""
    half = _ARROW // 2
    back_x, back_y = x + dx * _ARROW, y + dy * _ARROW
    return (
        f'<path class="canvas-arrow" d="M{x} {y}'
        f"L{back_x + dy * half} {back_y + dx * half}"
        f'L{back_x - dy * half} {back_y - dx * half}Z"/>'
    )


def _connections(edges: Sequence[BoardEdge], cards: Mapping[str, Card]) -> str:
    if not edges:
        return ""
    items = "".join(
        f"<li>{_name(cards[edge.start])} {_sign(edge)} {_name(cards[edge.end])}"
        f"{f': {escape(edge.label)}' if edge.label else ''}</li>\n"
        for edge in edges
    )
    return (
        '<details class="canvas-edges"><summary>Connections</summary>\n'
        f"<ul>\n{items}</ul></details>\n"
    )


def _name(card: Card) -> str:
    return escape(card.label or "a card")


def _sign(edge: BoardEdge) -> str:
    if edge.has_start_arrow and edge.has_end_arrow:
        return "↔"
    if edge.has_end_arrow:
        return "→"
    return "←" if edge.has_start_arrow else "–"
