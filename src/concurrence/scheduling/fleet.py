"""The slaves as they are in one moment, with what is expected of each: what a policy that aims decides by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from concurrence.scheduling.api import SlaveView, SwarmState, WorkView
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.rates import CHUNK_SECONDS, LONG_TASK_SECONDS, chunk_size
from concurrence.scheduling.registry import SlaveNodeRecord


class Fleet:
    """All connected slaves, with their backlogs; for one round of decisions.

    Args:
        swarm: The state.
        slaves: The slaves.
        turns: When each was given a chunk last, by node id.
        now: The time.
    """

    def __init__(
        self, swarm: SwarmState, slaves: Sequence[SlaveNodeRecord], turns: Mapping[str, int], now: float
    ) -> None:
        self.slaves = slaves
        self._swarm = swarm
        self._turns = turns
        self._now = now
        self._means: dict[int, tuple[float | None, float]] = {}
        self._capacity: dict[int, float] = {}
        self._backlog: dict[str, float] = {}  # of those that were asked for: mostly few have room

    def assignments(self, slave: SlaveNodeRecord) -> list[Assignment]:
        """What a slave has, in the order in which it starts it."""
        known = self._swarm.ledger.assignments
        return [known[chunk] for chunk in sorted(slave.chunks) if chunk in known]

    def backlog(self, slave: SlaveNodeRecord) -> float:
        """Seconds that one worker of a slave would need for everything that is there."""
        known = self._backlog.get(slave.id)
        if known is None:
            known = sum(self.chunk_seconds(slave, each) for each in self.assignments(slave))
            self._backlog[slave.id] = known
        return known

    def task_seconds(self, slave: SlaveNodeRecord, function: int) -> float | None:
        """Expected seconds of one task on a slave; None if the function was measured nowhere."""
        there = self._swarm.rates.on(function).get(slave.id)
        if there is not None:
            return there
        mean, speed = self._mean(function)
        own = slave.description.speed
        return mean if mean is None or speed <= 0 or own <= 0 else mean * speed / own

    def chunk_seconds(self, slave: SlaveNodeRecord, assignment: Assignment) -> float:
        """Expected seconds of what is left of a chunk on a slave; of what was never measured, as long again."""
        seconds = self.task_seconds(slave, assignment.spec.function)
        if seconds is None:
            return max(CHUNK_SECONDS, self._now - assignment.at)
        return len(assignment.pending) * seconds

    def work(self, job: Job) -> WorkView | None:
        """What is next of a job."""
        spec = job.queue.head()
        if spec is None:
            return None
        seconds, speed = self._mean(spec.function)
        name = self._swarm.functions.name(spec.function)
        return WorkView(spec.function, name, job.queued, seconds, speed, spec.resources, spec.priority)

    def view(self, slave: SlaveNodeRecord, work: WorkView) -> SlaveView:
        """A slave as a strategy sees it."""
        description = slave.description
        return SlaveView(
            slave.name,
            description.workers,
            len(slave.chunks),
            self.backlog(slave),
            description.labels,
            description.speed,
            self._swarm.rates.on(work.function).get(slave.id),
            self._turns.get(slave.id, 0),
        )

    def is_full(self, slave: SlaveNodeRecord, function: int) -> bool:
        """Whether a slave takes no further chunk of a function: nothing waits behind tasks that are long there."""
        if slave.room <= 0:
            return True
        return (
            len(slave.chunks) >= slave.workers and (self.task_seconds(slave, function) or 0.0) >= LONG_TASK_SECONDS
        )

    def size(self, slave: SlaveNodeRecord, work: WorkView) -> int:
        """How many tasks go to a slave at once: in the tail no more than its share, by its speed."""
        seconds = self.task_seconds(slave, work.function)
        if seconds is None:
            return 1
        part = slave.workers / seconds / self.capacity(work.function)
        return chunk_size(seconds, work.tasks * part / max(1, slave.description.credit))

    def capacity(self, function: int) -> float:
        """Tasks of a function that all slaves together are expected to execute in a second; 0 until measured."""
        known = self._capacity.get(function)
        if known is None:
            found = ((each.workers, self.task_seconds(each, function)) for each in self.slaves)
            known = self._capacity[function] = sum(workers / seconds for workers, seconds in found if seconds)
        return known

    def add(self, slave: SlaveNodeRecord, assignment: Assignment) -> None:
        """A slave was given a chunk."""
        if slave.id in self._backlog:
            self._backlog[slave.id] += self.chunk_seconds(slave, assignment)

    def _mean(self, function: int) -> tuple[float | None, float]:
        """Seconds of one task, the mean over the slaves where it was measured, and their mean speed score."""
        known = self._means.get(function)
        if known is None:
            known = self._means[function] = self._measured_mean(function)
        return known

    def _measured_mean(self, function: int) -> tuple[float | None, float]:
        measured = self._swarm.rates.on(function)
        here = [slave for slave in self.slaves if slave.id in measured]
        if not here:
            return self._swarm.rates.mean(function), 0.0
        seconds = sum(measured[slave.id] for slave in here) / len(here)
        speeds = [slave.description.speed for slave in here]
        return seconds, sum(speeds) / len(here) if min(speeds) > 0 else 0.0
