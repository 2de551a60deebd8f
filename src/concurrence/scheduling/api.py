"""The state on which scheduling policies work, and what a policy is. Pure."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from math import inf

from msgspec import Struct

from concurrence.component import Interface
from concurrence.scheduling.alone import Alone
from concurrence.scheduling.assigning import assign_parcel, way_seconds
from concurrence.scheduling.circuit import Outcomes
from concurrence.scheduling.client_names import client_name
from concurrence.scheduling.detached import DetachedSystems
from concurrence.scheduling.fairness import FairShare
from concurrence.scheduling.functions import FunctionTable
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.ledger.ledger import Ledger
from concurrence.scheduling.ledger.records import Backoff
from concurrence.scheduling.ledger.story import Event
from concurrence.scheduling.load import Needs
from concurrence.scheduling.measures import Measures
from concurrence.scheduling.outbox import Outbox
from concurrence.scheduling.past import Past
from concurrence.scheduling.rates import CHUNK_SECONDS, Rates
from concurrence.scheduling.registry import OwnerNode, Registry, SlaveNodeRecord
from concurrence.scheduling.reservations import Reservations
from concurrence.scheduling.roster import EXACT, Roster
from concurrence.scheduling.usage import Usages
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Ping


class Limits(Struct, frozen=True):
    """Bounds and periods of a master.

    Attributes:
        lease: Seconds of silence after which a node is given up.
        heartbeat: A peer with nothing to say sends a ping this often, in seconds.
        task_window: Unfinished tasks of one owner at the master.
        byte_window: Bytes of unfinished tasks of one owner at the master.
        delivery_window: Bytes of results that an owner has not acknowledged, beyond which its tasks wait; as they
            do beyond ``task_window`` results.
        max_attempts: How many workers a task may kill.
        system_window: Task systems of one client, with those that they pushed; each has a process of its own.
        system_depth: How many task systems may push one another in a row.
        code_window: Bytes of code and shared objects of one owner at the master.
        max_connections: How many the open files of the master allow; 0 for no limit. A slave may have two.
        impossible_fails: Whether tasks fail that no connected slave can ever run; if not, they wait.
        impossible_patience: Seconds after which they do.
        alone: Whether no further slave can ever join: then they fail at once.
        weights: How much more than others clients of these names may have, as 2 for twice as much.
        retry_delay: Seconds that a task which raised waits before it is tried again; doubled with each failure.
        longest_retry_delay: Never more seconds than this.
    """

    lease: float = 10.0
    heartbeat: float = 2.0
    task_window: int = 131_072
    byte_window: int = 512 * 1024 * 1024
    delivery_window: int = 256 * 1024 * 1024
    max_attempts: int = 3
    system_window: int = 256
    system_depth: int = 16
    code_window: int = 1 << 30
    max_connections: int = 0
    impossible_fails: bool = False
    impossible_patience: float = 10.0
    alone: Alone | None = None
    retry_delay: float = 0.0
    longest_retry_delay: float = 30.0
    weights: Mapping[str, float] = {}


class SwarmState:
    """Everything a master knows, and the outbox that its decisions go to.

    Args:
        ledger: The tasks.
        limits: Bounds and periods.
        package: This version of Concurrent, for the text of a refusal.
        new_ticket: Makes the secret that a host must show; given from outside, as all randomness is.
        first_registration: See :class:`~concurrence.scheduling.registry.Registry`.
    """

    def __init__(
        self,
        ledger: Ledger,
        limits: Limits,
        package: str,
        new_ticket: Callable[[], str],
        *,
        first_registration: int = 1,
    ) -> None:
        self.ledger = ledger
        self.roster = Roster()
        """The connected slaves by what they have room for."""
        self.registry = Registry(
            lease=limits.lease, package=package, presence=self.roster, first=first_registration
        )
        self.limits = limits
        self.task_bound = limits.task_window
        """The largest window that an owner may have been told, and so may still use."""
        self.new_ticket = new_ticket
        self.rates = Rates()
        self.outcomes = Outcomes()
        self.resting: dict[str, SlaveNodeRecord] = {}
        """The slaves that are given no work because everything failed on them."""
        self.fairness = FairShare()
        self.functions = FunctionTable(limits.code_window)
        self.past, self.measures, self.usages = Past(), Measures(), Usages()
        self.detached = DetachedSystems()
        self.outbox = Outbox()
        self.unclaimed: dict[int, float] = {}
        """Chunks on the work queue that no slave claimed yet, with the time by which they have come there."""
        self.moving_at = -inf  # when a part of a large message to or from a slave came last
        self.changed = False  # whether anything happened in this cycle that may have made room for work
        self.asked: dict[str, float] = {}
        """Slaves that were asked for a sign of life before they are given work, and when."""
        self.slaves_changed = False  # whether one came or went since owners were told which there are
        self.slaves_told = -inf  # when they were told
        self.behind_at = -inf  # when there was last more that had arrived than was taken in
        self._spread: dict[int, int] = {}  # functions that all slaves were sent, as the roster was then
        self._held: dict[int, Job] = {}
        self.reservations = Reservations()
        self.deadlines: list[tuple[float, int]] = []  # a heap: when which task systems end at the latest

    def set_limits(self, limits: Limits) -> None:
        """Adopt other bounds and periods; no owner is refused what it was allowed before."""
        self.limits = limits
        self.task_bound = max(self.task_bound, limits.task_window)
        self.registry.lease = limits.lease
        self.functions.byte_limit = limits.code_window
        self.ledger.max_attempts = limits.max_attempts
        self.ledger.delays.backoff = Backoff(limits.retry_delay, limits.longest_retry_delay)

    def client_of(self, job: Job) -> OwnerNode | None:
        """Whoever is told how a job goes: its client, or who attached to the detached system that led to it."""
        client = self.registry.owner(job.client)
        if client is None and (detached := self.detached.get(job.root)) is not None:
            return self.registry.owner(detached.listener)
        return client

    def eligible(self, job: Job) -> bool:
        """Whether a job's tasks may go now: its owner takes their results."""
        owner = self.registry.owner(job.owner)
        if owner is None:
            return False
        kept = owner.deliveries
        return kept.bytes < self.limits.delivery_window and kept.tasks < self.limits.task_window

    def next_job(self, acceptable: Callable[[Job], bool] | None = None) -> Job | None:
        """The job whose turn it is, among the eligible ones.

        Args:
            acceptable: Whether the policy finds a job acceptable; one that it does not is set aside. None for all.
        """
        self.fairness.enter(self.ledger.stirred.values())
        self.ledger.stirred.clear()
        while (job := self.fairness.choose(self.eligible)) is not None:
            if acceptable is None or acceptable(job):
                return job
            self.set_aside(job)
        return None

    def set_aside(self, job: Job) -> None:
        """Nobody can take what this job has next: others come before it until the end of the cycle."""
        self.fairness.set_aside(job)

    def hold(self, job: Job, resources: Needs, now: float) -> None:
        """Nobody has these resources now: until the end of the cycle what is behind such tasks comes first.

        Unless that goes on for too long: then a slave is kept free for them.
        """
        needs = tuple(resources)
        job.queue.hold(needs)
        self._held[job.system] = job
        if needs and not self.roster.able(needs):
            self.reservations.want(self.roster, job, needs, now)

    def fulfil_reservations(self, now: float) -> None:
        """Send what waited for a slave to be free to the one that was kept for it, if that is.

        What cannot be sent then gives the slave up: nobody can tell when it could be.
        """
        for job, wish, slave in self.reservations.due(self.ledger.jobs, self.registry.slave, self.roster):
            if not self.eligible(job):
                self.reservations.cancel(self.roster, job.system, wish.needs)
                continue
            while (spec := job.queue.head()) is not None and spec.resources != wish.needs:
                job.queue.hold(spec.resources)  # what came before it meanwhile has found no slave
            if spec is not None:
                self.direct(self.form_chunk(job, self.roster.credit, now), slave)
            else:
                self.reservations.cancel(self.roster, job.system, wish.needs)
            job.queue.release()

    def end_round(self) -> None:
        """The end of a cycle: nothing is set aside or on hold any more."""
        self.fairness.end_round()
        for job in self._held.values():
            job.queue.release()
        self._held.clear()

    def form_chunk(self, job: Job, windows: int, now: float) -> Assignment:
        """Take a chunk from a job that is of the right size for whichever slave it goes to.

        Args:
            job: One with tasks queued.
            windows: How many chunks the swarm takes at once.
            now: The time.
        """
        spec = job.queue.head()
        function = spec.function if spec is not None else 0
        return self.take(job, self.rates.chunk_size(function, job.queued, windows), now)

    def take(self, job: Job, size: int, now: float) -> Assignment:
        """Take a chunk of at most so many tasks from a job, and charge it to the client."""
        waited = max(0.0, now - job.queue.head_since())
        assignment = self.ledger.take(job, size, now)
        self.measures.queue.observe(waited, len(assignment.pending))
        self.usages.waited(job.client, waited, len(assignment.pending))
        if assignment.spec.resources:
            self.reservations.cancel(self.roster, job.system, assignment.spec.resources)
        mean = self.rates.mean(assignment.spec.function)
        seconds = len(assignment.pending) * (CHUNK_SECONDS if mean is None else mean)
        self.fairness.charge(job, seconds, self.weight_of(job))
        return assignment

    def weight_of(self, job: Job) -> float:
        """How much more than others a job's client may have, as 2 for twice as much; also when it has left."""
        weights = self.limits.weights
        return weights.get(client_name(job, self.registry, self.detached), 1.0) if weights else 1.0

    def direct(self, assignment: Assignment, slave: SlaveNodeRecord) -> None:
        """Send a chunk to one slave."""
        self.define(slave, assignment.spec.function)
        self.give(assignment, slave)
        self.ledger.story.tell(Event.SENT, assignment.job.system, assignment.chunk, who=slave.name)
        self.outbox.send(slave.peer, assign_parcel(assignment))

    def offer(self, assignment: Assignment, now: float) -> None:
        """Put a chunk on the work queue, where any slave may claim it."""
        self.spread(assignment.spec.function)
        self.outbox.work.append(assign_parcel(assignment))
        self.unclaimed[assignment.chunk] = now + way_seconds(self.outbox.work[-1])
        self.ledger.story.tell(Event.OFFERED, assignment.job.system, assignment.chunk)

    def give(self, assignment: Assignment, slave: SlaveNodeRecord) -> None:
        """A slave has a chunk."""
        assignment.slave = slave.id
        self.roster.give(slave, assignment.chunk, assignment.spec.resources)

    def ask(self, slave: SlaveNodeRecord, now: float) -> None:
        """Ask a slave for a sign of life, which leads to a dispatch; not again within a second."""
        if now - self.asked.get(slave.id, -inf) >= 1.0:
            self.asked[slave.id] = now
            self.outbox.send(slave.peer, Parcel(Ping()))

    def define(self, slave: SlaveNodeRecord, function: int) -> None:
        """Send a slave the code of a function unless it has it."""
        for parcel in self.functions.definition(function, slave.known, slave.id):
            self.outbox.send(slave.peer, parcel)

    def spread(self, function: int) -> None:
        """Send all slaves the code of a function; in a large swarm each is sent it when it claims a chunk."""
        roster = self.roster
        if len(roster.connected) > EXACT or self._spread.get(function) == roster.version:
            return
        self._spread[function] = roster.version
        for slave in roster.connected.all():
            self.define(slave, function)

    def forget_function(self, function: int) -> None:
        """Nobody uses a function any more."""
        self.rates.forget(function)
        self.outcomes.forget(function)
        self._spread.pop(function, None)

    def can_run(self, slave: SlaveNodeRecord, job: Job) -> bool:
        """Whether a slave offers what the next task of the job needs, beyond what its other chunks take of it."""
        spec = job.queue.head()
        return spec is not None and slave.has_free(spec.resources)


