"""
gunicorn, whose first worker is stuck before it has begun, and soon missed; so is one that hangs.

    python -m tests.deploys.stuck [gunicorn's arguments]
"""

from __future__ import annotations

import signal
import sys

from gunicorn.app.wsgiapp import run

from lifecycle import arbiter
from lifecycle.worker import InstanceWorker


class StuckWorker(InstanceWorker):
    """One that does nothing, if it is the first."""

    def init_process(self) -> None:
        """Wait for ever, or begin."""
        if self.age == 1:
            signal.pause()
        super().init_process()


if __name__ == "__main__":
    arbiter._BOOT_SECONDS = arbiter._HANG_SECONDS = 1.0
    sys.argv += ["--worker-class", "tests.deploys.stuck.StuckWorker"]
    run()
