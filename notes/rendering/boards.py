"""Boards: canvas files, as JSON Canvas 1.0 has them, to what can be drawn."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from posixpath import basename
from typing import Any

from notes.rendering.model import Board, BoardEdge, BoardNode, ParsedNote, Target
from notes.sources import NoteSource

MAX_NODES = 1_000
MAX_EDGES = 4_000
_MAX_PLACE = 1_000_000
"""Pixels from the middle; what lies further out is drawn at the edge."""
_MAX_SIZE = 20_000
_MAX_LABEL = 200
"""Characters; a longer label is cut."""

_SIDES = frozenset({"top", "right", "bottom", "left"})
_PRESET = re.compile(r"[1-6]")
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")

ParseText = Callable[[NoteSource], ParsedNote]


def parse_board(source: NoteSource, parse_text: ParseText) -> ParsedNote:
    """
    Return the canvas in *source* parsed; its only piece is the board.

    Never raises: of what is not as the format says, that much is left out, and named
    in the problems.

    Args:
        parse_text: parses the text of a card, which is Markdown.
    """
    problems: list[str] = []
    nodes, edges = _read(source.body, problems)
    board_nodes = _nodes(source, nodes, parse_text, problems)
    known = {node.id for node in board_nodes}
    board_edges = tuple(
        edge for edge in map(_edge, edges) if {edge.start, edge.end} <= known
    )
    return ParsedNote(
        path=source.path,
        title=basename(source.path).rpartition(".")[0],
        title_anchor="",
        headings=(),
        tags=(),
        excerpt=_excerpt(board_nodes),
        pieces=(Board(board_nodes, board_edges, tuple(problems)),),
        ids={},
        sections={},
        problems=tuple(problems),
    )


def _read(text: str, problems: list[str]) -> tuple[list[Any], list[Any]]:
    """Return the nodes and edges that *text* lists."""
    if not text.strip():
        # A canvas that was made and never drawn on.
        return [], []
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        problems.append("The file is not JSON, and nothing of it can be shown.")
        return [], []
    if not isinstance(document, dict):
        problems.append("The file is no canvas: it holds no nodes.")
        return [], []
    found = []
    for name, limit in (("nodes", MAX_NODES), ("edges", MAX_EDGES)):
        items = document.get(name)
        items = items if isinstance(items, list) else []
        if len(items) > limit:
            problems.append(f"Only the first {limit} of {len(items)} {name} are shown.")
        found.append([item for item in items[:limit] if isinstance(item, dict)])
    return found[0], found[1]


def _nodes(
    source: NoteSource,
    nodes: Iterable[Mapping[str, Any]],
    parse_text: ParseText,
    problems: list[str],
) -> tuple[BoardNode, ...]:
    """Return *nodes* in the order of reading: groups, then downwards, then across."""
    found: dict[str, BoardNode] = {}
    for node in nodes:
        kind = node.get("type")
        if kind not in ("text", "file", "link", "group"):
            problem = f"Cards of the type {_text(kind)!r} are not shown."
            if problem not in problems:
                problems.append(problem)
            continue
        text = target = None
        label = ""
        if kind == "text":
            body = str(node.get("text") or "")
            text = parse_text(NoteSource(source.path, {}, body, "", source.modified_at))
            label = text.headings[0].text if text.headings else text.excerpt
        elif kind == "file":
            fragment = str(node.get("subpath") or "").removeprefix("#")
            target = Target(f"/{node.get('file') or ''}", fragment, True)
            label = basename(target.path)
        else:
            label = _text(node.get("url" if kind == "link" else "label"))
        made = BoardNode(
            id=str(node.get("id")),
            kind=kind,
            x=_number(node.get("x"), _MAX_PLACE),
            y=_number(node.get("y"), _MAX_PLACE),
            width=max(_number(node.get("width"), _MAX_SIZE), 20),
            height=max(_number(node.get("height"), _MAX_SIZE), 20),
            color=_color(node.get("color")),
            label=label if kind == "link" else label[:_MAX_LABEL],
            target=target,
            text=text,
        )
        found.setdefault(made.id, made)
    return tuple(
        sorted(found.values(), key=lambda n: (n.kind != "group", n.y, n.x, n.id))
    )


def _edge(edge: Mapping[str, Any]) -> BoardEdge:
    from_side, to_side = edge.get("fromSide"), edge.get("toSide")
    return BoardEdge(
        start=str(edge.get("fromNode")),
        end=str(edge.get("toNode")),
        start_side=from_side if from_side in _SIDES else "",
        end_side=to_side if to_side in _SIDES else "",
        has_start_arrow=edge.get("fromEnd") == "arrow",
        has_end_arrow=edge.get("toEnd", "arrow") == "arrow",
        color=_color(edge.get("color")),
        label=_text(edge.get("label"))[:_MAX_LABEL],
    )


def _excerpt(nodes: Iterable[BoardNode]) -> str:
    """Return how the first card with text begins."""
    return next((n.text.excerpt for n in nodes if n.text and n.text.excerpt), "")


def _text(value: Any) -> str:
    return " ".join(str("" if value is None else value).split())


def _number(value: Any, limit: int) -> int:
    """Return *value* as a whole number of pixels between -*limit* and *limit*."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if isinstance(value, float) and not math.isfinite(value):
        return 0
    return round(min(max(value, -limit), limit))


def _color(value: Any) -> str:
    """Return '1' to '6' or '#rrggbb'; '' for anything else."""
    text = str(value or "")
    return text if _PRESET.fullmatch(text) or _HEX.fullmatch(text) else ""
