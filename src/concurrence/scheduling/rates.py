"""Measured rates per function and per slave, and the chunk size that follows from them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

CHUNK_SECONDS = 0.002
"""What a chunk should take: long against the 160 us that sending one costs, short against a person's patience."""

MAX_CHUNK = 512
"""Beyond this a larger chunk gains nothing: the price per task is the same."""

LONG_TASK_SECONDS = 0.25
"""From here on a worker keeps no second chunk waiting: the gap between two tasks is nothing against a task."""

_WEIGHT = 0.3  # of a new measurement; old ones fade within about ten chunks

_NOTHING: Mapping[str, float] = {}


class Rates:
    """Moving averages of the seconds that one task of each function takes: over all slaves, and on each."""

    def __init__(self) -> None:
        self._mean: dict[int, float] = {}
        self._on: dict[int, dict[str, float]] = {}

    def observe(self, function: int, tasks: int, seconds: float, slave: str) -> None:
        """A worker of a slave spent ``seconds`` in ``tasks`` tasks; what cannot be a measurement is none."""
        if tasks <= 0 or seconds <= 0 or not isfinite(seconds):
            return
        sample = seconds / tasks
        mean = self._mean.get(function)
        if mean is None:
            self._mean[function] = sample
            self._on[function] = {slave: sample}
            return
        self._mean[function] = mean + _WEIGHT * (sample - mean)
        slaves = self._on[function]
        there = slaves.get(slave)
        slaves[slave] = sample if there is None else there + _WEIGHT * (sample - there)

    def mean(self, function: int) -> float | None:
        """Seconds of one task; None until measured."""
        return self._mean.get(function)

    def on(self, function: int) -> Mapping[str, float]:
        """Seconds of one task on each slave where it was measured, by node id; for reading."""
        return self._on.get(function, _NOTHING)

    def is_long(self, function: int) -> bool:
        """Whether a task of this function is worth no waiting chunk behind it."""
        return self._mean.get(function, 0.0) >= LONG_TASK_SECONDS

    def forget(self, function: int) -> None:
        """Nobody uses the function any more."""
        self._mean.pop(function, None)
        self._on.pop(function, None)

    def forget_slave(self, slave: str) -> None:
        """The slave is gone for good; what was learned of the functions stays."""
        for slaves in self._on.values():
            slaves.pop(slave, None)

    def chunk_size(self, function: int, queued: int, windows: int) -> int:
        """How many tasks travel together, whichever slave takes them.

        Args:
            function: Whose tasks.
            queued: How many of them wait.
            windows: How many chunks the swarm can take at once; the fair share of one is what the tail is
                spread by.
        """
        return chunk_size(self._mean.get(function), queued / max(1, windows))


def chunk_size(task_seconds: float | None, share: float) -> int:
    """How many tasks travel together.

    Args:
        task_seconds: What one of them takes; None if that is not known.
        share: The fair share of one chunk in the tasks that wait.
    """
    if task_seconds is None:
        return 1
    by_time = int(min(CHUNK_SECONDS / task_seconds, MAX_CHUNK)) if task_seconds > 0 else MAX_CHUNK
    return max(1, min(by_time, -int(-share // 1)))
