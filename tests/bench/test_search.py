"""The measure of search: which queries it asks, and what its table says."""

from __future__ import annotations

import pytest

from bench import search
from bench.search import Measured, make_queries, table


def test_queries_are_of_the_texts_and_half_of_each_kind() -> None:
    texts = ["green tea from the hills", "煎茶は日本の緑茶", "12 34"]
    queries = make_queries(texts, 40, seed=1)
    assert queries == make_queries(texts, 40, seed=1)
    assert [kind for kind, _ in queries] == ["words", "runs"] * 20
    for kind, query in queries:
        if kind == "runs":
            assert query in texts[1]
        else:
            assert all(part in texts[0] for part in query.split())
    assert {kind for kind, _ in make_queries(texts[:1], 4, seed=1)} == {"words"}
    assert make_queries(["1"], 4, seed=1) == []


def test_the_table_says_what_was_measured() -> None:
    latencies = {"words": [0.001, 0.002, 0.010], "runs": []}
    measured = Measured(3, 1.5, 0.5, 9.6, 0.74, latencies, {"words": 2, "runs": 0})
    assert table(measured, "teas") == [
        "- Vault: teas, 3 notes",
        "- The index: made in 1.50 s by the clock, 0.50 s of CPU, 10 MB in each worker; "
        "a changed note is in it after 0.7 ms",
        "",
        "| queries | asked | with a hit | p50 ms | p99 ms | longest ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| one to three words | 3 | 2 | 2.0 | 10.0 | 10.0 |",
    ]


def test_a_vault_that_is_not_there_is_a_wrong_argument(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        search.main(["--vault", "/nowhere/at/all"])
    assert stopped.value.code == 2
    assert "is not a directory" in capsys.readouterr().err
