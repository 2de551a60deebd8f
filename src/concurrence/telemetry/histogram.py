"""How often a value fell where: counts between fixed bounds, as Prometheus wants them. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0)
"""Bounds for durations, from a tenth of a millisecond to an hour."""


class Histogram:
    """Counts of values.

    Args:
        bounds: Ascending. A value counts where it is at most the bound.

    Attributes:
        count: How many values there were.
        total: Their sum.
    """

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.count = 0
        self.total = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float, n: int = 1) -> None:
        """Count a value, or several of that mean.

        Args:
            value: The value, finite.
            n: How many values it stands for.
        """
        self._counts[bisect_left(self.bounds, value)] += n
        self.count += n
        self.total += value * n

    def cumulated(self) -> list[tuple[float, int]]:
        """Each bound, and how many values were at most that; the last bound is infinite."""
        found: list[tuple[float, int]] = []
        seen = 0
        for bound, count in zip((*self.bounds, float("inf")), self._counts, strict=True):
            seen += count
            found.append((bound, seen))
        return found