class ITaskScheduler(Interface):
    """A scheduling policy: decides which chunk goes where; chosen by ``[masternode] task_scheduler``."""

    @property
    @abstractmethod
    def uses_work_queue(self) -> bool:
        """Whether slaves pull from a work queue."""

    @abstractmethod
    def dispatch(self, swarm: SwarmState, now: float) -> None:
        """Give out what can be given out now; called at the end of every cycle in which something happened."""

    @abstractmethod
    def claimed(self, swarm: SwarmState, slave: SlaveNodeRecord, chunks: Sequence[int], now: float) -> None:
        """A slave pulled these chunks from the work queue."""

    @abstractmethod
    def tick(self, swarm: SwarmState, now: float) -> None:
        """Called a few times a second: take back what got stuck."""


class SlaveView(Struct, frozen=True):
    """What a strategy is told of a slave; a picture of this moment.

    Attributes:
        name: What people see.
        workers: Its worker processes; 0 if it has none.
        chunks: Chunks that are there, running and waiting; with fewer than ``workers`` a worker is idle.
        backlog: Seconds that one worker would need for everything that is there, as far as is known.
        labels: Resources beyond ``cpu`` that it offers, as in ``{"gpu": 1.0}``.
        speed: The speed score that it registered with, in millions of loops per second; 0 if it has none.
        task_seconds: Seconds that a task of this function takes there, as measured; None until measured.
        last_turn: When it was given a chunk last, as a running number; 0 if never.
    """

    name: str
    workers: int
    chunks: int = 0
    backlog: float = 0.0
    labels: Mapping[str, float] = {}
    speed: float = 0.0
    task_seconds: float | None = None
    last_turn: int = 0


