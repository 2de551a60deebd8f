"""The slaves as they are in one moment, with what is expected of each: what a policy that aims decides by."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, MutableMapping
from itertools import accumulate
from math import inf
from typing import NamedTuple

from concurrence.scheduling.api import SlaveView, SwarmState, WorkView
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.load import Needs, cores_of
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


class Kind(NamedTuple):
    """What is known of a function in one round of decisions.

    Attributes:
        measured: Seconds of one task on each slave where it was measured, by node id.
        seconds: See :class:`Estimate`.
        speed: See :class:`Estimate`.
        power: What ``seconds`` is at a speed score of 1; 0 if scores say nothing.
        capacity: See :class:`Estimate`.
    """

    measured: Mapping[str, float]
    seconds: float | None
    speed: float
    power: float
    capacity: float


class Others:
    """Slaves with which one is compared: those that are quicker, quickest first.

    Args:
        rows: Of each its seconds for a task, its number, its workers, and its backlog.
        stands_for: How many slaves each of them stands for.
        uses: For how many comparisons they are good.
    """

    __slots__ = ("_backlogs", "_places", "_rates", "_rows", "_stands_for", "_workers", "uses")

    def __init__(self, rows: list[tuple[float, int, int, float]], stands_for: float, uses: int) -> None:
        rows.sort()
        self.uses = uses
        self._stands_for = stands_for
        self._rows = rows
        self._places = {number: place for place, (_, number, _, _) in enumerate(rows)}
        self._rates = [0.0, *accumulate(workers / seconds for seconds, _, workers, _ in rows)]
        self._workers = [0, *accumulate(workers for _, _, workers, _ in rows)]
        self._backlogs = [0.0, *accumulate(backlog for _, _, _, backlog in rows)]

    def done_after(self, seconds: float, number: int, tasks: int) -> float:
        """Seconds after which the quicker ones will have done so many tasks, behind what they have.

        Args:
            seconds: Those are quicker that need less for a task.
            number: The slave that is compared, which is none of them.
            tasks: How many.

        Returns:
            Infinity if none is quicker.
        """
        end = bisect_left(self._rows, (seconds,))
        rate, workers, backlog = self._rates[end], self._workers[end], self._backlogs[end]
        last = end - 1
        place = self._places.get(number, end)
        if place < end:
            own, _, own_workers, own_backlog = self._rows[place]
            rate, workers, backlog = rate - own_workers / own, workers - own_workers, backlog - own_backlog
            if place == last:
                last -= 1
        if workers <= 0:
            return inf
        return backlog / workers + tasks / (self._stands_for * rate) + self._rows[last][0]


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
        self._kinds: dict[int, Kind] = {}
        self._backlog: dict[str, float] = {}  # of those that were asked for: mostly few have room
        self._others: dict[tuple[int, Needs], Others] = {}

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
                    seconds = self.chunk_seconds(slave, assignment)
                    known += seconds * cores_of(needs) if needs else seconds
            self._backlog[slave.id] = known
        return known

    def kind(self, function: int) -> Kind:
        """What is known of a function."""
        known = self._kinds.get(function)
        if known is None:
            measured = self._swarm.rates.on(function)
            seconds, speed, capacity, *_ = self._estimate(function)
            power = seconds * speed if seconds is not None and speed > 0 else 0.0
            known = self._kinds[function] = Kind(measured, seconds, speed, power, capacity)
        return known

    def task_seconds(self, slave: SlaveNodeRecord, function: int) -> float | None:
        """Expected seconds of one task on a slave; None if the function was measured nowhere."""
        measured, seconds, _, power, _ = self._kinds.get(function) or self.kind(function)
        there = measured.get(slave.id)
        if there is not None:
            return there
        own = slave.description.speed
        return power / own if power > 0 and own > 0 else seconds

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
        _, seconds, speed, *_ = self.kind(spec.function)
        name = self._swarm.functions.name(spec.function)
        return WorkView(spec.function, name, job.queued, seconds, speed, spec.resources, spec.priority)

    def view(self, slave: SlaveNodeRecord, work: WorkView) -> SlaveView:
        """A slave as a strategy sees it."""
        description, node = slave.description, slave.id
        known = self._backlog.get(node)
        return SlaveView(
            slave.name,
            description.workers,
            len(slave.chunks),
            self.backlog(slave) if known is None else known,
            description.labels,
            description.speed,
            self.kind(work.function).measured.get(node),
            self._turns.get(node, 0),
        )

    def is_full(self, slave: SlaveNodeRecord, function: int) -> bool:
        """Whether a slave that has room takes no chunk of a function: nothing waits behind tasks that are long."""
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
        return self.kind(function).capacity

    def add(self, slave: SlaveNodeRecord, assignment: Assignment) -> None:
        """A slave was given a chunk."""
        if slave.id in self._backlog:
            self._backlog[slave.id] += self.chunk_seconds(slave, assignment)

    def others(self, work: WorkView) -> Others:
        """The slaves that offer what work needs: all of them as they are now; or of many some, as they were a
        moment ago."""
        key = (work.function, work.resources)
        known = self._others.get(key)
        if known is None or not known.uses:
            known = self._others[key] = self._look_around(work)
        known.uses -= 1
        return known

    def _look_around(self, work: WorkView) -> Others:
        roster = self._swarm.roster
        sample, each_stands_for = roster.sample()
        rows: list[tuple[float, int, int, float]] = []
        for slave in sample:
            workers = slave.description.workers
            if workers and slave.offers(work.resources):
                seconds = self.task_seconds(slave, work.function)
                if seconds:
                    rows.append((seconds, slave.number, workers, self.backlog(slave)))
        return Others(rows, each_stands_for, EXACT if len(roster.connected) > EXACT else 1)

    def _estimate(self, function: int) -> Estimate:
        """What is expected for a function; where it was measured on many slaves, as of some chunks ago."""
        known = self._estimates.get(function)
        if known is None or self._turn - known.turn >= known.worth:
            known = self._estimates[function] = self._estimated(function)
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
