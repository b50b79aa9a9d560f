"""How many requests a page of a site is, with what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.exchange import connect
from bench.references import find_attachment, find_stylesheet
from lifecycle.knobs import Address

_MOST_PAGES = 500
"""So many are looked at: thousands would take longer and tell no more."""


async def requests_per_page(
    target: Address,
    pages: Sequence[str],
    host: str = "localhost",
    ca: Path | None = None,
) -> float:
    """
    Return the mean over *pages*: each, its stylesheet, its first attachment.

    Raises:
        LostError: one of them cannot be had.
    """
    looked_at = pages[:: -(-len(pages) // _MOST_PAGES)]
    requests = 0
    connection = await connect(target, host, ca)
    for path in looked_at:
        body = (await connection.get(path, host, close=False)).body
        finders = (find_stylesheet, find_attachment)
        requests += 1 + sum(find(body, path) is not None for find in finders)
    await connection.end()
    return requests / len(looked_at)
