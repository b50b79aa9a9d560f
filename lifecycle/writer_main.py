"""What runs inside the writer process; Django is there."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections
from django.utils.module_loading import import_string

from lifecycle import database, epochs, gate, locks, schema
from lifecycle.conf import conf
from lifecycle.exceptions import LifecycleError
from lifecycle.job_server import JobServer
from lifecycle.tenure import RESERVED_SECONDS, Said
from lifecycle.writer import MAX_PACKET

if TYPE_CHECKING:
    from lifecycle.instance import Instance

logger = logging.getLogger(__name__)

# How long subsystems and jobs get to come back once told to stop, in seconds: less
# than the master waits for it (RELEASE_TIMEOUT).
_STOP_TIMEOUT = 3.0
_BEAT_INTERVAL = 1.0
# Between two signs of progress, in seconds; WRITER_ACQUIRE_TIMEOUT is at least 1 s.
_PROGRESS_INTERVAL = 0.2


class _Tenure:
    """What runs between 'take' and 'release'."""

    def __init__(self, instance: Instance, epoch: int, lock: int) -> None:
        self.epoch = epoch
        self.lock = lock
        self._instance = instance
        self._stop = threading.Event()
        self._jobs: JobServer | None = None
        self._one_job = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """
        Start the subsystems and take jobs.

        One that has been told to stop and still runs is followed by the next when
        it has ended.
        """
        self._stop = threading.Event()
        name = f"{self._instance.id}.job"
        self._jobs = JobServer(self._instance.run_dir, name, self._one_job)
        self._jobs.start()
        self._threads = {
            path: _start(path, self._stop, self._threads.get(path))
            for path in conf.writer_subsystems
        }

    def stop(self, timeout: float) -> str:
        """End them; return '' or the name of one that does not end in *timeout* seconds."""
        deadline = time.monotonic() + timeout
        self._stop.set()
        if self._jobs is not None and not self._jobs.close(timeout):
            return "a job is running"
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return f"{thread.name} does not end"
        return ""


class Writer:
    """The writer process: takes commands until its channel ends."""

    def __init__(self, instance: Instance, channel: socket.socket) -> None:
        self._instance = instance
        self._channel = channel
        self._tenure: _Tenure | None = None
        self._attempt = 0
        self._progressed_at = float("-inf")

    def say(self, said: str, **details: object) -> None:
        """Report to the master, with the number of what it commanded last."""
        report = {"said": said, "attempt": self._attempt, **details}
        with contextlib.suppress(OSError):  # it is gone, and so will this be
            self._channel.send(json.dumps(report).encode())

    def run(self) -> int:
        """Obey until the end of the channel; return the exit status."""
        threading.Thread(target=self._beat, name="beat", daemon=True).start()
        while True:
            packet, descriptors, _, _ = socket.recv_fds(self._channel, MAX_PACKET, 1)
            if not packet:
                if self._tenure is not None:
                    self._tenure.stop(_STOP_TIMEOUT)
                connections.close_all()
                return 0
            message = json.loads(packet)
            self._attempt = message["attempt"]
            self.do(message["do"], message.get("successor", ""), descriptors)

    def do(self, command: str, successor: str, descriptors: list[int]) -> None:
        """Obey one command, and report; an expected failure is a report, too."""
        try:
            getattr(self, f"_{command}")(successor, descriptors)
        except (LifecycleError, DatabaseError, OSError) as exc:
            reason = " ".join(str(exc).split()) or type(exc).__name__
            if command == "take" and gate.is_busy(exc):
                # No fault of this instance: it serves reads, and tries again.
                logger.warning("event=take_put_off reason=%r", reason)
                self._end()
                self.say(Said.RESERVED.value)
            elif command == "take":
                self._end()
                self.say(Said.FAILED.value, reason=reason)
            else:
                # The tenure goes on: the master says 'resume'.
                self.say(Said.RELEASE_FAILED.value, reason=reason)
            connections.close_all()

    def _beat(self) -> None:
        while True:
            self.say("beat")
            time.sleep(_BEAT_INTERVAL)

    def _take(self, successor: str, descriptors: list[int]) -> None:
        (lock,) = descriptors
        self._tenure = _Tenure(self._instance, 0, lock)
        try:
            # Whoever had the slot since this instance began may have migrated. With the
            # lock ours, nobody does it now.
            database.refuse_newer()
            epoch = self._begin(self._tenure)
            older_lives = self._instance.lives_beside_older()
            knobs, report = self._instance.knobs, self._report
            has_migrated = schema.migrate(knobs, older_lives=older_lives, report=report)
            if has_migrated and not epoch:
                # The table of epochs is there only now.
                epoch = self._begin(self._tenure)
        except database.DatabaseUnfitError as exc:
            self._end()
            self.say(Said.UNFIT.value, reason=str(exc))
            return
        except epochs.NotOursError as exc:
            self._end()
            until = time.monotonic() + exc.seconds
            self.say(Said.RESERVED.value, successor=exc.successor, until=until)
            return
        except gate.WriterSlotLostError as exc:
            # The lock's file was replaced, and between two migrations another epoch
            # began. No fault of this instance: it serves reads, and tries again.
            logger.warning("event=tenure_was_over reason=%r", str(exc))
            self._end()
            self.say(Said.RESERVED.value)
            # An editor of the schema that could not begin leaves its settings behind.
            connections.close_all()
            return
        self._tenure.start()
        self.say(
            Said.RUNNING.value,
            epoch=epoch,
            facts={
                "migrations": schema.applied(),
                "crashed": epochs.crashed_releases(),
            },
        )

    def _report(self, done: int, total: int, what: str) -> None:
        """Tell the master that the migration gets on: it waits as long as it does."""
        now = time.monotonic()
        if now - self._progressed_at >= _PROGRESS_INTERVAL:
            self._progressed_at = now
            self.say("progress")

    def _begin(self, tenure: _Tenure) -> int:
        instance = self._instance
        tenure.epoch = epochs.begin(
            instance.id,
            instance.version,
            instance.run_dir,
            lambda: locks.same_file(tenure.lock, instance.slot.path),
        )
        gate.set_authority(gate.WriterAuthority(tenure.epoch))
        return tenure.epoch

    def _prepare(self, successor: str, descriptors: list[int]) -> None:
        busy = self._tenure.stop(_STOP_TIMEOUT) if self._tenure is not None else ""
        if busy:
            self.say(Said.RELEASE_FAILED.value, reason=busy)
        else:
            self.say(Said.PREPARED.value)

    def _release(self, successor: str, descriptors: list[int]) -> None:
        until = 0.0
        if self._tenure is None:
            successor = ""  # it was over before: there is nothing to give
        else:
            try:
                epochs.end(self._tenure.epoch, successor)
                until = time.monotonic() + RESERVED_SECONDS
            except gate.WriterSlotLostError as exc:
                # Another epoch has begun: the lock's file was replaced.
                logger.warning("event=tenure_was_over reason=%r", str(exc))
                successor = ""
        self._end()
        self.say(Said.RELEASED.value, successor=successor, until=until)

    def _resume(self, successor: str, descriptors: list[int]) -> None:
        """The release was called off: go on as before."""
        if self._tenure is not None:
            self._tenure.stop(0)
            # Of a lock on a file that was replaced, another instance may have begun.
            if locks.same_file(self._tenure.lock, self._instance.slot.path):
                self._tenure.start()

    def _end(self) -> None:
        """Forget the tenure; the copy of the lock goes with it."""
        gate.set_authority(gate.NoAuthority())
        if self._tenure is not None:
            self._tenure.stop(_STOP_TIMEOUT)
            os.close(self._tenure.lock)
            self._tenure = None


def preload() -> None:
    """
    Import, and read once, what taking the slot needs: writers wait for that.

    For the master at the end of its warmup, so that its writer process has it.
    """
    for path in (*conf.writer_subsystems, *conf.jobs.values()):
        import_string(path)
    _read_once()


def _read_once() -> None:
    with contextlib.suppress(DatabaseError):  # the tables may not be there yet
        epochs.last()
        schema.pending()
        schema.applied()
        epochs.crashed_releases()


def main(instance: Instance, channel: socket.socket) -> int:
    """Run the writer of *instance* until *channel* ends; return the exit status."""
    # The master decides when it ends: a signal to the whole group must not.
    for name in ("INT", "TERM", "QUIT", "HUP", "USR1", "USR2"):
        signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_IGN)
    for number in (signal.SIGCHLD, signal.SIGWINCH):
        signal.signal(number, signal.SIG_DFL)
    gate.set_authority(gate.NoAuthority())
    _read_once()  # by a connection of its own, which stays open
    return Writer(instance, channel).run()


def _start(
    path: str, stop: threading.Event, before: threading.Thread | None
) -> threading.Thread:
    """Run the subsystem at *path* in a thread, once its thread *before* has ended."""
    run: Any = import_string(path)

    def guarded() -> None:
        try:
            if before is not None:
                before.join()
            if not stop.is_set():
                run(stop)
        except Exception:  # one subsystem must not end the others
            logger.exception("event=subsystem_failed subsystem=%s", path)
        finally:
            connections.close_all()

    thread = threading.Thread(target=guarded, name=path, daemon=True)
    thread.start()
    return thread
