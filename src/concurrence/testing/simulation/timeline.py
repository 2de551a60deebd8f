"""Virtual time: events from a heap, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Timeline:
    """What will happen, in order of time; at the same time in order of planning.

    Attributes:
        now: The time in seconds.
        events: How many events there were.
        is_over: Set by whoever ends the simulation.
    """

    __slots__ = ("_heap", "_planned", "events", "is_over", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self.is_over = False
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._planned = 0

    def at(self, when: float, action: Callable[[Any], None], argument: Any = None) -> None:
        """Plan a call of ``action(argument)``; what lies in the past happens now."""
        self._planned += 1
        heappush(self._heap, (when, self._planned, action, argument))

    def after(self, seconds: float, action: Callable[[Any], None], argument: Any = None) -> None:
        """Plan a call in so many seconds."""
        self.at(self.now + seconds, action, argument)

    def run(self) -> None:
        """Let everything happen until somebody says that it is over, or nothing is left."""
        heap = self._heap
        pop = heappop
        while heap and not self.is_over:
            when, _, action, argument = pop(heap)
            if when > self.now:
                self.now = when
            self.events += 1
            action(argument)
