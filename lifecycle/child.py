"""
Programs that this process runs beside itself, and that never outlive it.

Run as a module it is the step in between: it asks the kernel for SIGKILL at its
parent's death, undoes what the parent has ignored, and becomes the program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO, NoReturn

from lifecycle.writer import die_with_parent

# How often a running program is looked at, in seconds.
_POLL = 0.1


class Child:
    """
    A program that dies with the thread that started it; use it from that one.

    It has a session of its own, so that a Ctrl-C at the terminal does not reach it.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        output: IO[bytes] | None = None,
    ) -> None:
        """
        Start *command*, in this environment unless there is another *environ*.

        What it prints goes to *output*, or where this process prints.

        Raises:
            OSError: no process can be started.
        """
        self._process = subprocess.Popen(  # noqa: S603 - no shell, and our own words
            [sys.executable, "-m", "lifecycle.child", str(os.getpid()), *command],
            env=environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            stdout=output,
            stderr=output,
        )

    @property
    def pid(self) -> int:
        """Its pid, which stays the same when it becomes the program."""
        return self._process.pid

    def wait(self, stop: threading.Event, timeout: float | None = None) -> int | None:
        """Return its exit status; None when *stop* is set or *timeout* over before."""
        waited = 0.0
        while (status := self._process.poll()) is None:
            if stop.wait(_POLL):
                return None
            waited += _POLL
            if timeout is not None and waited >= timeout:
                return None
        return status

    def end(self, patience: float) -> int:
        """
        End it: SIGTERM, and SIGKILL after *patience* seconds. Idempotent.

        Return its exit status, which may be that of an end before.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        return self._process.wait()


def django_command(*arguments: str) -> list[str]:
    """Return the command line of a management command with this project's settings."""
    return [sys.executable, "-m", "django", *arguments]


def main(arguments: list[str]) -> NoReturn:
    """Become the program after the first of *arguments*, which is the parent's pid."""
    parent, *command = arguments
    die_with_parent(int(parent))
    # What is ignored stays so through an exec, and the writer ignores signals.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
