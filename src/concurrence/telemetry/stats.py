"""Statistics in memory: constant space for each name, and a bound on the names."""

from __future__ import annotations

import math
import threading

from concurrence.telemetry.api import IStats, StatSummary

OTHER = "other"
"""Where the names beyond the bound are counted together."""

DEFAULT_MAX_NAMES = 1_000


class _Entry:
    __slots__ = ("events", "last", "maximum", "minimum", "total", "values")

    def __init__(self) -> None:
        self.values = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = -math.inf
        self.last = 0.0
        self.events = 0

    def summary(self) -> StatSummary:
        if self.values == 0:
            return StatSummary(0, 0.0, 0.0, 0.0, 0.0, self.events)
        mean = self.total / self.values
        return StatSummary(self.values, mean, self.minimum, self.maximum, self.last, self.events)


class Stats(IStats):
    """Averages and counters that several threads may feed.

    Args:
        max_names: How many names are kept apart; what comes under further names is added to :data:`OTHER`.
    """

    def __init__(self, max_names: int = DEFAULT_MAX_NAMES) -> None:
        self._max_names = max_names
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def add_avg(self, name: str, value: float = 1) -> None:
        """Add a value to the average of a name."""
        with self._lock:
            try:
                entry = self._entries[name]
            except KeyError:
                entry = self._entry(name)
            if value < entry.minimum:
                entry.minimum = value
            if value > entry.maximum:
                entry.maximum = value
            entry.values += 1
            entry.total += value
            entry.last = value

    def count(self, name: str, n: int = 1) -> None:
        """Count events of a name."""
        with self._lock:
            try:
                entry = self._entries[name]
            except KeyError:
                entry = self._entry(name)
            entry.events += n

    def snapshot(self) -> dict[str, StatSummary]:
        """The present state of all names, sorted by name."""
        with self._lock:
            return {name: entry.summary() for name, entry in sorted(self._entries.items())}

    def _entry(self, name: str) -> _Entry:
        known = len(self._entries) - (OTHER in self._entries)
        if known >= self._max_names:
            name = OTHER
        return self._entries.setdefault(name, _Entry())
