"""The bench of the handoff: what of its losses it brought about itself."""

from __future__ import annotations

from bench.handoff import CALM, DYING, KILLED, Span, cut_by_kills
from bench.report import Record

SPANS = [Span(CALM, 0.0, 5.0), Span(KILLED, 10.0, 10.1), Span(DYING, 10.0, 11.0)]


def ended(
    scheduled_at: float, latency: float, outcome: str, kind: str = "page"
) -> Record:
    return Record(scheduled_at, latency, outcome, kind, "kept")


def test_only_what_ends_with_a_killed_instance_was_cut_by_that() -> None:
    own = [ended(9.9, 0.2, "cut"), ended(9.0, 2.0, "reset"), ended(10.9, 0.15, "cut")]
    own.append(ended(10.2, 0.1, "write cut", "write"))
    others = [
        ended(9.9, 0.05, "cut"),  # before the kill
        ended(11.0, 0.2, "cut"),  # after the last of its workers
        ended(3.0, 0.1, "reset"),  # in a span without a kill
        ended(10.0, 0.1, "timeout"),
        ended(10.0, 0.1, "status 503"),
        ended(10.0, 0.1, "ok"),
        ended(10.0, 0.1, "write status 503", "write"),
    ]
    assert cut_by_kills(own + others, SPANS, 0.1) == set(own)
