"""Which backups are kept: the last few, and the last of each of the last days."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from lifecycle.backup.manifest import time_of


def kept(names: Iterable[str], now: float, *, last: int, days: int) -> set[str]:
    """
    Return which of *names* are kept.

    The *last* newest ones, and for each of the last *days* days of UTC, today's
    included, the newest one of that day. The newest of all always is.
    """
    newest_first = sorted(names, reverse=True)
    wanted = set(newest_first[: max(last, 1)])
    today = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
    seen: set[datetime.date] = set()
    for name in newest_first:
        day = datetime.datetime.fromtimestamp(time_of(name), datetime.UTC).date()
        if day not in seen and (today - day).days < days:
            wanted.add(name)
        seen.add(day)
    return wanted
