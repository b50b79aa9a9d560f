"""
The gate in front of unsafe requests: a WSGI layer around Django's handler.

A write's body is spooled first; then the request runs in one transaction, BEGIN
IMMEDIATE, epoch check, view, COMMIT. A check that fails means that nothing ran
and that the body is still there: so the request waits for a writer, or goes to
the instance that is one. Readers never wait for writers: at most half of a
worker's threads have to do with writes, and one more gets 503 at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import IO, Any

from django.db import close_old_connections, connection
from django.db.utils import DatabaseError, OperationalError
from django.utils.module_loading import import_string

from lifecycle import answers, forward, gate
from lifecycle.answers import WriteAnswer
from lifecycle.conf import conf
from lifecycle.worker_state import WorkerState, state

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
Application = Callable[..., Iterable[bytes]]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# A body up to this size stays in memory, in bytes.
_SPOOL_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
# How long a client may take to send its body, in seconds.
_BODY_TIMEOUT = 60.0
# Between two looks for a writer, in seconds.
_POLL = 0.005


class WriteGate:
    """The layer; it stands between what answers from memory and Django's handler."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._paths = conf.write_paths

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _SAFE or not environ["PATH_INFO"].startswith(
            self._paths
        ):
            return self._application(environ, start_response)
        worker = state()
        if worker is None:
            # Not in an instance: development, where the process writes itself.
            return self._answer(environ, None).send(start_response)
        if not worker.seats.acquire(blocking=False):
            _leave_body(environ)
            if environ.get("lifecycle.forwarded"):
                # Its sender has a seat for it, and sends it again in a moment.
                answer = answers.misdirected()
            else:
                answer = answers.busy(environ, "too many writes wait already")
            return answer.send(start_response)
        try:
            answer = self._answer(environ, worker)
        finally:
            worker.seats.release()
            close_old_connections()
        return answer.send(start_response)

    def _answer(self, environ: Environ, worker: WorkerState | None) -> WriteAnswer:
        write = _Write(self._application, environ, worker)
        with contextlib.closing(write):
            refusal = write.spool()
            if refusal is not None:
                _leave_body(environ)
                return refusal
            if worker is None:
                answer = write.run_here()
                return answer or answers.busy(environ, "another process writes")
            if environ.get("lifecycle.forwarded"):
                # One hop: who is not the holder says so, and runs nothing.
                return write.run_admitted() or answers.misdirected()
            return write.run_somewhere()