class WorkView(Struct, frozen=True):
    """What a strategy is told of the work that is next.

    Attributes:
        function: The master's number of the function whose tasks these are.
        name: The function's name.
        tasks: How many tasks wait.
        task_seconds: Seconds that one of them takes, the mean over all slaves where that was measured; None if it
            was measured nowhere.
        speed: The mean speed score of those slaves, in millions of loops per second; 0 if it is not known.
        resources: What a slave must offer. Slaves that do not, or have no room, are not rated at all.
        priority: Higher ones go first, within a client.
    """

    function: int
    name: str = ""
    tasks: int = 1
    task_seconds: float | None = None
    speed: float = 0.0
    resources: tuple[tuple[str, float], ...] = ()
    priority: int = 0

    def seconds_on(self, slave: SlaveView) -> float | None:
        """Expected seconds of one task on a slave: as measured there, else the mean, scaled by speed scores.

        Args:
            slave: The slave, as seen for this work.

        Returns:
            None if the function was measured nowhere.
        """
        if slave.task_seconds is not None:
            return slave.task_seconds
        if self.task_seconds is None or self.speed <= 0 or slave.speed <= 0:
            return self.task_seconds
        return self.task_seconds * self.speed / slave.speed


class ITaskScheduleStrategy(Interface):
    """Rates slaves; chosen by ``[generictaskscheduler] strategy``."""

    @property
    def draws(self) -> int:
        """How many slaves are drawn at random for each chunk, to be the only ones that are rated; 0 for all."""
        return 0

    @abstractmethod
    def rate(self, slave: SlaveView, work: WorkView) -> float:
        """How good a slave is for some work: the highest rating gets it; minus infinity means never.

        Called for each slave with room, for every chunk: keep it cheap. Ratings of different work are not
        compared. Between equal ones the slave with the smaller load per worker gets it. Work that no slave is
        good for waits.

        Args:
            slave: The slave as it is now.
            work: The work that is next.
        """
