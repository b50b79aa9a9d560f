"""Connections that are kept between requests, and used in turn."""

from __future__ import annotations

from collections import deque

from bench.exchange import Connection


class Pool:
    """
    At most *limit* open connections, the longest rested used first.

    In turn, so that every one of them is used as often as the others. With a
    limit of 0 nothing is kept: every request has a connection of its own.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._resting: deque[Connection] = deque()
        self._in_use = 0

    def take(self) -> Connection | None:
        """
        Return a connection; None asks the caller to make one.

        One that the server has closed is known to be closed and is left aside, as
        every client does. Each take is followed by a `give_back`.
        """
        self._in_use += 1
        still_open = [one for one in self._resting if one.is_open]
        if len(still_open) < len(self._resting):
            for one in self._resting:
                if not one.is_open:
                    one.close()
            self._resting = deque(still_open)
        if self.limit and len(self._resting) + self._in_use > self.limit:
            return self._resting.popleft() if self._resting else None
        return None

    def give_back(self, connection: Connection | None, *, is_whole: bool) -> None:
        """Keep *connection* if its last answer *is_whole* and there is room."""
        self._in_use -= 1
        if connection is None:
            return
        has_room = len(self._resting) + self._in_use < self.limit
        if is_whole and connection.is_open and has_room:
            self._resting.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what rests."""
        while self._resting:
            self._resting.popleft().close()
