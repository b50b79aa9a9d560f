"""An instance's probes, as an orchestrator sees them: from outside, over and over."""

from __future__ import annotations

import http.client
import threading
import time
from types import TracebackType
from typing import NamedTuple

from lifecycle.knobs import Address


class Probe(NamedTuple):
    """
    What one probe answered.

    Attributes:
        asked_at: on the monotonic clock, in seconds.
        status: 0 when nobody listened, or no answer came in time.
    """

    asked_at: float
    status: int
    text: str


def probe(
    address: Address, path: str, timeout: float = 1.0, host: str | None = None
) -> Probe:
    """
    Return what *path* answers on *address* within *timeout* seconds.

    *host* is the site's name, where it is asked on an address that it does not know.
    """
    asked_at = time.monotonic()
    connection = http.client.HTTPConnection(
        address.host or "127.0.0.1", address.port, timeout=timeout
    )
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return Probe(asked_at, response.status, response.read().decode().strip())
    except (OSError, http.client.HTTPException) as exc:
        return Probe(asked_at, 0, type(exc).__name__)
    finally:
        connection.close()


class Poller:
    """
    Asks one probe every *interval* seconds, from entering to leaving.

    Attributes:
        seen: every answer, in order.
    """

    def __init__(self, address: Address, path: str, interval: float = 0.05) -> None:
        self.seen: list[Probe] = []
        self._address = address
        self._path = path
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name=f"poll {path}")

    def _poll(self) -> None:
        while True:
            self.seen.append(probe(self._address, self._path))
            if self._stop.wait(self._interval):
                return

    def __enter__(self) -> Poller:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def between(self, start: float, end: float) -> list[Probe]:
        """Return the answers to what was asked from *start* to *end*."""
        return [one for one in self.seen.copy() if start <= one.asked_at <= end]
