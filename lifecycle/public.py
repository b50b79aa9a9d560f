"""
The public listeners of one instance: how it comes by them, and how it lets go.

Four ways. `inherit`: systemd holds the socket and passes it. `handover`: the
running instance passes its own. `reuseport`: each has its own on one address, and
new connections are steered to the newer. `bind`: nobody else is there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle import handover, listeners, locks, peers, steering
from lifecycle.knobs import Address
from lifecycle.listeners import BACKLOG, ListenerError
from lifecycle.phases import Phase

if TYPE_CHECKING:
    from lifecycle.instance import Instance

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.1
# gunicorn's loop waits for the answer, so it must be soon.
_RETIRE_SECONDS = 2.0


class PublicListeners:
    """What an instance listens on for readers; made in the master."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._listeners: list[Any] = []
        self._unix_paths: list[tuple[str, int]] = []
        self._successor = ""
        self._giver: peers.Peer | None = None
        self._door: handover.Door | None = None
        self._deploy_lock: int | None = None
        self._is_steering = False
        self._lock = threading.Lock()
        self.kind = ""
        self.shown = str(instance.knobs["LISTEN_ADDR"])
        """Where readers come, for people."""

    # -- how they come --------------------------------------------------------

    def open(self, environ: os._Environ[str]) -> list[socket.socket]:
        """
        Return the public listening sockets; the instance is warm.

        Raises:
            ListenerError: the way that was chosen does not work here.
        """
        choice, address = self._knobs
        inherited = listeners.inherit(choice, environ)
        if inherited:
            self.kind = "inherit"
            return inherited
        if choice == "reuseport":
            self.kind = choice
            return [self._share(address)]
        if choice in {"auto", "handover"}:
            received = self._receive()
            if received:
                self.kind = "handover"
                return received
        self.kind = "bind"
        try:
            listener = listeners.bind(address)
        except ListenerError as exc:
            for peer in self._sharers():
                # It was warm before this one was, which is too late to follow it.
                advice = "Start this one again to follow it."
                if choice == "bind":
                    advice = "Set LISTENER=auto to take its place, or stop it first."
                raise ListenerError(
                    f"LISTEN_ADDR: {address} is that of {peer.id}, which is here "
                    f"already. {advice}"
                ) from exc
            raise ListenerError(f"LISTEN_ADDR: {exc}") from exc
        if address.is_unix:
            # It is public, and a proxy in front of it is another user.
            Path(address.path).chmod(0o666)
        return [listener]

    @property
    def _knobs(self) -> tuple[str, Address]:
        knobs = self._instance.knobs
        return knobs["LISTENER"], knobs["LISTEN_ADDR"]

    def _sharers(self) -> list[peers.Peer]:
        """Return the peers on our public address, youngest first."""
        own = self._instance
        return [
            peer
            for peer in reversed(own.living_peers())
            if peer.record.get("public") == str(own.knobs["LISTEN_ADDR"])
        ]

    def _elders(self) -> list[peers.Peer]:
        """Return those of the sharers that started before us, youngest first."""
        started_at = self._instance.started_at
        return [
            peer
            for peer in self._sharers()
            if peer.record.get("started_at", 0.0) < started_at
        ]

    def _receive(self) -> list[socket.socket]:
        """
        Return what a running instance hands over; nothing when there is none.

        Raises:
            ListenerError: a deploy has been under way for too long.
        """
        instance = self._instance
        patience = max(instance.knobs["WRITER_ACQUIRE_TIMEOUT"], 1.0)
        deadline = time.monotonic() + patience
        while True:
            refusal = ""
            for peer in self._elders():
                try:
                    sockets = handover.receive(
                        instance.run_dir, peer, {"want": "public", "id": instance.id}
                    )
                except handover.HandoverRefusedError as exc:
                    if not exc.is_final:
                        refusal = f"{peer.id}: {exc}"
                except TimeoutError:
                    # Frozen, or very busy: it has the address all the same.
                    refusal = f"{peer.id}: it does not answer"
                except OSError:
                    continue  # it is starting, or has just ended
                else:
                    self._giver = peer
                    logger.info("event=listeners_received from=%s", peer.id)
                    return sockets
            if not refusal:
                return []
            if time.monotonic() >= deadline:
                raise ListenerError(
                    f"No listener within {patience:g} s: {refusal}. One deploy at a "
                    "time: wait for it, or end it, then start again."
                )
            instance.report(0, 0, f"waiting: {refusal}")
            time.sleep(_RETRY_SECONDS)

    def _share(self, address: Address) -> socket.socket:
        """Return an own socket on a shared address, the second one at the most."""
        if address.is_unix:
            raise ListenerError(
                "LISTENER=reuseport needs a TCP address; for a unix socket use handover."
            )
        run_dir = self._instance.run_dir
        while (lock := locks.acquire(run_dir.path / "reuseport.lock")) is None:
            self._instance.report(0, 0, "waiting for another deploy")
            time.sleep(_RETRY_SECONDS)
        self._deploy_lock = lock
        # A program that a dead instance left would send everything here at once.
        for peer in self._elders():
            with contextlib.suppress(OSError):
                peers.post(run_dir, peer, "/unsteer", {}, timeout=2.0)
        try:
            family, name = listeners.resolve(address)
            # Workers that outlive a killed master keep its socket for a while.
            while steering.count_listening(family, name) > 1:
                self._instance.report(0, 0, f"waiting: two sockets share {address}")
                time.sleep(_RETRY_SECONDS)
            return steering.listen(family, name, BACKLOG)
        except OSError as exc:
            raise ListenerError(
                f"LISTEN_ADDR: cannot share {address}: {exc.strerror}. Whoever has it "
                "must have been started with LISTENER=reuseport too."
            ) from exc

    def adopt(self, gunicorn_listeners: list[Any]) -> None:
        """Take note of gunicorn's listeners, and let peers ask for them."""
        self._listeners = gunicorn_listeners
        if self.kind == "inherit":
            # The knob was not asked.
            self.shown = ", ".join(
                str(
                    Address("", 0, name)
                    if isinstance(name, str)
                    else Address(*name[:2])
                )
                for name in (listener.getsockname() for listener in self._public())
            )
        self._unix_paths = [
            (path, Path(path).stat().st_ino)
            for listener in self._public()
            if listener.family == socket.AF_UNIX
            and self.kind in {"bind", "handover"}
            and (path := listener.getsockname())
        ]
        self._door = handover.Door(
            self._instance.run_dir, self._instance.id, self._give
        )

    def _public(self) -> list[Any]:
        return [
            listener
            for listener in self._listeners
            if listener.getsockname() != self._instance.forward_name
        ]

    # -- how they go ----------------------------------------------------------

    def _give(self, request: dict[str, Any]) -> tuple[Sequence[int], str]:
        """Hand listeners to a peer. Called by the door's thread."""
        asker = str(request.get("id"))
        if request.get("want") == "internal":
            return self._instance.give_internal(), ""
        with self._lock:
            if self._instance.is_stopping:
                return [], "it is stopping"
            rival = self._successor
            run = self._instance.run_dir.path
            if rival not in {"", asker} and locks.is_locked(run / f"{rival}.lock"):
                return [], f"a deploy is under way: instance {rival} takes over"
            giver = self._giver
            if giver is not None and locks.is_locked(run / f"{giver.id}.lock"):
                # The deploy that brought this one is not over yet.
                return [], f"a deploy is under way: it takes over from {giver.id}"
            self._successor = asker
            return [os.dup(listener.fileno()) for listener in self._public()], ""

    def close(self, gunicorn_listeners: list[Any]) -> None:
        """Close *gunicorn_listeners*; the last that has them removes socket files."""
        for listener in gunicorn_listeners:
            listener.close()
        self._listeners = []
        if not self._sharers():
            for path, inode in self._unix_paths:
                with contextlib.suppress(FileNotFoundError):
                    if Path(path).stat().st_ino == inode:
                        Path(path).unlink()
        self._unix_paths = []

    def close_in_child(self, *, keep_listeners: bool) -> None:
        """Close what belongs to the master alone. For a child, right after the fork."""
        if not keep_listeners:
            for listener in self._listeners:
                listener.close()
        if self._door is not None:
            self._door.listener.close()
        if self._deploy_lock is not None:
            os.close(self._deploy_lock)
            self._deploy_lock = None

    # -- while it runs --------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to do as soon as this instance is ready."""
        if self._deploy_lock is not None and not self._is_steering:
            return True
        return self._giver is not None

    def tick(self) -> None:
        """Do what is due once this instance is ready. For gunicorn's main loop."""
        if self._instance.phases.phase is not Phase.READY:
            return
        if self.kind == "reuseport":
            self._steer()
        if self._giver is not None and self._retire(self._giver):
            self._giver = None

    def _steer(self) -> None:
        """Steer to our socket while there is another; once alone, let others deploy."""
        if self._deploy_lock is None:
            return
        listener = self._public()[0]
        family, name = listener.sock.family, listener.getsockname()[:2]
        if steering.count_listening(family, name) == 1:
            self.unsteer()
            os.close(self._deploy_lock)
            self._deploy_lock = None
        elif not self._is_steering:
            self._is_steering = True
            refusal = steering.attach(listener.fileno())
            if refusal:
                logger.warning(
                    "event=steering_refused reason=%s hint=%s",
                    json.dumps(refusal),
                    '"the old instance empties its queue before it closes"',
                )
            else:
                logger.info("event=steering instance=%s", self._instance.id)

    def give_way(self) -> None:
        """Steer to the older socket: this instance drains, and closes the newer one."""
        if self._is_steering:
            steering.attach(self._public()[0].fileno(), steering.OLDER)

    def unsteer(self) -> None:
        """Let the kernel's hash choose among the sockets of the address. Idempotent."""
        self._is_steering = False
        public = self._public()
        if self.kind == "reuseport" and public:
            steering.detach(public[0].fileno())

    def _retire(self, giver: peers.Peer) -> bool:
        """Tell the one whose listeners these were to drain; return whether it knows."""
        try:
            peers.post(
                self._instance.run_dir,
                giver,
                "/retire",
                {"successor": self._instance.id},
                timeout=_RETIRE_SECONDS,
            )
        except OSError as exc:
            logger.warning(
                "event=predecessor_silent predecessor=%s reason=%r", giver.id, str(exc)
            )
            # Asked again, unless it has gone by itself.
            return not locks.is_locked(self._instance.run_dir.path / f"{giver.id}.lock")
        logger.info("event=predecessor_retired predecessor=%s", giver.id)
        return True
