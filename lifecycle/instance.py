"""
One instance: a gunicorn master, what it knows of itself, and what it tells.

Everything here runs in the master. Its main thread is gunicorn's loop; the
threads of the internal server read plain attributes and the shared page.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle import handover, last_backup, locks, peers, timeline
from lifecycle.companions import Companion
from lifecycle.exceptions import LifecycleError
from lifecycle.frozen import process_identity
from lifecycle.internal_pages import InternalPages
from lifecycle.internal_server import InternalServer
from lifecycle.keeper import SlotKeeper
from lifecycle.knobs import Address
from lifecycle.listeners import ListenerError, bind
from lifecycle.notify import Notifier
from lifecycle.page import SharedPage
from lifecycle.phases import Phase, PhaseMachine, PhaseTransitionError
from lifecycle.public import PublicListeners
from lifecycle.slot import WriterSlot

logger = logging.getLogger(__name__)

# How often a waiting instance looks for the slot, and a draining one at the
# clock, in seconds; an idle one ticks once a second.
_BUSY_TICK = 0.1
_IDLE_TICK = 1.0
# How long a peer's process may take from its last word to its end, in seconds.
_LEAVING_PEER_SECONDS = 1.0


class InstanceError(LifecycleError):
    """The instance cannot start; the message is one line for an operator."""


@dataclasses.dataclass
class Progress:
    """How far the warmup has come; written by the warmup, read by the probes."""

    what: str = ""
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return (
            f"{self.done}/{self.total} {self.what}".strip() if self.total else self.what
        )


class Instance:
    """
    One instance of a data directory.

    Made in the master before Django is imported; `open` makes it known to
    peers and to whoever probes it.
    """

    def __init__(self, knobs: Mapping[str, Any], version: str = "") -> None:
        self.knobs = knobs
        self.version = version
        self.known_migrations: list[str] = []
        self.data_dir: Path = knobs["DATA_DIR"]
        self.shutdown_timeout: float = knobs["SHUTDOWN_TIMEOUT"]
        self.id = ""
        self.page = SharedPage()
        self.phases = PhaseMachine(announce=self._announce)
        self.progress = Progress()
        self.internal_token = secrets.token_hex(16)
        self.run_dir = peers.RunDir(self.data_dir)
        self.forward_name = ""
        self.master_pid = os.getpid()
        self.started_at = time.time()
        self.loop_beat = time.monotonic()
        self.workers_wanted: int = knobs["WORKERS"]
        self._workers_booted = False
        self._drain_ends_at: float | None = None
        self.is_stopping = False
        self.is_rushed = False
        """Whether an operator wants the end at once."""
        self._registration: int | None = None
        self._servers: list[InternalServer] = []
        self._internal_wanted: Address | None = None
        self.slot = WriterSlot(self.data_dir, "an instance that is starting")
        self.keeper: SlotKeeper | None = None
        self.companions: list[Companion] = []
        self.after_ready: list[Companion] = []
        self.public = PublicListeners(self)
        self.pages = InternalPages(self)
        self.notifier = Notifier(os.environ)

    # -- start ----------------------------------------------------------------

    def open(self) -> None:
        """
        Register in the run folder and answer probes, before Django is imported.

        Raises:
            InstanceError: the data directory or an address cannot be used.
        """
        internal: Address = self.knobs["INTERNAL_LISTEN_ADDR"]
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self.id, self._registration = peers.register(
                self.run_dir,
                {
                    **process_identity(),
                    "started_at": self.started_at,
                    "version": self.version,
                    "internal": str(internal),
                    "public": str(self.knobs["LISTEN_ADDR"]),
                },
            )
            control = self.run_dir.listen(f"{self.id}.ctl")
        except OSError as exc:
            raise InstanceError(
                f"DATA_DIR {self.data_dir} cannot be used: {exc.strerror}. "
                "It must be a folder that this user may write to."
            ) from exc
        self._record(self.phases.phase)  # it began before there was a name
        self.slot = WriterSlot(self.data_dir, f"instance {self.id}")
        self._serve_internal(control, control=True)
        self._internal_wanted = internal
        self._take_internal_address()
        logger.info("event=start instance=%s data_dir=%s", self.id, self.data_dir)

    def _serve_internal(
        self, listener: socket.socket, *, control: bool = False
    ) -> None:
        application = self.pages.application(is_control=control)
        self._servers.append(
            InternalServer(listener, application, is_internal=not control)
        )

    def _take_internal_address(self) -> None:
        """
        Bind the internal address, or leave it to the peer that has it.

        Until the peer is gone, this instance's probes answer on its unix socket.

        Raises:
            InstanceError: something that is no peer has the address.
        """
        wanted = self._internal_wanted
        if wanted is None:
            return
        deadline = time.monotonic() + _LEAVING_PEER_SECONDS
        while True:
            try:
                listener = bind(wanted)
                break
            except ListenerError as exc:
                if self.phases.phase is not Phase.STARTING or self._is_peers(wanted):
                    return
                # A peer that leaves is off the list before its process ends.
                if not _is_in_use(exc) or time.monotonic() >= deadline:
                    raise InstanceError(f"INTERNAL_LISTEN_ADDR: {exc}") from exc
                time.sleep(0.05)
        self._internal_wanted = None
        self._serve_internal(listener)

    def give_internal(self) -> list[int]:
        """
        Stop answering on the internal address and return a copy of its listener.

        Called by the door's thread. From now on this instance's probes answer on
        its unix socket; it takes the address back when the peer is gone.
        """
        for server in self._servers:
            if server.is_internal:
                self._servers.remove(server)
                copy = os.dup(server.listener.fileno())
                server.close()
                self._internal_wanted = self.knobs["INTERNAL_LISTEN_ADDR"]
                return [copy]
        return []

    def _take_over_internal(self) -> None:
        """Get the internal address from the peer that has it; we are ready, it was."""
        wanted = str(self._internal_wanted)
        for peer in self.living_peers():
            if peer.record.get("internal") != wanted:
                continue
            with contextlib.suppress(OSError):
                received = handover.receive(
                    self.run_dir, peer, {"want": "internal", "id": self.id}
                )
                if not received:
                    continue  # several want the address, and another one has it
                self._internal_wanted = None
                self._serve_internal(received[0])
                logger.info("event=internal_address_taken from=%s", peer.id)
                return

    def living_peers(self) -> list[peers.Peer]:
        """Return the other living instances of this data directory, eldest first."""
        return peers.living(self.run_dir, but=self.id)

    def lives_beside_older(self) -> bool:
        """Return whether an instance of another version lives here."""
        return any(
            peer.record.get("version") != self.version for peer in self.living_peers()
        )

    def _is_peers(self, wanted: Address) -> bool:
        """Return whether a peer listens where *wanted* is; it may be on every interface."""
        for peer in peers.living(self.run_dir, but=self.id):
            theirs = str(peer.record.get("internal", ""))
            if theirs == str(wanted) or (
                not wanted.is_unix and theirs.endswith(f":{wanted.port}")
            ):
                return True
        return False

    def report(self, done: int, total: int, what: str) -> None:
        """Note how far the warmup is. Called by it, from the main thread."""
        self.progress = Progress(what, done, total)
        self.notifier.status(f"warming: {self.progress}", starting=True)

    def listen_forward(self) -> socket.socket:
        """Return the instance's own socket that its workers serve."""
        listener = self.run_dir.listen(f"{self.id}.fwd")
        self.forward_name = listener.getsockname()
        return listener

    # -- children -------------------------------------------------------------

    def become_child(self, *, keep_listeners: bool) -> None:
        """
        Close what belongs to the master alone. For a child, right after the fork.

        Never unlocks anything: closing a copy of a descriptor leaves the lock
        with the master, and with nobody once the master is dead.
        """
        for server in self._servers:
            server.close_in_child()
        peers.close_in_child()
        if self._registration is not None:
            os.close(self._registration)
            self._registration = None
        self.public.close_in_child(keep_listeners=keep_listeners)
        self.slot.release()
        locks.close_copies(self.slot.path)
        if self.keeper is not None:
            self.keeper.close_in_child()
        for companion in (*self.companions, *self.after_ready):
            companion.close_in_child()

    # -- what others ask of it ------------------------------------------------

    def workers_have_booted(self) -> bool:
        """Return whether all workers have served at once before. From any thread."""
        if not self._workers_booted:
            booted = [slot for slot in self.page.workers() if slot.booted]
            self._workers_booted = len(booted) >= self.workers_wanted
        return self._workers_booted

    def write_counts(self) -> dict[str, int]:
        """Return the writes held and forwarded, and the longest hold."""
        held, forwarded, longest = self.page.writes()
        return {
            "writes_held": held,
            "writes_forwarded": forwarded,
            "longest_hold_ms": round(longest * 1000),
        }

    def ask(self) -> dict[str, Any]:
        """Return the ask for the writer slot, as JSON has it."""
        return {
            "asker": self.id,
            "version": self.version,
            "migrations": self.known_migrations,
        }

    # -- the loop -------------------------------------------------------------

    def _announce(self, phase: Phase) -> None:
        self.page.phase = phase
        if self.id:
            self._record(phase)
        # The loop begins with the phase: what came before it was no silence.
        self.loop_beat = time.monotonic()

    def _record(self, phase: Phase) -> None:
        timeline.record(
            self.data_dir,
            self.id,
            phase.value,
            version=self.version,
            epoch=self.page.epoch,
            **self.write_counts(),
        )

    def seconds_to_tick(self) -> float:
        """Return how long gunicorn's loop may wait for a signal."""
        self.loop_beat = time.monotonic()
        is_waiting = self._internal_wanted is not None or self.public.is_waiting
        if self.phases.phase is Phase.STANDBY or is_waiting:
            return _BUSY_TICK
        if self._drain_ends_at is not None:
            return max(0.0, min(_IDLE_TICK, self._drain_ends_at - time.monotonic()))
        return _IDLE_TICK

    def tick(self) -> bool:
        """
        Do what is due; return whether the grace is over and the end has come.

        Called by gunicorn's main loop, at least once a second.
        """
        self.loop_beat = time.monotonic()
        if self.keeper is not None:
            self.keeper.writer.tend()
            if self.keeper.failure:
                raise InstanceError(self.keeper.failure)
            self._tend_companions()
        if self._drain_ends_at is not None:
            return time.monotonic() >= self._drain_ends_at
        if self._internal_wanted is not None:
            self._take_internal_address()
        if self._internal_wanted is not None and self.phases.phase is Phase.READY:
            self._take_over_internal()
        self.public.tick()
        self._notify()
        return False

    def _notify(self) -> None:
        """Tell the service manager; READY=1 when /readyz is first 200."""
        checks = list(self.pages.readyz())
        if all(check.ok for check in checks):
            self.notifier.ready()
        failing = [check.text for check in checks if not check.ok]
        # Standby belongs to the start, and the wait for the slot may be a long one.
        self.notifier.status(
            "; ".join(failing) or self.phases.phase.value, starting=True
        )

    def stand_by(self) -> None:
        """Warm, and about to serve: ask for the slot. For gunicorn's main thread."""
        self.phases.transition(Phase.STANDBY, instance=self.id)
        self.keeper = SlotKeeper(self)
        self.keeper.start()
        self._tend_companions()

    def _tend_companions(self) -> None:
        """Keep what works beside the workers alive; a start comes before theirs."""
        for companion in self.companions:
            companion.tend()
        if self.phases.phase is Phase.READY:
            for companion in self.after_ready:
                companion.tend()

    def hold(self, epoch: int) -> None:
        """Write under *epoch* from now on; 0: no more. For the tenure's thread."""
        self.page.epoch = epoch
        if not epoch:
            self.page.is_closing = False
        try:
            if epoch and self.phases.phase is Phase.STANDBY:
                self.phases.transition(Phase.READY, instance=self.id, epoch=epoch)
            elif not epoch and self.phases.phase is Phase.READY:
                self.phases.transition(Phase.STANDBY, instance=self.id)
        except PhaseTransitionError:
            logger.info("event=drain_came_first instance=%s", self.id)

    # -- the end --------------------------------------------------------------

    def begin_drain(self, reason: str) -> bool:
        """
        Turn /readyz to 503 and start the grace; return False when it runs already.
        """
        if self.phases.phase in {Phase.DRAINING, Phase.STOPPED}:
            logger.info("event=drain_goes_on signal=%s", reason)
            return False
        self.notifier.stopping()
        self.public.give_way()
        grace: float = self.knobs["SHUTDOWN_GRACE_PERIOD"]
        self._drain_ends_at = time.monotonic() + grace
        self.phases.transition(
            Phase.DRAINING, reason=reason, grace_seconds=grace, instance=self.id
        )
        return True

    def begin_stop(self) -> None:
        """Note that accepting ends now. Idempotent."""
        if self.is_stopping:
            return
        self.is_stopping = True
        if self.phases.phase in {Phase.STANDBY, Phase.READY}:
            # Not by way of a drain: an operator's second signal, or a crash.
            self.phases.transition(Phase.DRAINING, reason="stop", instance=self.id)
        logger.info("event=accepting_ends instance=%s", self.id)

    def close(self) -> None:
        """End the writer, then give the slot back, then leave the run folder. Idempotent."""
        if os.getpid() != self.master_pid or self._registration is None:
            return
        for companion in (*self.companions, *self.after_ready):
            companion.stop()
        if self.keeper is not None:
            last_backup.back_up(self)
            self.keeper.finish()
        self.slot.release()
        if self.phases.phase is not Phase.STOPPED:
            self.phases.transition(Phase.STOPPED, instance=self.id)
        peers.unregister(self.run_dir, self.id)
        os.close(self._registration)
        self._registration = None


def _is_in_use(error: ListenerError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
