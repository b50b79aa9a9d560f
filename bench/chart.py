"""
One picture of a row: requests over time by outcome, both instances' phases beneath.

Colours are those of Okabe and Ito, which people with any kind of sight tell apart.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.report import IDLE_RACE, OK, WRITE, Record

KEPT, WRITTEN, RACED, LOST = "reads kept", "writes kept", "idle race", "lost"
OUTCOMES = {KEPT: "#56b4e9", WRITTEN: "#0072b2", RACED: "#f0e442", LOST: "#d55e00"}
PHASES = {
    "starting": "#e5e5e5",
    "warming": "#bbbbbb",
    "standby": "#cc79a7",
    "ready": "#009e73",
    "draining": "#e69f00",
}
_WIDTH, _LEFT, _RIGHT = 960, 60, 20
_TOP, _PLOT, _LANE, _GAP = 72, 200, 22, 6
_MOST_BARS = 180


class Span(NamedTuple):
    """A phase of an instance; times in seconds since the load began."""

    phase: str
    start: float
    end: float


class Life(NamedTuple):
    """An instance's name and its phases, in order."""

    name: str
    spans: list[Span]


class Bar(NamedTuple):
    """How many requests were due in a stretch of time, by what became of them."""

    start: float
    counts: dict[str, int]


def count(
    records: Iterable[Record], began_at: float, ended_at: float
) -> tuple[float, list[Bar]]:
    """Return the length of a bar in seconds, and the bars from begin to end."""
    seconds = max(0.1, ended_at - began_at)
    step = next(one for one in (0.25, 0.5, 1, 2, 5, 10) if seconds / one <= _MOST_BARS)
    bars = [
        Bar(number * step, dict.fromkeys(OUTCOMES, 0))
        for number in range(int(seconds / step) + 1)
    ]
    for record in records:
        number = int((record.scheduled_at - began_at) / step)
        bars[min(max(number, 0), len(bars) - 1)].counts[_outcome(record)] += 1
    return step, bars


def _outcome(record: Record) -> str:
    if record.outcome == IDLE_RACE:
        return RACED
    if record.outcome != OK:
        return LOST
    return WRITTEN if record.kind == WRITE else KEPT


def draw(title: str, step: float, bars: Sequence[Bar], lives: Sequence[Life]) -> str:
    """Return the picture as SVG; instances take turns in two lanes."""
    seconds = len(bars) * step
    scale = (_WIDTH - _LEFT - _RIGHT) / seconds
    most = max((sum(bar.counts.values()) for bar in bars), default=0) or 1
    floor = _TOP + _PLOT
    height = floor + 34 + 2 * (_LANE + _GAP) + 30
    shapes = [
        f'<text x="{_LEFT}" y="20" font-size="15" font-weight="600">{_text(title)}</text>',
        *_legend(OUTCOMES, 40),
        *_scale_of_counts(most / step, floor),
        *_scale_of_seconds(seconds, scale, floor),
    ]
    for bar in bars:
        shapes += _stack(bar, _LEFT + bar.start * scale, step * scale, most, floor)
    for number, life in enumerate(lives):
        top = floor + 34 + number % 2 * (_LANE + _GAP)
        shapes += _lane(life, top, scale, seconds)
    shapes += _legend(PHASES, height - 14)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="11" fill="#222">\n'
        f"<title>{_text(title)}</title>\n"
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _stack(
    bar: Bar, left: float, width: float, most: int, floor: float
) -> Iterable[str]:
    for outcome, number in bar.counts.items():
        if not number:
            continue
        # One lost request among hundreds must not be thinner than the eye.
        height = number / most * _PLOT
        if outcome == LOST:
            height = max(height, 3.0)
        floor -= height
        yield _box(left, floor, max(width - 0.5, 0.5), height, OUTCOMES[outcome])


def _lane(life: Life, top: float, scale: float, seconds: float) -> Iterable[str]:
    for span in life.spans:
        start, end = max(span.start, 0.0), min(span.end, seconds)
        if end > start and span.phase in PHASES:
            title = f"{life.name}: {span.phase}, {span.end - span.start:.1f} s"
            yield _box(
                *(_LEFT + start * scale, top, (end - start) * scale, _LANE),
                PHASES[span.phase],
                title,
            )


def _scale_of_counts(most: float, floor: float) -> Iterable[str]:
    yield f'<text x="{_LEFT}" y="{_TOP - 4}">requests a second</text>'
    for share in (0.0, 0.5, 1.0):
        y = floor - share * _PLOT
        yield (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="#ddd"/><text x="{_LEFT - 6}" y="{y + 4:.1f}" '
            f'text-anchor="end">{most * share:.0f}</text>'
        )


def _scale_of_seconds(seconds: float, scale: float, floor: float) -> Iterable[str]:
    step = next(one for one in (1, 2, 5, 10, 20, 30, 60, 120) if seconds / one <= 14)
    for second in range(0, int(seconds) + 1, step):
        x = _LEFT + second * scale
        yield f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{second} s</text>'


def _legend(colours: dict[str, str], y: float) -> Iterable[str]:
    left = float(_LEFT)
    for name, colour in colours.items():
        yield _box(left, y - 9, 10, 10, colour)
        yield f'<text x="{left + 14:.0f}" y="{y:.0f}">{name}</text>'
        left += 34 + 6.2 * len(name)


def _box(
    x: float, y: float, width: float, height: float, fill: str, title: str = ""
) -> str:
    inside = f"<title>{_text(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{fill}">{inside}</rect>'
    )


def _text(text: str) -> str:
    return html.escape(text, quote=False)
