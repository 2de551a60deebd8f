"""The circuit breaker: a slave on which everything fails rests, and then has one chunk on trial. Pure.

A slave that fails at once is soon the one with the most room, and would draw all work to its end. What
is held against it is only what others do well: failures of a function that has just succeeded elsewhere, and
workers that die before a task begins. A function that fails everywhere is its author's business.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from enum import Enum

CHUNKS_PER_WORKER = 3
"""So many chunks in a row for each worker, without a success in between, break a slave's circuit."""

_REMEMBERED = 4  # times as many: some of them may be of functions that fail everywhere

NOT_BEGUN = 0
"""In the place of a function: the worker died before it had begun."""

WINDOW_SECONDS = 60.0
"""They count together if they are not further apart than this."""

FIRST_REST = 5.0
LONGEST_REST = 300.0
"""Seconds that a slave rests: twice as long each time, until it has done well for the longest rest.

As short as the first time each time, if no other slave can run some of what waits.
"""


class CircuitState(Enum):
    """What a slave is given."""

    CLOSED = "closed"
    """Work."""
    OPEN = "open"
    """Nothing, until it has rested."""
    TRIAL = "trial"
    """One chunk, which decides."""


class Circuit:
    """The circuit of one slave.

    Args:
        workers: How many it has.

    Attributes:
        failing: Chunks that failed since the last success, by function.
        rested_at: Until when it rests.
        state: What it is given.
    """

    __slots__ = ("_enough", "_failures", "_last_opened", "_rest", "failing", "rested_at", "state")

    def __init__(self, workers: int) -> None:
        self._enough = CHUNKS_PER_WORKER * max(1, workers)
        self._failures: deque[tuple[float, int]] = deque()
        self.failing: Counter[int] = Counter()
        self._rest = FIRST_REST
        self._last_opened: float | None = None
        self.state = CircuitState.CLOSED
        self.rested_at = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether the slave is given work as any other."""
        return self.state is CircuitState.CLOSED

    def succeed(self) -> bool:
        """A task succeeded; whether that closed the circuit."""
        self._clear()
        if self.state is not CircuitState.TRIAL:
            return False  # what it had begun before it was broken proves nothing
        self.state = CircuitState.CLOSED
        return True

    def fail(self, now: float, function: int) -> None:
        """A chunk of a function failed; see :meth:`judge`."""
        if self.state is CircuitState.OPEN:
            return
        self._failures.append((now, function))
        self.failing[function] += 1
        while len(self._failures) > _REMEMBERED * self._enough or now - self._failures[0][0] > WINDOW_SECONDS:
            _, old = self._failures.popleft()
            self.failing[old] -= 1
            if not self.failing[old]:
                del self.failing[old]

    def judge(self, now: float, succeeds_elsewhere: Callable[[int], bool]) -> bool:
        """Whether what failed here breaks the circuit now.

        Args:
            now: The time.
            succeeds_elsewhere: Tells that of a function, or of :data:`NOT_BEGUN`.
        """
        if self.state is CircuitState.OPEN or not self.failing:
            return False
        enough = 1 if self.state is CircuitState.TRIAL else self._enough
        if sum(count for function, count in self.failing.items() if succeeds_elsewhere(function)) < enough:
            return False
        self._open(now)
        return True

    def tick(self, now: float) -> bool:
        """Time passes; whether the slave has rested and is to be tried now."""
        if self.state is CircuitState.OPEN and now >= self.rested_at:
            self.state = CircuitState.TRIAL
            return True
        return False

    def hurry(self) -> bool:
        """Rest no longer than the first time: no other slave can run what waits. Whether that changed anything."""
        if self.state is not CircuitState.OPEN or self._last_opened is None:
            return False
        before, self.rested_at = self.rested_at, min(self.rested_at, self._last_opened + FIRST_REST)
        return self.rested_at < before

    def close(self) -> None:
        """Give it work again, whatever it did: there is no other slave."""
        self._clear()
        self.state = CircuitState.CLOSED

    def describe(self, now: float) -> str:
        """What people see; empty if there is nothing to say."""
        if self.state is CircuitState.OPEN:
            return f"rests for {max(0.0, self.rested_at - now):.0f} s: everything failed there"
        return "is on trial: everything failed there" if self.state is CircuitState.TRIAL else ""

    def _open(self, now: float) -> None:
        if self._last_opened is not None:
            well = now - self._last_opened > self._rest + LONGEST_REST
            self._rest = FIRST_REST if well else min(2 * self._rest, LONGEST_REST)
        self._clear()
        self._last_opened = now
        self.rested_at = now + self._rest
        self.state = CircuitState.OPEN

    def _clear(self) -> None:
        if self._failures:
            self._failures.clear()
            self.failing.clear()


class Outcomes:
    """Where each function succeeded last: the slaves whose newest chunk of it was no failure."""

    def __init__(self) -> None:
        self._well: dict[int, set[str]] = {}

    def succeed(self, function: int, slave: str) -> bool:
        """A task of the function succeeded on a slave; whether that throws a new light on others.

        It does if it is the first such slave, or the second one: from then on there is another for each.
        """
        slaves = self._well.setdefault(function, set())
        if slave in slaves:
            return False
        slaves.add(slave)
        return len(slaves) <= 2

    def fail(self, function: int, slave: str) -> None:
        """A chunk of it failed there."""
        slaves = self._well.get(function)
        if slaves is not None:
            slaves.discard(slave)

    def where(self, function: int) -> set[str]:
        """The slaves, by node id; for reading."""
        return self._well.get(function, set())

    def forget(self, function: int) -> None:
        """Nobody uses the function any more."""
        self._well.pop(function, None)

    def forget_slave(self, slave: str) -> None:
        """The slave is gone."""
        for slaves in self._well.values():
            slaves.discard(slave)
