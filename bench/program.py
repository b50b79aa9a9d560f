"""A program that runs beside the instances, such as a proxy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bench.instance import bare_environ
from bench.waiting import wait_until

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0


class ProgramError(Exception):
    """A program that did not start; the message ends with what it wrote."""


def find(name: str) -> str | None:
    """Return where the program *name* is: beside this Python, or on PATH; or None."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


class Program:
    """
    A program that runs from entering to leaving.

    Args:
        command: the program and its arguments.
        log: its output is written here.
        is_up: whether it does its work; entering returns once it does.
        environ: variables beside those of the system.
        timeout: how many seconds it may take until it does its work.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        is_up: Callable[[], bool],
        environ: Mapping[str, str] | None = None,
        timeout: float = _START_TIMEOUT,
    ) -> None:
        self.command = command
        self.log = log
        self._is_up = is_up
        self._timeout = timeout
        self._environ = bare_environ() | dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process's pid; 0 before it was entered."""
        return self._process.pid if self._process is not None else 0

    def __enter__(self) -> Program:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self._has_started, self._timeout, f"{self.command[0]} being up")
        except (TimeoutError, ProgramError) as exc:
            self.__exit__(None, None, None)
            said = self.log.read_text(errors="replace")
            raise ProgramError(f"{exc}\n{said}") from exc
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _has_started(self) -> bool:
        assert self._process is not None  # noqa: S101 - it was just started
        status = self._process.poll()
        if status is not None:
            raise ProgramError(f"{self.command[0]} ended with {status}.")
        return self._is_up()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
