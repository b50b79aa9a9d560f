"""A writer subsystem that tells when another of its kind runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from lifecycle import locks

_HELD, _CLASH = "subsystem", "subsystem-clash"


def hold(stop: threading.Event) -> None:
    """Hold a lock of its own till *stop*; leave a file behind where it is taken."""
    data_dir = Path(os.environ["DATA_DIR"])
    descriptor = locks.acquire(data_dir / _HELD)
    if descriptor is None:
        (data_dir / _CLASH).touch()
        return
    stop.wait()
    os.close(descriptor)


def has_run(data_dir: Path) -> bool:
    """Return whether one ever ran here."""
    return (data_dir / _HELD).exists()


def has_clashed(data_dir: Path) -> bool:
    """Return whether one began while another ran."""
    return (data_dir / _CLASH).exists()
