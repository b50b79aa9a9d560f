"""
The writer process's socket: jobs that commands hand over.

A line of JSON in ({"name", "params"}), lines of JSON out: {"progress": …} as
often as the job likes, then {"result": …} or {"error": …, "returncode": …}.
One job runs at a time; the next waits for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from typing import Any

from django.db import connections
from django.utils.module_loading import import_string

from lifecycle.conf import conf
from lifecycle.internal_server import is_trusted_peer
from lifecycle.peers import RunDir

logger = logging.getLogger(__name__)

# A command that says nothing for this long has gone away, in seconds.
_REQUEST_TIMEOUT = 10.0
_MAX_REQUEST_BYTES = 1 << 20


class JobServer:
    """Runs the jobs of LIFECYCLE_JOBS for whoever connects to the socket."""

    def __init__(
        self,
        run_dir: RunDir,
        name: str,
        one_at_a_time: threading.Lock | None = None,
    ) -> None:
        """
        Listen as *name*.

        Args:
            run_dir: where the socket is made.
            name: of the socket.
            one_at_a_time: held by the job that runs, also by one of the server before.
        """
        self._path = run_dir.path / name
        self._listener = run_dir.listen(name)
        self._one_at_a_time = one_at_a_time or threading.Lock()
        self._is_closed = False

    def start(self) -> None:
        """Accept in a thread of its own."""
        threading.Thread(target=self._accept, name="jobs", daemon=True).start()

    def close(self, timeout: float) -> bool:
        """Take no more jobs; return whether the one that runs ends in time. Idempotent."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        if not self._one_at_a_time.acquire(timeout=timeout):
            return False
        self._one_at_a_time.release()
        return True

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            if not is_trusted_peer(connection):
                connection.close()
                continue
            threading.Thread(
                target=self._serve, args=(connection,), name="job", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_REQUEST_TIMEOUT)
        # A command that went away does not stop the job that it started. Closing the
        # stream may raise, too, when there is nobody to say the rest to.
        with (
            contextlib.suppress(OSError, ValueError),
            connection,
            connection.makefile("rwb") as stream,
        ):
            request = json.loads(stream.readline(_MAX_REQUEST_BYTES))
            # The command knows by this line that it need not look further.
            _say(stream, {"accepted": True})
            answer = self._answer(stream, request)
            _say(stream, answer)

    def _answer(self, stream: Any, request: Any) -> dict[str, Any]:
        try:
            name, params = request["name"], request["params"]
        except (KeyError, TypeError):
            return {"error": "no job can be read here", "returncode": 2}
        return self._run(stream, name, params)

    def _run(self, stream: Any, name: str, params: dict[str, Any]) -> dict[str, Any]:
        paths = conf.jobs
        if name not in paths:
            return {"error": f"no job is named {name!r} here", "returncode": 2}

        is_heard = True

        def progress(state: dict[str, Any]) -> None:
            nonlocal is_heard
            if is_heard:
                try:
                    _say(stream, {"progress": state})
                except (OSError, ValueError):
                    # Gone, or stopped: each further line would wait for it.
                    is_heard = False

        with self._one_at_a_time:
            if self._is_closed:
                return {
                    "error": "this instance is stopping; try again",
                    "returncode": 3,
                }
            began = time.monotonic()
            logger.info("event=job_start job=%s", name)
            try:
                result = import_string(paths[name])(params, progress)
                json.dumps(result)
            except Exception as exc:
                returncode = getattr(exc, "returncode", None)
                if returncode is None:
                    logger.exception("event=job_failed job=%s", name)
                    return {
                        "error": f"{name} failed in the writer (pid {os.getpid()}); "
                        "its log has the reason",
                        "returncode": 1,
                    }
                logger.warning("event=job_refused job=%s reason=%r", name, str(exc))
                return {"error": str(exc), "returncode": returncode}
            finally:
                connections.close_all()
            logger.info(
                "event=job_end job=%s seconds=%.3f", name, time.monotonic() - began
            )
            return {"result": result}


def _say(stream: Any, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value).encode() + b"\n")
    stream.flush()
