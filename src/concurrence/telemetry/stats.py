"""Statistics in memory: constant space for each name, and a bound on the names.

What is added goes to the end of a list, in which no two threads can disturb each other; only when the list is
full, or when somebody looks, its values are summed up, under a lock. So adding one takes a tenth of a microsecond.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from concurrence.telemetry.api import IStats, StatSummary
from concurrence.telemetry.sketch import Sketch, quantiles

OTHER = "other"
"""Where the names beyond the bound are counted together."""

DEFAULT_MAX_NAMES = 1_000
RATE_SECONDS = 60.0
WINDOW_SECONDS = 300.0
"""Quantiles are those of this window and the one before it."""

_FULL = 512
_STRIDE_LEVEL = 3  # of a full list one of eight values goes into the sketch, standing for eight
_MARK_SECONDS = 5.0
_SHARES = (0.5, 0.9, 0.99)


class _Entry:
    __slots__ = (
        *("before", "counted", "events", "last", "marks", "maximum", "minimum", "offset", "recent", "total"),
        *("turned", "values", "waiting"),
    )

    def __init__(self, now: float) -> None:
        self.waiting: list[float] = []  # values that were not summed up yet
        self.counted: list[int] = []  # events that were not
        self.values = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = -math.inf
        self.last = 0.0
        self.events = 0
        self.recent, self.before = Sketch(), Sketch()
        self.turned = now
        self.marks: deque[tuple[float, int]] = deque([(now, 0)])
        self.offset = 0

    def fold(self, now: float) -> None:
        """Sum up what waits."""
        # In place, and only what is there now: others may append meanwhile.
        counted = self.counted[:]
        del self.counted[: len(counted)]
        self.events += sum(counted)
        values = self.waiting[:]
        del self.waiting[: len(values)]
        self._mark(now, len(values) + sum(counted))
        total = math.fsum(values) if len(values) < _FULL else sum(values)
        if not math.isfinite(total):
            values = [value for value in values if math.isfinite(value)]
            total = sum(values)
        if not values:
            return
        self.values += len(values)
        self.total += total
        self.minimum = min(self.minimum, *values)
        self.maximum = max(self.maximum, *values)
        self.last = values[-1]
        if len(values) >= _FULL:
            step = 1 << _STRIDE_LEVEL
            self.offset = (self.offset + 5) % step  # another one each time, lest it keeps step with the values
            self.recent.add(values[self.offset :: step], _STRIDE_LEVEL)
        else:
            self.recent.add(values)

    def _mark(self, now: float, added: int) -> None:
        if now - self.turned >= WINDOW_SECONDS:
            stale = now - self.turned >= 2 * WINDOW_SECONDS
            self.before, self.recent = Sketch() if stale else self.recent, Sketch()
            self.turned = now
        before = self.marks[-1]
        if now - before[0] >= _MARK_SECONDS or len(self.marks) == 1:
            self.marks.append((now, before[1] + added))
        else:
            self.marks[-1] = (before[0], before[1] + added)
        while len(self.marks) > 2 and self.marks[1][0] <= now - RATE_SECONDS:
            self.marks.popleft()

    def rate(self, now: float) -> float:
        """Values and events a second, since the oldest mark."""
        (began, first), (_, last) = self.marks[0], self.marks[-1]
        return (last - first) / max(now - began, 1.0)

    def summary(self, now: float) -> StatSummary:
        """What is known; nothing may be waiting."""
        rate = self.rate(now)
        if self.values == 0:
            return StatSummary(0, 0.0, 0.0, 0.0, 0.0, self.events, rate)
        p50, p90, p99 = quantiles(self.recent.weighted() + self.before.weighted(), _SHARES)
        mean = self.total / self.values
        return StatSummary(
            self.values, mean, self.minimum, self.maximum, self.last, self.events, rate, p50, p90, p99
        )


class Stats(IStats):
    """Averages and counters that several threads may feed.

    Args:
        max_names: How many names are kept apart; what comes under further names is added to :data:`OTHER`.
        now: Tells the time in seconds.
    """

    def __init__(self, max_names: int = DEFAULT_MAX_NAMES, now: Callable[[], float] = time.monotonic) -> None:
        self._max_names = max_names
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._waiting: dict[str, list[float]] = {}
        self._counted: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def add_avg(self, name: str, value: float = 1) -> None:
        """Add a value to the average of a name."""
        try:
            waiting = self._waiting[name]
        except KeyError:
            waiting = self._entry(name).waiting
        waiting.append(value + 0.0)  # no number fails here, where it was added
        if len(waiting) >= _FULL:
            self._fold(name)

    def count(self, name: str, n: int = 1) -> None:
        """Count events of a name."""
        try:
            counted = self._counted[name]
        except KeyError:
            counted = self._entry(name).counted
        counted.append(n)
        if len(counted) >= _FULL:
            self._fold(name)

    def snapshot(self) -> dict[str, StatSummary]:
        """The present state of all names, sorted by name."""
        now = self._now()
        with self._lock:
            entries = sorted(self._entries.items())
            for _, entry in entries:
                entry.fold(now)
            return {name: entry.summary(now) for name, entry in entries}

    def mark(self) -> None:
        """Sum up what waits, a few times a minute: so that rates and windows know when it came."""
        now = self._now()
        with self._lock:
            for entry in self._entries.values():
                entry.fold(now)

    def _fold(self, name: str) -> None:
        with self._lock:
            self._entry_of(name).fold(self._now())

    def _entry(self, name: str) -> _Entry:
        with self._lock:
            entry = self._entry_of(name)
            if entry is self._entries.get(name):  # of names beyond the bound nothing is kept
                self._waiting[name], self._counted[name] = entry.waiting, entry.counted
            return entry

    def _entry_of(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is not None:
            return entry
        known = len(self._entries) - (OTHER in self._entries)
        if known >= self._max_names:
            name = OTHER
        return self._entries.setdefault(name, _Entry(self._now()))
