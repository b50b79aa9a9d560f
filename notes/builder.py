"""
The builder: one process of an instance that makes each next Site, for all workers.

What is costly is done once, at a lower priority, and where no reader's request waits
for Python's lock. However fast changes come, it takes no more than a part of a
processor, as long as builds are short: those that come while it rests are built
together. Nothing depends on it: workers that hear nothing of a builder look and build
by themselves.
"""

from __future__ import annotations

import os
import pickle
import selectors
import time
from collections.abc import Callable

from notes import sharing
from notes import site as sites
from notes.differences import find_difference
from notes.looking import Look
from notes.sharing import Door, Subscriber
from notes.site import Site
from notes.team import Crew

INTERVAL = 0.1
"""Seconds between two looks: it is one process that does it for all workers."""

SHARE = 0.25
"""Of a processor while no reader waits for what is built; more with long builds."""
WANTED_SHARE = 0.5
"""Of a processor while one does; as above."""
MAX_REST = 0.3
"""Seconds; with a rest and two builds a change is to be seen within a second."""

SIGN_OF_LIFE_INTERVAL = 1.0
"""Seconds after which a worker that there is nothing new for hears so."""
# Readers come first, and who waits for a change soon after; see nice(2).
_NICE = 5


def prepare() -> Callable[[], None]:
    """
    Return what the builder's process is to run.

    For the master, once its Site is warm and before it forks.
    """
    site = sites.current()
    if site is None:
        raise RuntimeError("There is no Site yet: the warmup comes first.")
    door = Door.make(site)
    sharing.open_door(door)

    def run() -> None:
        os.nice(_NICE)
        Builder(door).run()

    return run


class Builder:
    """Looks at the database, builds, and tells all subscribers."""

    def __init__(self, door: Door, interval: float = INTERVAL) -> None:
        self._door = door
        self._interval = interval
        self._site = door.base
        # Builds take their time; nobody waits for an answer that can be given.
        self._look = Look(Crew(report=lambda done, total, what: self._serve(0.0)))
        self._is_current = False
        """Whether what this process has was ever what is in the database."""
        self._subscribers: set[Subscriber] = set()
        self._packed: dict[int, tuple[Site, bytes]] = {}
        """What makes the current Site of an older one, by the older one's id."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(door.inside, selectors.EVENT_READ)

    def run(self) -> None:
        """Work till the process is ended."""
        while True:
            self.step()

    def close(self) -> None:
        """Leave all subscribers."""
        for one in self._subscribers:
            one.channel.close()
        self._subscribers.clear()
        self._selector.close()

    def step(self) -> None:
        """Look once, then serve until it is time to look again."""
        began, used = time.monotonic(), time.process_time()
        wanted = [(one, one.wanted) for one in self._subscribers]
        site = self._look.next_site(self._site)
        assert site is not None  # noqa: S101 - it was none to begin with
        if site is not self._site:
            self._site = site
            self._packed.clear()
        self._is_current = self._is_current or not self._look.is_failing
        for one, sequence in wanted:
            one.looked_for = sequence
        self._offer()
        worked, took = time.process_time() - used, time.monotonic() - began
        self._serve(
            max(self._interval, rest_after(worked, took, SHARE)),
            rest_after(worked, took, WANTED_SHARE),
        )

    def _serve(self, seconds: float, rest: float = 0.0) -> None:
        """Send and receive for so long; for *rest*, when a reader waits for a look."""
        began = time.monotonic()
        while True:
            self._offer()
            waiting = any(one.wanted > one.looked_for for one in self._subscribers)
            end = began + (rest if waiting else seconds)
            left = max(0.0, end - time.monotonic())
            for key, _ in self._selector.select(left):
                if key.data is None:
                    self._admit()
                else:
                    self._exchange(key.data)
            if left <= 0.0:
                return

    def _offer(self) -> None:
        """Give each subscriber that is not busy what it does not have."""
        if not self._is_current:
            return  # the master's Site may be months old: let workers look themselves
        for one in list(self._subscribers):
            if one.is_busy:
                continue
            if one.site is not self._site:
                one.offer(self._site, self._pack(one.site))
            elif one.is_due(SIGN_OF_LIFE_INTERVAL):
                one.offer(self._site, b"")
            self._note(one)

    def _pack(self, old: Site) -> bytes:
        """Return what makes the current Site of *old*: the same for all who have it."""
        if id(old) not in self._packed:
            found = find_difference(old, self._site)
            packed = pickle.dumps(found, pickle.HIGHEST_PROTOCOL)
            self._packed[id(old)] = old, packed
        return self._packed[id(old)][1]

    def _admit(self) -> None:
        while (channel := self._door.admit()) is not None:
            one = Subscriber(channel, self._door.base)
            self._subscribers.add(one)
            self._selector.register(channel, selectors.EVENT_READ, one)

    def _exchange(self, one: Subscriber) -> None:
        one.read()
        if one.is_busy:
            one.send()
        self._note(one)

    def _note(self, one: Subscriber) -> None:
        """Wait for what *one* may do next; forget one that is lost."""
        if one.is_lost:
            self._subscribers.discard(one)
            self._selector.unregister(one.channel)
            one.channel.close()
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if one.is_busy else 0)
        self._selector.modify(one.channel, events, one)


def rest_after(worked: float, took: float, share: float) -> float:
    """
    Return how many seconds to rest after work, for *share* of a processor in all.

    Args:
        worked: seconds of CPU that the work had.
        took: seconds that it took.
    """
    return min(max(worked / share - took, 0.0), MAX_REST)
