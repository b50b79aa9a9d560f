"""Work on parts of a whole in forked processes, in rounds that share results."""

from __future__ import annotations

import gc
import itertools
import logging
import multiprocessing
import multiprocessing.connection
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

# With fewer items, processes cost more than they save.
MIN_PARALLEL = 100

# Results that travel in one message: few enough for a progress that moves.
_BATCH_SIZE = 50


class TeamError(Exception):
    """A process of a team died; what it had done is lost."""


class Team:
    """
    Workers, each with its part of the work, each in a process of its own.

    A worker is any object; it stays in its process, with what it remembers, from
    one call to the next. A team of one works in this process. No thread is started,
    and `close` leaves no process behind: a master that is about to fork its own
    children may use it.
    """

    def __init__(
        self,
        workers: Sequence[Any],
        prepare_child: Callable[[], None] | None = None,
        *,
        is_apart: bool = False,
    ) -> None:
        """
        Start the processes.

        Args:
            workers: one for each process.
            prepare_child: called first in each process.
            is_apart: a single worker, too, has a process of its own.
        """
        is_here = len(workers) == 1 and not is_apart
        self._worker = workers[0] if is_here else None
        self._connections: list[Connection] = []
        self._processes: list[Any] = []
        if self._worker is not None:
            return
        context = multiprocessing.get_context("fork")
        try:
            for worker in workers:
                ours, theirs = context.Pipe()
                self._connections.append(ours)
                process = context.Process(
                    target=_serve,
                    # A copy of our ends, kept open, would hide our death from it.
                    args=(worker, theirs, tuple(self._connections), prepare_child),
                    daemon=True,
                )
                process.start()
                theirs.close()
                self._processes.append(process)
        except OSError as exc:
            self.close()
            raise TeamError(str(exc)) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def call(
        self,
        method: str,
        arguments: Sequence[tuple[Any, ...]],
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Any]:
        """
        Call *method* of each worker and return what they yielded, in no order.

        Args:
            method: the name of a method that returns an iterable.
            arguments: one tuple for each worker.
            on_progress: called with the number of results so far.

        Raises:
            TeamError: a process died, or an exception left its worker.
        """
        results: list[Any] = []
        report = on_progress or (lambda done: None)
        if self._worker is not None:
            for batch in _batches(getattr(self._worker, method)(*arguments[0])):
                results.extend(batch)
                report(len(results))
            return results
        try:
            for connection, argument in zip(self._connections, arguments, strict=True):
                connection.send((method, argument))
            waiting = set(self._connections)
            while waiting:
                for ready in multiprocessing.connection.wait(list(waiting)):
                    assert isinstance(ready, Connection)  # noqa: S101 - for mypy
                    batch = ready.recv()
                    if batch:
                        results.extend(batch)
                        report(len(results))
                    else:
                        waiting.discard(ready)
        except (EOFError, OSError) as exc:
            raise TeamError(f"A process of the team died in {method}.") from exc
        return results

    def close(self) -> None:
        """End the processes and wait for them. Idempotent."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            # Not TERM: the master's handler for it, inherited, would ignore it.
            process.kill()
            process.join()
            process.close()
        self._connections.clear()
        self._processes.clear()


def deal(items: Iterable[T], hands: int) -> list[list[T]]:
    """Return *items* dealt out in turn to at most *hands* lists, none empty."""
    items = list(items)
    return [items[start::hands] for start in range(max(1, min(hands, len(items))))]


def _batches(results: Iterable[Any]) -> Iterable[list[Any]]:
    iterator = iter(results)
    while batch := list(itertools.islice(iterator, _BATCH_SIZE)):
        yield batch


def _serve(
    worker: Any,
    connection: Connection,
    others: Iterable[Connection],
    prepare_child: Callable[[], None] | None,
) -> None:
    """Answer calls till the other end is closed; runs in the forked process."""
    gc.freeze()  # what came with the fork is not this process's to collect
    if prepare_child is not None:
        prepare_child()
    for other in others:
        other.close()
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        for batch in _batches(getattr(worker, method)(*arguments)):
            connection.send(batch)
        connection.send([])


@dataclass(frozen=True)
class Crew:
    """
    How the costly steps are done.

    Attributes:
        processes: how many may work at once.
        is_apart: whether a single one, too, is not this one.
        prepare_child: called first in each process that is forked.
        report: called with how many are done, of how many, of what.
    """

    processes: int = 1
    is_apart: bool = False
    prepare_child: Callable[[], None] | None = None
    report: Callable[[int, int, str], None] = lambda done, total, what: None

    def deal(self, items: Iterable[T]) -> list[list[T]]:
        """Return *items* in parts, one for each process."""
        items = list(items)
        return deal(items, self.processes if len(items) >= MIN_PARALLEL else 1)

    def team(self, workers: Sequence[Any]) -> Team:
        """Return a team of *workers*."""
        return Team(workers, self.prepare_child, is_apart=self.is_apart)

    def reporter(self, total: int, what: str) -> Callable[[int], None]:
        """Return what hears of the progress of one step."""
        return lambda done: self.report(done, total, what)
