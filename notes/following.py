"""
Following: how the Site of a process becomes that of what another one wrote.

In an instance one process builds for all workers: see `notes.builder`. Elsewhere, and
when that process does not answer, each looks at the database and builds by itself.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

from django.db import connection, connections

from notes import sharing
from notes import site as sites
from notes.conf import conf
from notes.looking import INTERVAL, Look, catch_up
from notes.sharing import Subscription, SubscriptionLostError
from notes.site import Site

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a reader waits for a Site that is being made."""

FIRST_FRAME_TIMEOUT = 2.0
"""Seconds that the builder has for its first word to a worker."""

SILENCE_TIMEOUT = 10.0
"""Seconds without a word from the builder after which it is taken for lost."""

SWITCH_INTERVAL = 0.001
"""
Seconds for which one thread may keep Python's lock while another waits for it.

A worker has threads that nobody waits for; a reader waits for this at every turn.
"""

START_TIMEOUT = 1.5
"""
Seconds that a worker waits at its start for what is current.

Less than gunicorn waits for a worker that says nothing.
"""


class Follower:
    """
    A thread that keeps the Site of this process current.

    When it fails, the last Site is served on, and the next look tries again.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._look = Look()
        self.is_alone = False
        """Whether the builder was lost and has not been heard of since."""
        self._wake = threading.Event()
        self._looked = threading.Condition()
        """Guards the five below, and tells of each look."""
        self._has_looked = False
        self._wanted = 0
        """The greatest sequence that a reader has asked for."""
        self._looked_for = 0
        """What was wanted when the last look began."""
        self._is_late = False
        """Whether a reader has waited in vain for the look that is under way."""
        self._subscription: Subscription | None = None
        self._seats = threading.BoundedSemaphore(conf.patient_readers)
        """One for each reader that waits."""

    def start(self) -> None:
        """Begin to follow; the thread is a daemon and ends with the process."""
        self._thread = threading.Thread(target=self._run, name="notes-follower")
        self._thread.daemon = True
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        self._wake.set()
        with self._looked:
            if self._subscription is not None:
                self._subscription.close()
        if self._thread is not None:
            self._thread.join()

    def wait_for_first_look(self, timeout: float) -> None:
        """Return once the thread has looked, or after *timeout* seconds."""
        with self._looked:
            self._looked.wait_for(lambda: self._has_looked, timeout)

    def reach(self, sequence: int) -> None:
        """
        Return when the thread has looked for *sequence*, which has been committed.

        Readers wait together, and the thread makes the Site once for all of them.
        None waits for longer than PATIENCE, nor for a look that another reader has
        given up on, nor when as many as may wait do. Under writes that never end, all
        threads would wait otherwise, and those who read would come last.
        """
        if sequence <= self._looked_for:
            # It was looked for and is not there: the database may be an older one
            # that was restored, or it cannot be read.
            return
        with self._looked:
            if sequence > self._wanted:
                self._wanted = sequence
                self._ask()
        if not self._seats.acquire(blocking=False):
            return
        try:
            with self._looked:
                self._looked.wait_for(
                    lambda: self._looked_for >= sequence or self._is_late, PATIENCE
                )
                self._is_late = self._looked_for < sequence
        finally:
            self._seats.release()

    def refresh(self) -> None:
        """Look once, and publish a newer Site if there is one; never raises."""
        started = time.monotonic()
        before = sites.current()
        after = self._look.next_site(before)
        if after is not None and after is not before:
            _publish(after, time.monotonic() - started)

    def _run(self) -> None:
        # This thread has a connection of its own.
        self._look = Look()
        try:
            while not self._stop.is_set():
                self._follow_builder()
                self._wake.wait(self._interval)
                self._wake.clear()
                if self._stop.is_set():
                    break
                wanted = self._wanted
                self.refresh()
                self._note_look(wanted)
        finally:
            connections.close_all()

    def _follow_builder(self) -> None:
        """Publish what the builder tells of, until it is lost, if there is one."""
        try:
            subscription = sharing.subscribe()
            if subscription is None:
                return
            with self._looked:
                self._subscription = subscription
                self._ask()
            timeout = FIRST_FRAME_TIMEOUT
            while not self._stop.is_set():
                before = subscription.site
                looked_for = subscription.receive(timeout)
                if subscription.site is not before:
                    _publish(subscription.site, subscription.seconds)
                self._note_look(looked_for)
                timeout = SILENCE_TIMEOUT
                self.is_alone = False
        except SubscriptionLostError as exc:
            if not self._stop.is_set() and not self.is_alone:
                logger.warning("event=builder_lost reason=%r", str(exc))
            self.is_alone = True
        finally:
            with self._looked:
                if self._subscription is not None:
                    self._subscription.close()
                    self._subscription = None

    def _ask(self) -> None:
        """Have what readers wait for looked for now. With `_looked` held."""
        if self._subscription is None:
            self._wake.set()
        elif self._wanted > self._looked_for:
            self._subscription.ask(self._wanted)

    def _note_look(self, looked_for: int) -> None:
        with self._looked:
            self._has_looked = True
            if looked_for > self._looked_for:
                self._looked_for = looked_for
                self._is_late = False
            self._looked.notify_all()


def _publish(site: Site, seconds: float) -> None:
    sites.publish(site)
    logger.info("event=site_published sequence=%d seconds=%.3f", site.sequence, seconds)


_follower: Follower | None = None
_lock = threading.Lock()


def start() -> None:
    """
    Catch up with the database, then follow it; for a process that serves.

    Called after the fork: neither a thread nor a connection crosses one. A second
    call in a process does nothing.
    """
    global _follower
    with _lock:
        if _follower is not None:
            return
        sys.setswitchinterval(SWITCH_INTERVAL)
        follower = Follower()
        if not sharing.is_open():
            follower.refresh()
            # The thread has a connection of its own.
            connections.close_all()
        follower.start()
        if sharing.is_open():
            follower.wait_for_first_look(START_TIMEOUT)
        _follower = follower


def catch_up_to(sequence: int) -> Site | None:
    """
    Return the Site to serve now that *sequence* has been acknowledged to a client.

    It may be older all the same, see `Follower.reach`.
    """
    if _follower is not None:
        _follower.reach(sequence)
    return sites.current()


def ensure_site() -> Site:
    """
    Return the Site, made now if nobody warmed this process, and follow from now on.

    So `manage.py runserver` serves what an instance does.
    """
    with _build_lock:
        site = sites.current()
        if site is None:
            site = catch_up(None)
            sites.publish(site)
            connection.close()
    start()
    return site


_build_lock = threading.Lock()


def _forget() -> None:
    """Begin anew in a forked process: the thread, and who held the locks, stayed."""
    global _follower, _lock, _build_lock
    _follower = None
    _lock = threading.Lock()
    _build_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)
