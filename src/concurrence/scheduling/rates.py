"""Measured rates per function, and the chunk size that follows from them. Pure."""

from __future__ import annotations

from math import isfinite

CHUNK_SECONDS = 0.002
"""What a chunk should take: long against the 160 us that sending one costs, short against a person's patience."""

MAX_CHUNK = 512
"""Beyond this a larger chunk gains nothing: the price per task is the same."""

LONG_TASK_SECONDS = 0.25
"""From here on a worker keeps no second chunk waiting: the gap between two tasks is nothing against a task."""

_WEIGHT = 0.3  # of a new measurement; old ones fade within about ten chunks


class Rates:
    """Moving average of the seconds that one task of each function takes."""

    def __init__(self) -> None:
        self._mean: dict[int, float] = {}

    def observe(self, function: int, tasks: int, seconds: float) -> None:
        """A worker spent ``seconds`` in ``tasks`` tasks of the function; what cannot be a measurement is none."""
        if tasks <= 0 or seconds <= 0 or not isfinite(seconds):
            return
        sample = seconds / tasks
        mean = self._mean.get(function)
        self._mean[function] = sample if mean is None else mean + _WEIGHT * (sample - mean)

    def mean(self, function: int) -> float | None:
        """Seconds of one task; None until measured."""
        return self._mean.get(function)

    def is_long(self, function: int) -> bool:
        """Whether a task of this function is worth no waiting chunk behind it."""
        return self._mean.get(function, 0.0) >= LONG_TASK_SECONDS

    def forget(self, function: int) -> None:
        """Nobody uses the function any more."""
        self._mean.pop(function, None)

    def chunk_size(self, function: int, queued: int, windows: int) -> int:
        """How many tasks travel together.

        Args:
            function: Whose tasks.
            queued: How many of them wait.
            windows: How many chunks the swarm can take at once; the fair share of one is what the tail is
                spread by.
        """
        mean = self._mean.get(function)
        if mean is None:
            return 1
        by_time = int(min(CHUNK_SECONDS / mean, MAX_CHUNK)) if mean > 0 else MAX_CHUNK
        share = -(-queued // max(1, windows))
        return max(1, min(by_time, share, MAX_CHUNK))
