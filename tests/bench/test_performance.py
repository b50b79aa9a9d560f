"""What is made of a load: a result, or none."""

from __future__ import annotations

import pytest

from bench.load_process import LoadError
from bench.performance import refuse_late
from bench.report import summarize


def test_what_was_not_even_sent_is_not_counted_as_lost():
    refuse_late(summarize([], lag=14.9), patience=15)
    with pytest.raises(LoadError, match="sent up to 28 s late"):
        refuse_late(summarize([], lag=28), patience=15)
