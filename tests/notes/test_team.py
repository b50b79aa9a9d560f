"""Teams: work in other processes, and nothing left of them afterwards."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from notes.team import Team, TeamError, deal


class Worker:
    def __init__(self, items: list[int]) -> None:
        self.items = items
        self.sum = 0

    def add_up(self) -> Iterator[int]:
        for item in self.items:
            self.sum += item
            yield item

    def compare(self, factor: int) -> Iterator[tuple[int, int]]:
        yield self.sum * factor, os.getpid()

    def fail(self) -> Iterator[int]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield 0

    def raise_error(self) -> Iterator[int]:
        raise SystemExit(1)


def test_a_team_remembers_from_one_call_to_the_next() -> None:
    threads = set(threading.enumerate())
    progress: list[int] = []
    parts = deal(range(1000), 3)
    with Team([Worker(part) for part in parts]) as team:
        assert sorted(team.call("add_up", [()] * 3, progress.append)) == list(
            range(1000)
        )
        answers = team.call("compare", [(1,), (10,), (100,)])
    sums = [sum(part) for part in parts]
    assert sorted(total for total, _ in answers) == [
        sums[0],
        sums[1] * 10,
        sums[2] * 100,
    ]
    assert len({pid for _, pid in answers} - {os.getpid()}) == 3
    assert progress == sorted(progress)
    assert progress[-1] == 1000
    assert multiprocessing.active_children() == []
    assert set(threading.enumerate()) == threads
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_team_of_one_works_here_unless_it_is_to_be_apart() -> None:
    with Team([Worker([1, 2])]) as team:
        assert team.call("add_up", [()]) == [1, 2]
        assert team.call("compare", [(2,)]) == [(6, os.getpid())]
    with Team([Worker([1, 2])], is_apart=True) as team:
        assert team.call("add_up", [()]) == [1, 2]
        assert team.call("compare", [(2,)])[0][1] != os.getpid()


@pytest.mark.parametrize("method", ["fail", "raise_error"])
def test_the_death_of_one_is_an_error_and_not_a_wait(method: str) -> None:
    with Team([Worker([1]), Worker([2])]) as team:
        with pytest.raises(TeamError, match=f"died in {method}"):
            team.call(method, [(), ()])
        with pytest.raises(TeamError):
            team.call("add_up", [(), ()])
    assert multiprocessing.active_children() == []


def test_each_process_is_prepared_before_it_works(tmp_path) -> None:
    def prepare() -> None:
        (tmp_path / str(os.getpid())).touch()

    with Team([Worker([1]), Worker([2])], prepare) as team:
        answers = team.call("compare", [(1,), (1,)])
    assert {str(pid) for _, pid in answers} == {
        path.name for path in tmp_path.iterdir()
    }


def test_items_are_dealt_to_no_more_hands_than_there_are_items() -> None:
    assert deal(range(5), 2) == [[0, 2, 4], [1, 3]]
    assert deal([7], 4) == [[7]]
    assert deal([], 4) == [[]]
