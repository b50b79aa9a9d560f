"""
A frozen holder is ended, not bypassed.

A stopped process keeps its locks, and SQLite's own. When the holder's control
socket has been silent for 5 s, a peer in the same pid namespace kills its
master: by pidfd, the start time compared, so that no other process of that pid
is hit. In another namespace its own liveness probe has to do it. Workers of it that
are stopped as well are killed with it: one may be inside a transaction, and then
nobody could ever write. Those that run go on to their end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle import locks, peers
from lifecycle.phases import Phase

if TYPE_CHECKING:
    from lifecycle.instance import Instance

logger = logging.getLogger(__name__)

# A holder that has not answered for this long is frozen, in seconds.
SILENCE_LIMIT = 5.0
# A state of proc_pid_stat(5).
_STOPPED = "T"


def process_identity() -> dict[str, Any]:
    """Return what names this process beyond its pid: namespace and start time."""
    return {
        "pid": os.getpid(),
        "pid_namespace": str(Path("/proc/self/ns/pid").readlink()),
        "start_ticks": start_ticks(os.getpid()),
    }


def start_ticks(pid: int) -> int:
    """Return when *pid* started, in clock ticks since the boot; see proc_pid_stat(5)."""
    return int(_stat(pid)[19])


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on."""
    # The command's name, in parentheses, may hold spaces: count from its end.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def is_stopped(pid: int) -> bool:
    """Return whether *pid* is stopped, as by SIGSTOP; False where nobody can tell."""
    try:
        return _stat(pid)[0] == _STOPPED
    except OSError:
        return False


def stopped_children(parent: int) -> Iterator[tuple[int, int]]:
    """Yield pid and pidfd of each child of *parent* that is stopped; the caller closes."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            # Read with the pidfd open: what is read is about the process behind it.
            state, ppid = _stat(pid)[:2]
            if state == _STOPPED and int(ppid) == parent:
                yield pid, pidfd
            else:
                os.close(pidfd)


def kill(identity: dict[str, Any]) -> bool:
    """
    Kill the very process that *identity* names; return whether it was sent.

    Its children that are stopped are killed, too.
    """
    if identity.get("pid_namespace") != str(Path("/proc/self/ns/pid").readlink()):
        return False
    try:
        pidfd = os.pidfd_open(int(identity["pid"]))
    except (OSError, KeyError):
        return False
    try:
        # With the pidfd open the pid cannot pass to another between the two.
        if start_ticks(int(identity["pid"])) != identity.get("start_ticks"):
            return False
        # Looked for now: they are not its children once it is dead.
        children = list(stopped_children(int(identity["pid"])))
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for pid, child in children:
            logger.error("event=stopped_worker_killed pid=%s", pid)
            signal.pidfd_send_signal(child, signal.SIGKILL)
            os.close(child)
    except OSError:
        return False  # it is gone, or another user's
    finally:
        os.close(pidfd)
    return True


class FrozenHolder:
    """Watches whether whoever holds the slot answers, from an instance that does not."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._id = ""
        self._has_held = False
        self._answered_at = self._looked_at = time.monotonic()
        # When the slot was last seen held, or given to somebody.
        self._held_at = float("-inf")
        self._killed: set[str] = set()
        self.leaving = ""
        """The holder that was last seen to drain; '' for none."""

    def expect(self, holder: str) -> None:
        """Note that *holder* is to be the holder from now on."""
        self._id, self._has_held = holder, False
        self._answered_at = self._held_at = time.monotonic()

    def _note_holder(self, holder: str) -> None:
        self.expect(holder)
        self._has_held = True

    @property
    def answers(self) -> bool:
        """Whether there is a holder that has answered of late, or is about to be one."""
        return time.monotonic() - self._held_at < SILENCE_LIMIT

    def look(self) -> None:
        """Ask the living peers who holds the slot; end a holder that is frozen."""
        now = time.monotonic()
        if now - self._looked_at > SILENCE_LIMIT:
            # It was this process that was frozen: the holder gets its time again.
            self._answered_at = now
            self._held_at += now - self._looked_at
        self._looked_at = now
        living = self._instance.living_peers()
        for peer in living:
            try:
                status = peers.ask(self._instance.run_dir, peer, "/status", timeout=1.0)
            except OSError:
                continue
            if status.get("holds_slot"):
                self._note_holder(peer.id)
                if status.get("phase") == Phase.DRAINING.value:
                    self.leaving = peer.id
                return
            if peer.id == self._id:
                # It answers, and holds nothing (any more, or not yet).
                self._answered_at = time.monotonic()
        owner = self._owner()
        if owner != self._id and any(peer.id == owner for peer in living):
            # It took the lock, and froze before it could tell.
            self._note_holder(owner)
        holder = next((peer for peer in living if peer.id == self._id), None)
        silent = time.monotonic() - self._answered_at
        if holder is None or silent < SILENCE_LIMIT or holder.id in self._killed:
            return
        if not self._has_held and owner != holder.id:
            # It was given the slot and has not come to take the lock. So it keeps nobody
            # from writing: the slot goes back, and its workers may serve meanwhile.
            return
        self._killed.add(holder.id)
        logger.error(
            "event=holder_frozen holder=%s silent_seconds=%.1f", holder.id, silent
        )
        if self._instance.knobs["KILL_FROZEN_HOLDER"]:
            done = kill(holder.record)
            logger.error("event=holder_killed holder=%s done=%s", holder.id, done)

    def _owner(self) -> str:
        """
        Return who has the lock, by what stands in its file; '' where nobody has.

        A name stays there: of one that could not begin, or gave the slot back.
        """
        slot = self._instance.slot
        return slot.recorded_owner() if locks.is_locked(slot.path) else ""
