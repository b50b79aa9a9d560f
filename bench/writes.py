"""
Numbered writes beside the reads, and their reconciliation with the database.

Each write is `PUT /api/notes/bench/N.md` with a number of its own, sent once by one
of eight clients. A client sends its next write when it has the answer to the last,
so that at most eight are under way; what waits for its client is late from the
moment it was due. What was acknowledged is then looked up: a number without its
row is lost. One that comes a second time changes nothing, or, where only new notes are
asked for, is refused with 412 and so fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from bench.exchange import TIMEOUT, Answer, Connection, LostError, connect
from bench.report import OK
from lifecycle.knobs import Address

CLIENTS = 8
SHARE = 0.1
"""Writes for each page read."""
_FOLDER = "bench"


class Writers:
    """
    The clients that write, each with a connection of its own.

    Args:
        rest_limit: seconds; a connection that has rested longer is not used again,
            so that every write can be judged.
        ca: as in `bench.exchange.connect`.
        only_new: whether a write that is made twice is refused the second time, and
            so fails; else its second time changes nothing.

    Attributes:
        acknowledged: the numbers of the writes that were answered with success.
    """

    def __init__(
        self,
        target: Address,
        host: str,
        token: str,
        rest_limit: float,
        ca: Path | None = None,
        *,
        only_new: bool = False,
    ) -> None:
        self.acknowledged: list[int] = []
        self._target = target
        self._host = host
        self._token = token
        self._rest_limit = rest_limit
        self._only_new = only_new
        self._ca = ca
        self._turns = [asyncio.Lock() for _ in range(CLIENTS)]
        self._kept: list[Connection | None] = [None] * CLIENTS

    async def write(self, number: int, give_up_at: float) -> str:
        """Send write *number*, when it is its client's turn; return what became of it."""
        client = number % CLIENTS
        answer: Answer | None = None
        try:
            async with asyncio.timeout_at(give_up_at), self._turns[client]:
                used = self._take(client) or await connect(
                    self._target, self._host, self._ca
                )
                try:
                    answer = await used.put(
                        path_of(number),
                        self._host,
                        self._token,
                        body_of(number),
                        only_new=self._only_new,
                    )
                finally:
                    if answer is not None and used.is_open:
                        self._kept[client] = used
                    else:
                        used.close()
        except LostError as exc:
            return f"write {exc.outcome}"
        except TimeoutError:
            return f"write {TIMEOUT}"
        if answer.status not in {200, 201}:
            return f"write status {answer.status}"
        self.acknowledged.append(number)
        return OK

    def _take(self, client: int) -> Connection | None:
        """Return the client's connection, if the server and the rest limit allow."""
        kept, self._kept[client] = self._kept[client], None
        if kept is None:
            return None
        rested = asyncio.get_running_loop().time() - kept.used_at
        if kept.is_open and rested <= self._rest_limit:
            return kept
        kept.close()
        return None

    def close(self) -> None:
        """Close what is kept."""
        for kept in self._kept:
            if kept is not None:
                kept.close()


class Reconciled(NamedTuple):
    """Acknowledged writes that are not there, and writes that were applied twice."""

    lost: list[int]
    duplicated: list[int]


def path_of(number: int) -> str:
    """Return the address that write *number* is sent to."""
    return f"/api/notes/{quote(_note(number))}"


def body_of(number: int) -> bytes:
    """Return the note that write *number* makes."""
    return f"# Write {number}\n\nNumber {number} of the load.\n".encode()


def _note(number: int) -> str:
    return f"{_FOLDER}/{number}.md"


def reconcile(database: Path, acknowledged: Iterable[int]) -> Reconciled:
    """Compare the numbers that were *acknowledged* with what is in *database*."""
    with contextlib.closing(
        sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    ) as connection:
        rows = {
            path
            for (path,) in connection.execute(
                "SELECT path FROM notes_note WHERE path LIKE ?", (f"{_FOLDER}/%",)
            )
        }
        changes = dict(
            connection.execute(
                "SELECT path, count(*) FROM notes_change WHERE path LIKE ? GROUP BY path",
                (f"{_FOLDER}/%",),
            ).fetchall()
        )
    numbers = {int(path.rpartition("/")[2].removesuffix(".md")): path for path in rows}
    return Reconciled(
        lost=sorted(number for number in acknowledged if number not in numbers),
        duplicated=sorted(
            number for number, path in numbers.items() if changes.get(path, 0) > 1
        ),
    )
