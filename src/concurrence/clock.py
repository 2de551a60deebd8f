"""Time and chance as arguments: the real clock for nodes, a virtual one for simulation and tests; dice."""

from __future__ import annotations

import time
from random import Random
from typing import Protocol


class IClock(Protocol):
    """Something that tells the time in seconds; only differences mean anything."""

    def now(self) -> float:
        """Seconds since an arbitrary fixed point; never goes back."""
        ...


class MonotonicClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds of ``time.monotonic``."""
        return time.monotonic()


class VirtualClock:
    """A clock that moves only when told to.

    Args:
        start: The first reading, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """The virtual time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: advance({seconds})")
        self._now += seconds


def seeded_random(seed: int) -> Random:
    """Random numbers for what decides: the same seed gives the same numbers."""
    return Random(seed)
