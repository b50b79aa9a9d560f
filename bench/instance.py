"""One instance of the site, started, probed and signalled from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bench import groups
from bench.probes import Probe, probe
from bench.waiting import wait_until
from lifecycle.knobs import Address

REPOSITORY = Path(__file__).resolve().parent.parent
SERVE = (sys.executable, "manage.py", "serve")
# The longest that a boot, or an end after the grace, may take here, in seconds.
START_TIMEOUT = 180.0


class InstanceError(Exception):
    """An instance that did not do as it should; the message ends with its log."""


class Instance:
    """
    A gunicorn master and its workers, in a process group of their own.

    Leaving its `with` ends whatever of the group is left, by SIGKILL.

    Args:
        environ: the knobs, as variables.
        log: its output is appended here.
        internal: where its probes answer.
        listener: a listening socket to inherit; else it binds by its knobs.
        command: what to run in *code*.
        code: a folder with the site's code.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        log: Path,
        internal: Address,
        listener: socket.socket | None = None,
        command: Sequence[str] = SERVE,
        code: Path = REPOSITORY,
    ) -> None:
        self.internal = internal
        self.code = code
        self.log = log
        self._environ = bare_environ() | dict(environ)
        self._environ["INTERNAL_LISTEN_ADDR"] = str(internal)
        self._listener = listener
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __enter__(self) -> Instance:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The pid of the master, which is the id of its process group."""
        return self.process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The master."""
        if self._process is None:
            raise InstanceError("The instance has not been started.")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether the master lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; returns at once."""
        command = self._command
        passed: tuple[int, ...] = ()
        if self._listener is not None:
            passed = (self._listener.fileno(),)
            program = str(REPOSITORY / "bench" / "listen_fds.py")
            launcher = [sys.executable, "-I", "-S", program, str(passed[0])]
            command = [*launcher, *command]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd=self.code,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=passed,
                start_new_session=True,
            )

    def probe(self, path: str, timeout: float = 1.0) -> Probe:
        """Ask one of its probes."""
        return probe(self.internal, path, timeout)

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """
        Wait until /readyz is 200.

        Raises:
            InstanceError: it ended, or was not ready within *timeout* seconds.
        """

        def is_ready() -> bool:
            if not self.is_running:
                raise InstanceError(
                    f"The instance ended with {self.process.returncode}.\n{self.output}"
                )
            return self.probe("/readyz").status == 200

        try:
            wait_until(is_ready, timeout, "/readyz answering 200")
        except TimeoutError as exc:
            raise InstanceError(f"{exc}\n{self.output}") from exc

    def send(self, number: signal.Signals) -> None:
        """Signal the master."""
        self.process.send_signal(number)

    def send_to_group(self, number: signal.Signals) -> None:
        """Signal the master and all its children, as systemd and Ctrl-C do."""
        os.killpg(self.pid, number)

    def wait(self, timeout: float = START_TIMEOUT) -> int:
        """Return the master's exit status, once it has ended within *timeout*."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired as exc:
            raise InstanceError(f"{exc}\n{self.output}") from exc

    def stop(self, timeout: float = START_TIMEOUT) -> None:
        """
        Send SIGTERM and wait for the end.

        Raises:
            InstanceError: it did not end in time, or not with status 0.
        """
        self.send(signal.SIGTERM)
        status = self.wait(timeout)
        if status != 0:
            raise InstanceError(f"The instance ended with {status}.\n{self.output}")

    def kill(self) -> None:
        """End what is left of the group. Idempotent."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def group_pids(self) -> list[int]:
        """Return the pids of the group that live, the master's included."""
        return groups.members(self.pid)

    @property
    def output(self) -> str:
        """What it has written since its start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")


def bare_environ() -> dict[str, str]:
    """Return this process's environment, less what would configure an instance."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
    coverage = {
        name: value for name, value in os.environ.items() if name.startswith("COVERAGE")
    }
    return coverage | {name: os.environ[name] for name in kept if name in os.environ}
