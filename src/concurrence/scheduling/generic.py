"""The policy for heterogeneous swarms: every chunk is sent to the slave that a strategy rates best. Pure.

Whose turn it is comes first, as everywhere: fair share, then priority. Then a strategy rates the slaves that have
room and offer what the work needs. Near the end of the work a slave that would need longer for a task than faster
ones need for all that is left is given none; and what waits at a slave, not yet started, is taken back
when another one runs dry that would complete it clearly earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from concurrence.clock import seeded_random
from concurrence.component import Component, ComponentManager
from concurrence.env.extension_options import ExtensionOption
from concurrence.env.options import IntOption
from concurrence.scheduling.api import ITaskScheduler, ITaskScheduleStrategy, SwarmState, WorkView
from concurrence.scheduling.fleet import Estimate, Fleet
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.load import cores_of
from concurrence.scheduling.rates import LONG_TASK_SECONDS
from concurrence.scheduling.refusals import Refusals
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.resting import is_postponed, preferred
from concurrence.scheduling.roster import EXACT
from concurrence.scheduling.taking_back import TakenBack
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import TakeBack

QUICK_SECONDS = 0.02
"""What takes less is sent wherever there is room, and not taken back: moving it costs as much."""

CLEARLY = 1.5
"""How many times earlier a chunk must be complete elsewhere for it to be taken back."""

ANSWER_SECONDS = 1.0
"""A chunk that was asked for is expected at its new place for so long."""


class GenericTaskScheduler(Component, ITaskScheduler):
    """Sends chunks to slaves that its strategy chooses, and takes back what waits at slow ones.

    Args:
        manager: The manager that the component belongs to.
    """

    strategy = ExtensionOption(
        "generictaskscheduler",
        "strategy",
        ITaskScheduleStrategy,
        "GenericTaskScheduleStrategy",
        "Rates the slaves for each chunk.",
    )

    seed = IntOption(
        "generictaskscheduler",
        "seed",
        0,
        "Where the random numbers begin of strategies that draw slaves: the same seed, the same draws.",
    )

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._random = seeded_random(self.seed)
        self._turn = 0
        self._turns: dict[str, int] = {}
        self._taken = TakenBack()
        self._estimates: dict[int, Estimate] = {}
        self._is_tick = False
        self._declined: dict[int, float] = {}  # jobs whose next task no free slave should have, and since when
        self._refusals = Refusals()
        self._complaint = ""

    @property
    def uses_work_queue(self) -> bool:
        """Slaves are sent what they run."""
        return False

    def dispatch(self, swarm: SwarmState, now: float) -> None:
        """Fill the slaves, then even out what waits at them."""
        if not len(swarm.roster.connected):
            return
        fleet = Fleet(swarm, self._turns, self._turn, self._estimates, now)
        self._fill(swarm, fleet, now)
        self._even_out(swarm, fleet, now)
        self._is_tick = False

    def claimed(self, swarm: SwarmState, slave: SlaveNodeRecord, chunks: Sequence[int], now: float) -> None:
        """There is no work queue to claim anything from: what is not the slave's own anyway is taken back."""
        for chunk in chunks:
            assignment = swarm.ledger.assignments.get(chunk)
            if assignment is None or assignment.slave != slave.id:
                swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=True)))

    def tick(self, swarm: SwarmState, now: float) -> None:
        """Forget what is over; the cycle ends with a dispatch, which sees what has taken too long."""
        self._is_tick = True
        assignments, jobs = swarm.ledger.assignments, swarm.ledger.jobs
        self._taken.prune(assignments)
        self._refusals.prune(now)
        self._declined = {system: at for system, at in self._declined.items() if system in jobs}
        if len(self._turns) > len(swarm.registry):
            self._turns = {node: at for node, at in self._turns.items() if swarm.registry.slave(node) is not None}
        functions = swarm.functions
        self._estimates = {each: made for each, made in self._estimates.items() if functions.is_known(each)}

    # --- giving out ---

    def _fill(self, swarm: SwarmState, fleet: Fleet, now: float) -> None:
        strategy = self.strategy
        while len(swarm.roster.roomy):
            job = swarm.next_job()
            if job is None:
                return
            work = fleet.work(job)
            if work is None:
                swarm.set_aside(job)
                continue
            able = [
                slave
                for slave in swarm.roster.able(work.resources)
                if slave.workers and not fleet.is_full(slave, work.function)
            ]
            if is_postponed(swarm, job, able, now):
                continue
            slave = self._choose(strategy, swarm, fleet, job, work, preferred(job, able), now)
            job.refusal = "" if slave is not None else self._refusal(strategy, swarm, fleet, job, work, now)
            if slave is None:
                swarm.hold(job, work.resources, now)  # what is behind it may find room
                continue
            self._declined.pop(job.system, None)
            self._turn += 1
            self._turns[slave.id] = self._turn
            assignment = swarm.take(job, fleet.size(slave, work), now)
            swarm.direct(assignment, slave)
            fleet.add(slave, assignment)

    def _choose(
        self,
        strategy: ITaskScheduleStrategy,
        swarm: SwarmState,
        fleet: Fleet,
        job: Job,
        work: WorkView,
        able: Sequence[SlaveNodeRecord],
        now: float,
    ) -> SlaveNodeRecord | None:
        draws = self._draws(strategy, swarm)
        if 0 < draws < len(able):
            able = self._random.sample(able, draws)
        rated: list[tuple[float, float, int, SlaveNodeRecord]] = []
        for place, slave in enumerate(able):
            rating = self._rate(strategy, swarm, fleet, slave, work)
            if rating > -inf:  # what is not a number is never, too
                rated.append((rating, -len(slave.chunks) / slave.description.workers, -place, slave))
        while rated:
            best = max(rated)
            if not self._is_declined(swarm, fleet, best[3], job, work, now):
                return best[3]
            rated.remove(best)
        return None

    def _refusal(
        self,
        strategy: ITaskScheduleStrategy,
        swarm: SwarmState,
        fleet: Fleet,
        job: Job,
        work: WorkView,
        now: float,
    ) -> str:
        """Why the next task of a job waits, if the strategy rates all slaves that could ever run it as never."""
        if len(swarm.roster.connected) > EXACT and not self._is_tick:
            return job.refusal

        def is_refused(slave: SlaveNodeRecord) -> bool:
            return not self._rate(strategy, swarm, fleet, slave, work) > -inf  # what is not a number is never, too

        able = self._refusals.look(swarm.roster, job, work, is_refused, now)
        if able is None:
            return job.refusal
        if not able:
            return ""
        return f"is refused all {able} slaves that could run it, by the strategy {type(strategy).__name__}"

    def _rate(
        self,
        strategy: ITaskScheduleStrategy,
        swarm: SwarmState,
        fleet: Fleet,
        slave: SlaveNodeRecord,
        work: WorkView,
    ) -> float:
        try:
            return float(strategy.rate(fleet.view(slave, work), work))
        except Exception as error:  # noqa: BLE001  a faulty plug-in must not cost the master; it is reported
            self._complain(strategy, swarm, "slaves are rated by their load instead", error)
            return -len(slave.chunks) / max(1, slave.workers)

    def _draws(self, strategy: ITaskScheduleStrategy, swarm: SwarmState) -> int:
        try:
            return int(strategy.draws)
        except Exception as error:  # noqa: BLE001  the same
            self._complain(strategy, swarm, "all slaves are rated", error)
            return 0

    def _complain(self, strategy: ITaskScheduleStrategy, swarm: SwarmState, then: str, error: Exception) -> None:
        name = type(strategy).__name__
        complaint = f"the strategy {name} failed, and {then}: {type(error).__name__}: {error}"
        if complaint != self._complaint:
            self._complaint = complaint
            swarm.outbox.news.append(complaint)

    def _is_declined(
        self, swarm: SwarmState, fleet: Fleet, slave: SlaveNodeRecord, job: Job, work: WorkView, now: float
    ) -> bool:
        """Whether faster slaves, though busy, will have done all that waits before this one has done one task."""
        own = fleet.task_seconds(slave, work.function)
        if own is None or own <= max(QUICK_SECONDS, work.tasks / fleet.capacity(work.function)):
            return False
        if slave.idle_workers <= 0:
            own += fleet.backlog(slave) / max(1, slave.workers)
        if own <= fleet.others(work).done_after(own / CLEARLY, slave.number, work.tasks):
            return False
        # What is expected need not come true: after as long as it would take here, it is not waited for.
        return now - self._declined.setdefault(job.system, now) < own

    # --- taking back ---

    def _even_out(self, swarm: SwarmState, fleet: Fleet, now: float) -> None:
        roster = swarm.roster
        if not len(roster.idle):
            return
        idle = {slave: slave.idle_workers for slave in roster.idle.some(EXACT)}
        coming = sum(self._waits(swarm, chunk) for chunk in self._taken.since(now - ANSWER_SECONDS))
        free = sum(idle.values()) - coming
        if free <= 0:
            return
        for there, slave, assignment in self._movable(swarm, fleet, now):
            here = self._best_idle(fleet, idle, assignment)
            if here is None or not self._is_earlier(fleet, here, assignment, there, now):
                continue
            self._taken.ask(swarm, slave, assignment.chunk, now)
            cores = cores_of(assignment.spec.resources)
            idle[here] -= cores
            free -= cores
            if free <= 0:
                return

    @staticmethod
    def _is_earlier(fleet: Fleet, here: SlaveNodeRecord, assignment: Assignment, there: float, now: float) -> bool:
        if fleet.task_seconds(here, assignment.spec.function) is None:
            return now - assignment.at > LONG_TASK_SECONDS  # any worker is better than none
        return fleet.chunk_seconds(here, assignment) * CLEARLY + QUICK_SECONDS < there

    @staticmethod
    def _waits(swarm: SwarmState, chunk: int) -> bool:
        assignment = swarm.ledger.assignments.get(chunk)
        return assignment is not None and bool(assignment.pending)

    def _movable(
        self, swarm: SwarmState, fleet: Fleet, now: float
    ) -> list[tuple[float, SlaveNodeRecord, Assignment]]:
        """Chunks of which something has not started, with the seconds until they are complete; latest first."""
        roster = swarm.roster
        slaves = roster.connected if len(roster.connected) <= EXACT else roster.crowded
        found: list[tuple[float, SlaveNodeRecord, Assignment]] = []
        looked_at = slaves.some(EXACT)
        if self._is_tick and slaves is roster.crowded:
            others = roster.connected.some(8 * EXACT)
            looked_at += [slave for slave in others if slave.chunks and slave not in slaves]
        for slave in looked_at:
            ahead = 0.0
            busy = 0
            for assignment in fleet.assignments(slave):
                own = fleet.chunk_seconds(slave, assignment)
                waited = now - assignment.at
                busy += cores_of(assignment.spec.resources)
                is_waiting = busy > slave.workers
                # A chunk of many tasks that should be quick and is not hides that they take long.
                is_late = len(assignment.pending) > 1 and waited > LONG_TASK_SECONDS + own
                is_stuck = bool(assignment.pending) and (is_waiting or is_late)
                if is_stuck and not self._taken.is_asked(slave, assignment.chunk):
                    left = ahead / max(1, slave.workers) + own - waited
                    found.append((left if left > own else max(own, waited), slave, assignment))
                ahead += own
        found.sort(key=lambda each: (-each[0], each[2].chunk))
        return found

    @staticmethod
    def _best_idle(
        fleet: Fleet, idle: dict[SlaveNodeRecord, int], assignment: Assignment
    ) -> SlaveNodeRecord | None:
        able = [slave for slave, count in idle.items() if count > 0 and slave.has_free(assignment.spec.resources)]
        return min(able, key=lambda slave: fleet.chunk_seconds(slave, assignment), default=None)
