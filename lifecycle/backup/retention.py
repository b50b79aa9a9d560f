"""Which backups are kept: the last few, and the last of each of the last days."""

from __future__ import annotations

import datetime
from collections.abc import Mapping


def kept(made: Mapping[str, float], now: float, *, last: int, days: int) -> set[str]:
    """
    Return which backups are kept of those *made*: names, and the moment of each.

    The *last* newest ones, and for each of the last *days* days of UTC, today's
    included, the newest one of that day. The newest of all always is.
    """
    newest_first = sorted(made, reverse=True)
    wanted = set(newest_first[: max(last, 1)])
    today = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
    seen: set[datetime.date] = set()
    for name in newest_first:
        day = datetime.datetime.fromtimestamp(made[name], datetime.UTC).date()
        # A day that is to come is no other than today to a clock that was set back.
        if day not in seen and max((today - day).days, 0) < days:
            wanted.add(name)
        seen.add(day)
    return wanted