class _Write:
    """One unsafe request on its way to a writer."""

    def __init__(
        self, application: Application, environ: Environ, worker: WorkerState | None
    ) -> None:
        self._application = application
        self._environ = environ
        self._worker = worker
        self._body: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - closed by close()
        self._hash = hashlib.sha256()
        self._began = time.monotonic()
        self._id = str(uuid.uuid4())
        self._is_forwarded = bool(environ.get("lifecycle.forwarded"))
        # At a holder whose answer was lost: only asking with the same id tells.
        self._may_have_run = False
        self._remaining = conf.write_hold_timeout
        if self._is_forwarded:
            self._id = environ.get(forward.ID_HEADER, self._id)
            self._remaining = forward.remaining(environ, self._remaining)

    def close(self) -> None:
        """Drop the body."""
        self._body.close()

    @property
    def _path(self) -> str:
        return str(self._environ["PATH_INFO"])

    @property
    def _deadline(self) -> float:
        return self._began + self._remaining

    # -- the body -------------------------------------------------------------

    def spool(self) -> WriteAnswer | None:
        """Read the whole body; return an answer when it is too large, or too slow."""
        environ, limit = self._environ, conf.max_body_bytes
        declared = environ.get("CONTENT_LENGTH") or "0"
        if declared.isdigit() and int(declared) > limit:
            return answers.too_large(environ, limit)
        connection_socket = environ.get("gunicorn.socket")
        source = environ["wsgi.input"]
        ends_at = time.monotonic() + _BODY_TIMEOUT
        size = 0
        try:
            if connection_socket is not None:
                connection_socket.settimeout(_BODY_TIMEOUT / 4)
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    return answers.too_large(environ, limit)
                if time.monotonic() > ends_at:
                    return answers.too_slow(environ)
                self._hash.update(chunk)
                self._body.write(chunk)
        except TimeoutError:
            return answers.too_slow(environ)
        finally:
            if connection_socket is not None:
                connection_socket.settimeout(None)
        if declared.isdigit() and size < int(declared):
            return answers.incomplete(environ)
        environ["CONTENT_LENGTH"] = str(size)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        # Waiting for a writer begins when the request is there.
        self._began = time.monotonic()
        return None

    # -- where it runs --------------------------------------------------------

    def run_somewhere(self) -> WriteAnswer:
        """Run here, or where the holder is, as soon as there is one; or give up."""
        assert self._worker is not None  # noqa: S101 - see WriteGate
        waited = False
        while True:
            answer = self.run_admitted()
            if answer is None:
                outcome = self._forward()
                answer = outcome.answer
                self._may_have_run = self._may_have_run or outcome.may_have_run
            if answer is not None:
                if self._may_have_run and answer.is_busy:
                    # Whoever said so has not looked whether it ran before.
                    answer = answers.unknown_outcome(self._environ)
                if waited:
                    self._worker.slot.count_held(time.monotonic() - self._began)
                return answer
            if time.monotonic() >= self._deadline:
                logger.warning(
                    "event=write_given_up path=%s sent=%s",
                    self._path,
                    self._may_have_run,
                )
                if self._may_have_run:
                    return answers.unknown_outcome(self._environ)
                return answers.busy(self._environ, "there is no writer now")
            waited = True
            time.sleep(_POLL)

    def _forward(self) -> forward.Outcome:
        assert self._worker is not None  # noqa: S101 - see WriteGate
        connection.ensure_connection()
        _, holder = gate.read_epoch(connection)  # type: ignore[arg-type]
        # In autocommit mode, so that the next look sees what was committed since.
        if not holder or " " in holder or holder == self._worker.instance_id:
            return forward.NOT_SENT
        outcome = forward.send(
            self._worker.run_dir,
            holder,
            self._environ,
            self._body,
            self._id,
            self._deadline - time.monotonic(),
        )
        if outcome.answer is not None:
            self._worker.slot.count_forwarded()
            self._worker.page.raise_sequence(outcome.sequence)
        return outcome

    def run_admitted(self) -> WriteAnswer | None:
        """Run here when this instance holds the slot; None when it does not."""
        worker = self._worker
        assert worker is not None  # noqa: S101 - see WriteGate
        if not gate.current_epoch():
            return None
        if not worker.admission.acquire(
            timeout=max(0.0, self._deadline - time.monotonic())
        ):
            return answers.busy(self._environ, "the writes before this one take long")
        worker.slot.is_writing = True
        try:
            # Looked at again: admission may have been closed while this one waited.
            return self.run_here() if gate.current_epoch() else None
        finally:
            worker.slot.is_writing = False
            worker.admission.release()

    def run_here(self) -> WriteAnswer | None:
        """Run in one transaction; None when the epoch is over, and nothing ran."""
        has_id = self._is_forwarded or self._may_have_run
        key = answers.key_of(self._environ, self._id if has_id else "")
        body_hash = self._hash.hexdigest()
        patience = max(0.0, self._deadline - time.monotonic())
        try:
            with gate.write(patience=patience):
                answer = answers.find(key, body_hash, self._environ)
                if answer is None or not self._may_be_told():
                    before = _rows_changed()
                    answer = self._call()
                    is_undone = connection.needs_rollback
                    # A refusal that changed nothing may be given again, and anybody
                    # could fill the disk with those.
                    if (
                        key
                        and not is_undone
                        and (not answer.is_refusal or _rows_changed() != before)
                    ):
                        answers.store(key, body_hash, answer)
        except gate.WriterSlotLostError as exc:
            logger.info("event=writer_slot_lost reason=%r", str(exc))
            return None
        except _FailedError as exc:
            return exc.answer
        except OperationalError as exc:
            # Locked for longer than the time-out, or no room on the disk.
            logger.exception("event=write_failed path=%s", self._path)
            return answers.busy(self._environ, f"the database says: {exc}")
        self._note_sequence(answer)
        return answer

    def _may_be_told(self) -> bool:
        """Whether who sent this may still be told what was answered before."""
        authority = conf.write_authority
        return not authority or bool(import_string(authority)(self._environ))

    def _call(self) -> WriteAnswer:
        """
        Return what the application answers, read to its end.

        Raises:
            _FailedError: it failed; the transaction around this is to be undone.
        """
        self._body.seek(0)
        environ = {**self._environ, "wsgi.input": self._body}
        started: list[Any] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            started[:] = [status, list(headers)]
            return lambda data: None

        response = self._application(environ, start_response)
        try:
            body = b"".join(response)
        finally:
            if hasattr(response, "close"):
                response.close()
        answer = WriteAnswer(started[0], started[1], body)
        if answer.is_failure:
            raise _FailedError(answer)
        if connection.needs_rollback and not answer.is_refusal:
            logger.error("event=write_undone path=%s", self._path)
            raise _FailedError(answers.undone(self._environ))
        return answer

    def _note_sequence(self, answer: WriteAnswer) -> None:
        """Tell every worker of this instance what state has been acknowledged."""
        if self._worker is None or not conf.sequence:
            return
        try:
            sequence = int(import_string(conf.sequence)())
        except DatabaseError:
            # It is committed, whatever becomes of this.
            logger.exception("event=sequence_unknown path=%s", self._path)
            return
        self._worker.page.raise_sequence(sequence)
        if self._is_forwarded:
            answer.headers.append((forward.SEQUENCE_HEADER, str(sequence)))


def _leave_body(environ: Environ) -> None:
    """
    Close the connection after the answer: what is left of the body is not read.

    gunicorn would read it away, for up to 5 s in a thread that a reader needs.
    """
    close: Callable[[], None] | None = environ.get("lifecycle.close_connection")
    if close is not None:
        close()


def _rows_changed() -> int:
    """Return how many rows this thread's connection has changed so far."""
    changed: int = connection.connection.total_changes
    return changed


class _FailedError(Exception):
    """Rolls the transaction back; carries the answer that the client gets."""

    def __init__(self, answer: WriteAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def make_seats(threads: int) -> threading.BoundedSemaphore:
    """Return as many seats as a worker of *threads* has for writes: half, at least one."""
    return threading.BoundedSemaphore(max(1, threads // 2))
