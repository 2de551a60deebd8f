"""What happened to tasks: kept per chunk in a bounded ring, joined to one task's story on demand. Pure."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

MAX_ENTRIES = 16_384
"""Entries that are kept: with a million tasks a second in full chunks the last seconds, with long tasks hours."""

MAX_COUNTERS = 1 << 20
"""Counters that all entries together keep one by one: 8 MB. Those of one push or chunk are mostly a range."""

Counters: TypeAlias = "range | array[int]"
MAX_NOTE = 200
"""Characters of a note."""

_NONE = range(0)


class Event(StrEnum):
    """A step in the life of tasks, in the words that people read."""

    ACCEPTED = "accepted"
    TAKEN = "taken from the queue"
    OFFERED = "put on the work queue"
    SENT = "sent"
    CLAIMED = "claimed"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELAYED = "failed; is tried again later"
    DUE = "queued again"
    RETURNED = "given back, not started"
    RECALLED = "lost with its chunk; queued again"
    CHARGED = "killed its worker; queued again"
    CLOSED = "forgotten with all tasks of its system"


ENDS = frozenset({Event.FINISHED, Event.FAILED, Event.CANCELLED})
"""The steps after which a task is no more."""


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One step of tasks that took it together.

    Attributes:
        at: When, in seconds of the master's clock.
        event: Which step.
        system: Whose tasks.
        chunk: The chunk that they were in; 0 if in none.
        counters: Which tasks; none for a step of the whole chunk.
        who: The slave's name, if one has to do with it.
        attempt: The number of the attempt; 0 if there is none yet.
        note: What else is to be said.
    """

    at: float
    event: Event
    system: int
    chunk: int = 0
    counters: Counters = _NONE
    who: str = ""
    attempt: int = 0
    note: str = ""


class Story:
    """The last steps of all tasks.

    Attributes:
        now: The time of the event that is being handled; whoever drives the ledger sets it.
        count: How many entries there have been, also those that are forgotten.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_counters: int = MAX_COUNTERS) -> None:
        self.now = 0.0
        self.count = 0
        self._entries: deque[Entry] = deque()
        self._held = 0
        self._max_entries = max_entries
        self._max_counters = max_counters

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def tell(
        self,
        event: Event,
        system: int,
        chunk: int = 0,
        counters: Sequence[int] = (),
        *,
        who: str = "",
        attempt: int = 0,
        note: str = "",
    ) -> None:
        """A step was taken; see :class:`Entry`."""
        kept = _compact(counters) if counters else _NONE
        if isinstance(kept, array):
            self._held += len(kept)
        self._entries.append(Entry(self.now, event, system, chunk, kept, who, attempt, note[:MAX_NOTE]))
        self.count += 1
        while len(self._entries) > self._max_entries or self._held > self._max_counters:
            self._forget_first()

    def of(self, system: int, counter: int) -> list[Entry]:
        """The story of one task, oldest step first, as far back as it is kept."""
        found: list[Entry] = []
        chunks: set[int] = set()
        for entry in self._entries:
            if entry.system != system:
                continue
            if counter in entry.counters:
                chunks.add(entry.chunk)
                found.append(entry)
            elif entry.chunk in chunks and not entry.counters and entry.chunk:
                found.append(entry)
        return found

    def since(self, count: int) -> list[Entry]:
        """The entries after the first ``count`` of all that there have been, as far as they are kept."""
        new = min(self.count - count, len(self._entries))
        return [self._entries[-position] for position in range(new, 0, -1)]

    def _forget_first(self) -> None:
        entry = self._entries.popleft()
        if isinstance(entry.counters, array):
            self._held -= len(entry.counters)


def _compact(counters: Sequence[int]) -> Counters:
    first, last = counters[0], counters[-1]
    if last - first + 1 == len(counters):
        whole = range(first, last + 1)
        if len(counters) < 3 or list(whole) == counters:
            return whole
    return array("Q", counters)
