"""
The page of memory that a master shares with its workers.

Made before the first fork; each field is one aligned word, written by one
side and read by the other without a lock.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator

from lifecycle.phases import Phase

_WORD = 8
_HEADER_WORDS = 16
_SLOT_WORDS = 9
MAX_WORKERS = 512

_PHASES = list(Phase)
# Words of the header.
_PHASE, _EPOCH, _CLOSING, _SEQUENCE = range(4)
# Words of a worker's slot.
_PID, _STOP, _BOOTED, _BEAT, _PROGRESS, _HELD, _FORWARDED, _LONGEST, _WRITING = range(
    _SLOT_WORDS
)


class WorkerSlot:
    """
    One worker's place in the page.

    The master claims and frees it and raises *stop*; the worker writes the rest.
    """

    def __init__(self, page: SharedPage, index: int) -> None:
        self.index = index
        start = _HEADER_WORDS + index * _SLOT_WORDS
        self._integers = page.integers[start : start + _SLOT_WORDS]
        self._reals = page.reals[start : start + _SLOT_WORDS]

    @property
    def pid(self) -> int:
        """The worker's pid; 0 for a free slot or one not forked yet."""
        return self._integers[_PID]

    @pid.setter
    def pid(self, value: int) -> None:
        self._integers[_PID] = value

    @property
    def may_stop(self) -> bool:
        """Whether the master has sent, or is about to send, a signal to stop."""
        return self._integers[_STOP] == 1

    def allow_stop(self) -> None:
        """Let the worker obey the next signal to stop. Idempotent."""
        self._integers[_STOP] = 1

    @property
    def booted(self) -> bool:
        """Whether the worker has reached its request loop."""
        return self._integers[_BOOTED] == 1

    def begins_seconds(self) -> float:
        """Return for how long it has been about to begin; 0 once it has."""
        return 0.0 if self.booted else time.monotonic() - self._reals[_BEAT]

    def mark_booted(self) -> None:
        """Note that the worker serves from now on, and is alive."""
        now = time.monotonic()
        self._reals[_BEAT] = now
        self._reals[_PROGRESS] = now
        self._integers[_BOOTED] = 1

    def beat(self) -> None:
        """Note that the worker's loop runs; at first, that the worker is forked."""
        self._reals[_BEAT] = time.monotonic()

    def progress(self) -> None:
        """Note that a thread of the worker's pool has finished something."""
        self._reals[_PROGRESS] = time.monotonic()

    def silent_seconds(self) -> float:
        """Return how long the loop, or all the threads, have been silent."""
        return time.monotonic() - min(self._reals[_BEAT], self._reals[_PROGRESS])

    @property
    def is_writing(self) -> bool:
        """Whether a write runs in the worker, which may have SQLite's lock."""
        return self._integers[_WRITING] == 1

    @is_writing.setter
    def is_writing(self, value: bool) -> None:
        self._integers[_WRITING] = int(value)

    def count_held(self, seconds: float) -> None:
        """Count a write that waited *seconds* for a writer."""
        self._integers[_HELD] += 1
        self._reals[_LONGEST] = max(self._reals[_LONGEST], seconds)

    def count_forwarded(self) -> None:
        """Count a write that another instance answered."""
        self._integers[_FORWARDED] += 1

    @property
    def writes(self) -> tuple[int, int, float]:
        """Writes held, writes forwarded, the longest hold in seconds."""
        return (
            self._integers[_HELD],
            self._integers[_FORWARDED],
            self._reals[_LONGEST],
        )

    def clear(self) -> None:
        """Make the slot free."""
        for word in range(_SLOT_WORDS):
            self._integers[word] = 0


class SharedPage:
    """Phase and worker slots, shared over fork by an anonymous mapping."""

    def __init__(self) -> None:
        size = (_HEADER_WORDS + MAX_WORKERS * _SLOT_WORDS) * _WORD
        self._memory = mmap.mmap(-1, size)
        self.integers = memoryview(self._memory).cast("Q")
        self.reals = memoryview(self._memory).cast("d")
        self._slots = [WorkerSlot(self, index) for index in range(MAX_WORKERS)]
        self._claimed: set[int] = set()
        # Of workers that are gone: held, forwarded, longest hold.
        self._past = (0, 0, 0.0)

    @property
    def phase(self) -> Phase:
        """The phase of the instance."""
        return _PHASES[self.integers[_PHASE]]

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self.integers[_PHASE] = _PHASES.index(phase)

    @property
    def epoch(self) -> int:
        """The epoch that this instance writes under; 0 when it does not."""
        return self.integers[_EPOCH]

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.integers[_EPOCH] = epoch

    @property
    def is_closing(self) -> bool:
        """Whether no further write is admitted, since the slot is to be released."""
        return self.integers[_CLOSING] == 1

    @is_closing.setter
    def is_closing(self, closing: bool) -> None:
        self.integers[_CLOSING] = int(closing)

    @property
    def sequence(self) -> int:
        """The last state of the data that this instance has acknowledged."""
        return self.integers[_SEQUENCE]

    def raise_sequence(self, sequence: int) -> None:
        """Note that *sequence* was acknowledged. Any worker may call it."""
        # Two at once may leave the smaller one: whoever wrote the greater looks again.
        while self.integers[_SEQUENCE] < sequence:
            self.integers[_SEQUENCE] = sequence

    @property
    def is_draining(self) -> bool:
        """Whether responses should close their connections."""
        # Compared as a number: this is read once a request.
        return self.integers[_PHASE] >= 4

    def claim(self) -> WorkerSlot:
        """Return a free slot, cleared. For the master, before it forks."""
        for slot in self._slots:
            if slot.index not in self._claimed:
                self._claimed.add(slot.index)
                slot.clear()
                slot.beat()
                return slot
        raise RuntimeError(f"More than {MAX_WORKERS} workers live at once.")

    def writes(self) -> tuple[int, int, float]:
        """Return writes held, writes forwarded, and the longest hold in seconds."""
        counts = [self._past, *(slot.writes for slot in self.workers())]
        return (
            sum(count[0] for count in counts),
            sum(count[1] for count in counts),
            max(count[2] for count in counts),
        )

    def release(self, slot: WorkerSlot) -> None:
        """Give *slot* back. For the master, once the worker is gone."""
        held, forwarded, longest = self._past
        self._past = (
            held + slot.writes[0],
            forwarded + slot.writes[1],
            max(longest, slot.writes[2]),
        )
        slot.clear()
        self._claimed.discard(slot.index)

    def workers(self) -> Iterator[WorkerSlot]:
        """Return the claimed slots. Safe from any thread of the master."""
        for index in sorted(self._claimed.copy()):
            yield self._slots[index]
