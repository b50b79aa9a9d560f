"""
The gunicorn worker: gthread, taught who may stop it and when it is draining.

It runs in every worker process. What it knows of the instance it reads from
the page that it shares with the master.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import functools
import os
import selectors
import signal
import socket
import time
from collections import deque
from typing import Any

from gunicorn.util import close as gunicorn_close
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from lifecycle.page import WorkerSlot

# How often the loop and the thread pool say that they are alive, in seconds.
_BEAT_INTERVAL = 0.5
# How long a worker waits that may not open another file, in seconds.
_FULL_SECONDS = 0.01
# How long a new connection may take to send, though the worker stops, in seconds.
_FIRST_BYTE_SECONDS = 1.0
# How long a connection that is closed may still be read from, in seconds.
_LINGER_SECONDS = 0.5


def _has_data(client: socket.socket) -> bool:
    """Return whether a read of *client* would not wait: bytes, an end or an error."""
    try:
        client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


class InstanceWorker(ThreadWorker):  # type: ignore[misc]
    """A gthread worker of an instance; `instance` and `slot` are set before the fork."""

    instance: Any
    slot: WorkerSlot
    wsgi: Any

    def init_process(self) -> None:
        """Leave the master's own descriptors to the master, then start."""
        self.slot.pid = os.getpid()
        self.instance.become_child(keep_listeners=True)
        self._next_beat = 0.0
        self._pool_probe: Any = None
        self._lingering: list[Any] = []
        self._is_orphan = False
        self._is_full = False
        self._token = self.instance.internal_token
        self._forward_name = self.instance.forward_name
        super().init_process()

    def load_wsgi(self) -> None:
        """Put the worker's own pages (health checks) in front of the application."""
        from lifecycle.worker_pages import WorkerPages

        super().load_wsgi()
        self.wsgi = WorkerPages(self.wsgi, self._token)

    def run(self) -> None:
        """Serve until the master says stop."""
        self.slot.mark_booted()
        if self.slot.may_stop:
            # The signal came before its handler was there.
            return
        super().run()

    def notify(self) -> None:
        """Tell gunicorn, and the page, that the loop runs; ask the threads too."""
        super().notify()
        now = time.monotonic()
        if now < self._next_beat:
            return
        self._next_beat = now + _BEAT_INTERVAL
        self.slot.beat()
        if self._pool_probe is None or self._pool_probe.done():
            try:
                self._pool_probe = self.tpool.submit(self.slot.progress)
            except RuntimeError:
                return  # the pool has been shut down: the worker is on its way out

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer one request; in a drain the answer closes its connection."""
        if self.instance.page.is_draining:
            req.force_close()
        if conn.server == self._forward_name:
            # Only the instance's own socket gets it, and nobody can guess it.
            req.headers.append(("X-LIFECYCLE-INTERNAL", self._token))
        try:
            return super().handle_request(req, conn)
        finally:
            self.slot.progress()

    def set_accept_enabled(self, enabled: bool) -> None:
        """
        Accept or not; the last time, serve what waits in the queue first.

        Closing a socket that nobody else has resets what is in its accept queue.
        A copy that stays open for the requests in flight would let the kernel
        fill the queue again: so the copies are closed right here. One of several
        workers that stops (max_requests) leaves the queue to the others.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive or not (self.slot.may_stop or self._is_orphan):
            return
        for listener in self.sockets:
            if listener.sock is not None:
                self._empty_queue(listener)
                listener.close()

    def accept(self, listener: Any) -> None:
        """
        Accept a connection; where no file may be opened any more, a little later.

        O_NONBLOCK belongs to the socket and so to all who inherited it: systemd clears
        it when it starts another of them, unless that one has NonBlocking=yes. Then
        the loop would wait here for a connection that another worker has taken.
        """
        os.set_blocking(listener.fileno(), False)
        try:
            super().accept(listener)
        except OSError as exc:
            # gunicorn ends the worker, and resets all of its connections.
            if exc.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            if not self._is_full:
                self.log.warning("Too many open files: new connections wait.")
            self._is_full = True
            time.sleep(_FULL_SECONDS)
        else:
            self._is_full = False

    def enqueue_req(self, conn: Any) -> None:
        """
        Give the connection to a thread, once there is something to read.

        gunicorn lets a thread wait 5 s for the first byte. Browsers connect ahead:
        as many of them as there are threads would keep all readers waiting.
        """
        if conn.initialized or conn.data_ready or _has_data(conn.sock):
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.accepted_at = time.monotonic()
        conn.timeout = conn.accepted_at + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(
            conn.sock,
            selectors.EVENT_READ,
            functools.partial(self.on_pending_socket_readable, conn),
        )

    def finish_request(self, conn: Any, fs: Any) -> None:
        """
        Keep the connection, or close it without a wait.

        gunicorn waits for the client to close its side, up to 2 s, in the loop:
        one that does not would keep all others of this worker waiting.
        """
        conn.close = functools.partial(self._close, conn)
        super().finish_request(conn, fs)

    def _close(self, conn: Any, graceful: bool = False) -> None:
        if graceful:
            self.nr_conns += 1  # until it is closed
            self._begin_linger(conn, time.monotonic())
        else:
            gunicorn_close(conn.sock)

    def is_parent_alive(self) -> bool:
        """Stop as if told to once the master is gone."""
        if super().is_parent_alive():
            return True
        self._is_orphan = True
        self.alive = False
        return False

    def _cap_keepalive(self, deadline: float) -> None:
        """
        Let idle connections go: the worker stops.

        After a drain at once, for they have had the grace. A worker that stops by
        itself (max_requests) gives them one from now.
        """
        if self.instance.page.is_draining:
            deadline = time.monotonic()
        else:
            grace: float = self.instance.knobs["SHUTDOWN_GRACE_PERIOD"]
            deadline = time.monotonic() + grace
        super()._cap_keepalive(deadline)
        # Those that have not sent anything, too, but for who has only just come.
        for conn in self.pending_conns:
            allowed = max(deadline, conn.accepted_at + _FIRST_BYTE_SECONDS)
            conn.timeout = min(conn.timeout, allowed)

    def murder_keepalived(self, force: bool = False) -> None:
        """
        Close connections that have been idle for too long; in a stop, gently.

        close() with a request still unread sends a reset, which may destroy the
        answer before it: so the write side is shut first, and what comes is read
        until the client has closed, or the time is up.
        """
        if self.alive:
            super().murder_keepalived(force)
        else:
            self._let_go(self.keepalived_conns, force=force)
        now = time.monotonic()
        for conn in [c for c in self._lingering if force or c.timeout <= now]:
            self._end_linger(conn)

    def murder_pending(self) -> None:
        """Close connections on which no request has come; see `murder_keepalived`."""
        if self.alive:
            super().murder_pending()
        else:
            self._let_go(self.pending_conns)

    def _let_go(self, idle: deque[Any], *, force: bool = False) -> None:
        now = time.monotonic()
        while idle and (force or idle[0].timeout <= now):
            conn = idle.popleft()
            with contextlib.suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)
            self._begin_linger(conn, now)

    def _begin_linger(self, conn: Any, now: float) -> None:
        conn.timeout = now + _LINGER_SECONDS
        self._lingering.append(conn)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(
                conn.sock,
                selectors.EVENT_READ,
                functools.partial(self._read_away, conn),
            )
        except (OSError, ValueError):
            self._end_linger(conn)

    def _read_away(self, conn: Any, client: Any) -> None:
        try:
            if conn.sock.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # reset: there is nobody left to be gentle with
        self._end_linger(conn)

    def _end_linger(self, conn: Any) -> None:
        self._lingering.remove(conn)
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def _empty_queue(self, listener: Any) -> None:
        waiting = self.nr_conns
        while True:
            self.accept(listener)
            if self.nr_conns == waiting:
                return  # EAGAIN: there is nobody left
            waiting = self.nr_conns

    def handle_exit(self, sig: int, frame: Any) -> None:
        """
        Stop gracefully, if it was the master who asked.

        A signal to the whole process group (Ctrl-C, systemd's default KillMode)
        reaches workers too, and must not cut the grace.
        """
        if self.slot.may_stop:
            super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop at once, if it was the master who asked; see `handle_exit`."""
        if self.slot.may_stop:
            super().handle_quit(sig, frame)

    def init_signals(self) -> None:
        """Take gunicorn's handlers, and let no signal interrupt a system call."""
        # gunicorn goes by way of the defaults, and those would end the process.
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, Worker.SIGNALS)
        try:
            super().init_signals()
            for number in (signal.SIGINT, signal.SIGQUIT):
                signal.siginterrupt(number, False)
            # What the master refuses may come to the whole group, too.
            for number in (signal.SIGHUP, signal.SIGUSR2):
                signal.signal(number, signal.SIG_IGN)
            # A silent worker, which the master aborts, says where it hangs even if no
            # Python can run in it; then gunicorn's handler ends it.
            faulthandler.enable()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
