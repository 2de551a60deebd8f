"""Strategies: how good a slave is for some work. Pure."""

from __future__ import annotations

from math import inf

from concurrence.component import Component
from concurrence.scheduling.api import ITaskScheduleStrategy, SlaveView, WorkView


class GenericTaskScheduleStrategy(Component, ITaskScheduleStrategy):
    """Prefers the slave where the work is expected to be complete first; no workers is worst.

    Expected is the wait behind what is there already, unless a worker is idle, and then the work itself: as
    measured on that slave, else on others, scaled by speed scores. Before anything is measured the load per worker
    counts, scaled in the same way.
    """

    def rate(self, slave: SlaveView, work: WorkView) -> float:
        """The expected seconds until it is complete, negative."""
        if slave.workers <= 0:
            return -inf
        seconds = work.seconds_on(slave)
        if seconds is None:
            load = (slave.chunks + 1) / slave.workers
            return -load / slave.speed if slave.speed > 0 else -load
        wait = slave.backlog / slave.workers if slave.chunks >= slave.workers else 0.0
        return -(wait + seconds)


class LeastLoadedStrategy(Component, ITaskScheduleStrategy):
    """Prefers the slave with the fewest chunks per worker, however fast it is."""

    def rate(self, slave: SlaveView, work: WorkView) -> float:
        """The load per worker, negative."""
        return -slave.chunks / slave.workers if slave.workers > 0 else -inf


class RoundRobinStrategy(Component, ITaskScheduleStrategy):
    """Gives chunks to all slaves in turn, however loaded or fast they are."""

    def rate(self, slave: SlaveView, work: WorkView) -> float:
        """How long ago it had its last turn."""
        return float(-slave.last_turn) if slave.workers > 0 else -inf


class BestOfTwoStrategy(Component, ITaskScheduleStrategy):
    """Of two slaves drawn at random prefers the one with the fewer chunks per worker.

    Nearly as even as looking at all of them, and what several masters or many clients do does not fall into step.
    """

    @property
    def draws(self) -> int:
        """Two."""
        return 2

    def rate(self, slave: SlaveView, work: WorkView) -> float:
        """The load per worker, negative."""
        return -slave.chunks / slave.workers if slave.workers > 0 else -inf
