"""Progress of what cannot tell any: another program's work, or one long call."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

Report = Callable[[int, int, str], None]
"""Takes how much is done, of how much, and what."""

# Between two reports, in seconds: well below what a service manager waits for one.
_INTERVAL = 1.0


@contextlib.contextmanager
def filled(report: Report, what: str) -> Iterator[Report]:
    """
    Give what takes the progress of *what*; the last one is repeated with its age.

    Only for work that ends by itself when what it waits for does not answer: whoever
    listens waits as long. No thread is left behind.

    Args:
        report: called here, and from a thread.
        what: is being done, until something else is told.
    """
    last = (0, 0, what)
    told_at = time.monotonic()
    is_over = threading.Event()

    def tell(done: int, total: int, what: str) -> None:
        nonlocal last, told_at
        last, told_at = (done, total, what), time.monotonic()
        report(done, total, what)

    def repeat() -> None:
        while not is_over.wait(_INTERVAL):
            done, total, what = last
            report(done, total, f"{what}, for {time.monotonic() - told_at:.0f} s")

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    tell(*last)
    thread.start()
    try:
        yield tell
    finally:
        is_over.set()
        thread.join()
