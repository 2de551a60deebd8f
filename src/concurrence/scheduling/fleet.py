"""The slaves as they are in one moment, with what is expected of each: what a policy that aims decides by."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from concurrence.scheduling.api import SlaveView, SwarmState, WorkView
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.load import cores_of
from concurrence.scheduling.rates import CHUNK_SECONDS, LONG_TASK_SECONDS, chunk_size
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.roster import EXACT


class Estimate(NamedTuple):
    """What is expected of all slaves together for one function.

    Attributes:
        seconds: Of one task, the mean over the slaves where it was measured; None if it was measured nowhere.
        speed: The mean speed score of these; 0 if it is not known.
        capacity: Tasks that all slaves are expected to execute in a second; 0 until measured.
        turn: When it was made, as a number of chunks given out.
        worth: So many chunks later it is made anew.
    """

    seconds: float | None
    speed: float = 0.0
    capacity: float = 0.0
    turn: int = 0
    worth: int = 0


class Fleet:
    """The connected slaves, with their backlogs; for one round of decisions.

    Args:
        swarm: The state.
        turns: When each slave was given a chunk last, by node id.
        turn: How many chunks were given out.
        estimates: Those of the rounds before, by function; brought up to date.
        now: The time.
    """

    def __init__(
        self,
        swarm: SwarmState,
        turns: Mapping[str, int],
        turn: int,
        estimates: MutableMapping[int, Estimate],
        now: float,
    ) -> None:
        self._swarm = swarm
        self._turns = turns
        self._turn = turn
        self._now = now
        self._estimates = estimates
        self._fresh: set[int] = set()
        self._backlog: dict[str, float] = {}  # of those that were asked for: mostly few have room

    def assignments(self, slave: SlaveNodeRecord) -> list[Assignment]:
        """What a slave has, in the order in which it starts it."""
        known = self._swarm.ledger.assignments
        return [known[chunk] for chunk in sorted(slave.chunks) if chunk in known]

    def backlog(self, slave: SlaveNodeRecord) -> float:
        """Seconds that one worker of a slave would need for everything that is there."""
        known = self._backlog.get(slave.id)
        if known is None:
            assignments = self._swarm.ledger.assignments
            known = 0.0
            for chunk, needs in slave.chunks.items():
                assignment = assignments.get(chunk)
                if assignment is not None:
                    known += self.chunk_seconds(slave, assignment) * (cores_of(needs) if needs else 1)
            self._backlog[slave.id] = known
        return known

    def task_seconds(self, slave: SlaveNodeRecord, function: int) -> float | None:
        """Expected seconds of one task on a slave; None if the function was measured nowhere."""
        there = self._swarm.rates.on(function).get(slave.id)
        if there is not None:
            return there
        mean, speed, *_ = self.estimate(function)
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
        seconds, speed, *_ = self.estimate(spec.function)
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
        return slave.idle_workers <= 0 and (self.task_seconds(slave, function) or 0.0) >= LONG_TASK_SECONDS

    def size(self, slave: SlaveNodeRecord, work: WorkView) -> int:
        """How many tasks go to a slave at once: in the tail no more than its share, by its speed."""
        seconds = self.task_seconds(slave, work.function)
        if seconds is None:
            return 1
        part = slave.workers / seconds / self.capacity(work.function)
        return chunk_size(seconds, work.tasks * part / max(1, slave.description.credit))

    def capacity(self, function: int) -> float:
        """Tasks of a function that all slaves together are expected to execute in a second; 0 until measured."""
        return self.estimate(function).capacity

    def add(self, slave: SlaveNodeRecord, assignment: Assignment) -> None:
        """A slave was given a chunk."""
        if slave.id in self._backlog:
            self._backlog[slave.id] += self.chunk_seconds(slave, assignment)

    def estimate(self, function: int) -> Estimate:
        """What is expected for a function; where it was measured on many slaves, as of some chunks ago."""
        known = self._estimates.get(function)
        if known is None or (function not in self._fresh and self._turn - known.turn >= known.worth):
            known = self._estimates[function] = self._estimated(function)
            self._fresh.add(function)
        return known

    def _estimated(self, function: int) -> Estimate:
        measured, registry, roster = self._swarm.rates.on(function), self._swarm.registry, self._swarm.roster
        found = [(registry.slave(node), seconds) for node, seconds in measured.items()]
        here = [(slave, seconds) for slave, seconds in found if slave is not None and slave in roster.connected]
        if not here:
            seconds, speed = self._swarm.rates.mean(function), 0.0
        else:
            seconds = sum(seconds for _, seconds in here) / len(here)
            speeds = [slave.description.speed for slave, _ in here]
            speed = sum(speeds) / len(here) if min(speeds) > 0 else 0.0
        if seconds is None:
            return Estimate(None, turn=self._turn)
        capacity = sum(slave.workers / there for slave, there in here if there > 0)
        others = roster.workers - sum(slave.workers for slave, _ in here)
        if speed > 0:
            unscored = roster.unscored  # all of those that were measured have a score
            power = roster.power - sum(slave.workers * slave.description.speed for slave, _ in here)
            others = unscored + max(0.0, power) / speed
        capacity += others / seconds
        return Estimate(seconds, speed, capacity, self._turn, len(here) // 2 if len(here) > EXACT else 0)
