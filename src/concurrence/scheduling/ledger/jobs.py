"""Jobs, the tasks of one system; assignments, the chunks of them that are under way; and how these end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from concurrence.scheduling.ledger.queue import RunQueue
from concurrence.scheduling.ledger.records import Delayed, Ended, TaskRecord, TaskSpec, TaskState


class FailedOn(Struct):
    """Where a task failed, and since when it waits for room elsewhere.

    Attributes:
        slave: The slave's node id.
        since: In seconds of the master's clock; None while it does not wait for that.
    """

    slave: str
    since: float | None = None


class Job:
    """The tasks of one system, or the plain tasks of one client.

    Args:
        system: Its id.
        client: Node id of the client that hears how it goes, and is charged in the fair share.
        owner: Node id of whoever owns the tasks: the client itself, or the system's host once it said hello.
        name: What people see; empty for plain tasks.

    Attributes:
        function: The master's number of the task system itself; 0 for plain tasks.
        pusher: Node id of whoever pushed the system and hears its end: its client, or the host of another system.
        root: The system that a client pushed and that led to this one; often itself.
        depth: How many systems, each pushed by the one before, led to this one; 0 for what a client pushed.
        timeout: Seconds after which the system is ended; 0 for no limit.
        weight: How much more than other systems of its client it may have, as 2 for twice as much.
        delayed: Tasks that failed and are tried again later, by counter.
        ticket: What the system's host must show.
        done: How far the system says it is, of ``total``, with a ``text``.
        changed: Whether there is news for the client.
        opened: When it began, in seconds of the master's clock.
        impossible: What queued tasks need and no slave offers; since when, and whether the client was told.
        refusal: Why no slave should have its next task although there is room, as far as the policy says; empty if
            it does not.
        failed_on: Queued tasks that failed or killed a worker, by counter, and where they did last.
    """

    def __init__(self, system: int, client: str, owner: str | None, name: str = "") -> None:
        self.system = system
        self.client = client
        self.pusher = client
        self.root = system
        self.depth = 0
        self.weight = 1.0
        self.timeout = 0.0
        self.owner = owner
        self.name = name
        self.queue = RunQueue()
        self.tasks: dict[int, TaskRecord] = {}
        self.assignments: dict[int, Assignment] = {}
        self.delayed: dict[int, Delayed] = {}
        self.next_counter = 0
        self.running = 0
        self.finished = 0
        self.failed = 0
        self.cancelled = 0
        self.busy = 0.0
        self.moved = 0
        self.bytes_held = 0
        self.changed = True
        self.function = 0
        self.ticket = ""
        self.done = 0.0
        self.total = 0.0
        self.text = ""
        self.opened = 0.0
        self.impossible: dict[Sequence[tuple[str, float]], tuple[float, bool]] = {}
        self.refusal = ""
        self.failed_on: dict[int, FailedOn] = {}

    @property
    def queued(self) -> int:
        """Tasks that could go now."""
        return len(self.queue)

    @property
    def waiting(self) -> int:
        """Tasks that wait: those that could go now, and those that are tried again later."""
        return len(self.queue) + len(self.delayed)

    def cancel_waiting(self, counters: Iterable[int] | None) -> tuple[list[TaskRecord], set[int]]:
        """Take tasks out of the queue, or all; also returns those of them that are under way."""
        if counters is None:
            removed = self.queue.clear()
            removed += [delayed.record for delayed in self.delayed.values()]
            self.delayed.clear()
            assigned = {counter for counter, record in self.tasks.items() if record.state == TaskState.ASSIGNED}
            return removed, assigned
        removed = list[TaskRecord]()
        assigned = set[int]()
        for counter in counters:
            record = self.tasks.get(counter)
            if record is None:
                continue
            if record.state == TaskState.ASSIGNED:
                assigned.add(counter)
            elif record.state == TaskState.QUEUED:
                self.queue.discard(record)
                removed.append(record)
            elif record.state == TaskState.DELAYED:
                del self.delayed[counter]
                record.state = TaskState.CANCELLED  # also if it is named twice
                removed.append(record)
        return removed, assigned

    def uses(self, function: int) -> bool:
        """Whether an unfinished task is of this function."""
        return (
            any(
                run.spec.function == function and any(record.state == TaskState.QUEUED for record in run.records)
                for run in self.queue.runs()
            )
            or any(each.pending and each.spec.function == function for each in self.assignments.values())
            or any(each.spec.function == function for each in self.delayed.values())
        )

    def __repr__(self) -> str:
        return (
            f"<Job {self.system:x} {self.name or 'plain tasks'}: {self.queued} queued, {self.running} running, "
            f"{self.finished} finished, {self.failed} failed, {self.cancelled} cancelled>"
        )


class Assignment:
    """A chunk under way: the fence that tells a current result from a late one.

    Args:
        chunk: Its number, never used again.
        job: Whose tasks.
        spec: What they have in common.
        records: The tasks, all of one attempt.
        at: When it was made, in seconds of the master's clock.

    Attributes:
        pending: The tasks that have not ended.
        cancelled: Counters of those that were cancelled here, and that the slave has not answered yet.
        slave: Node id of who has it; None while it lies on the work queue.
    """

    __slots__ = ("at", "attempt", "cancelled", "chunk", "job", "pending", "slave", "spec")

    def __init__(self, chunk: int, job: Job, spec: TaskSpec, records: Sequence[TaskRecord], *, at: float) -> None:
        self.chunk = chunk
        self.job = job
        self.spec = spec
        self.attempt = records[0].attempt
        self.pending: dict[int, TaskRecord] = {record.counter: record for record in records}
        self.cancelled: set[int] = set()
        self.slave: str | None = None
        self.at = at

    def __iter__(self) -> Iterator[TaskRecord]:
        return iter(self.pending.values())

    def part_from(self, but: Collection[int]) -> dict[int, TaskRecord]:
        """Nothing more is expected of this chunk but of these tasks; returns the others, which are unfinished."""
        lost = self.pending
        self.pending = {counter: lost.pop(counter) for counter in but if counter in lost}
        self.cancelled.intersection_update(but)
        return lost

    def note_failure(self, record: TaskRecord) -> None:
        """Remember where a task failed, so that it is tried somewhere else."""
        if self.slave is not None:
            self.job.failed_on[record.counter] = FailedOn(self.slave)

    def __repr__(self) -> str:
        where = self.slave or "unclaimed"
        return f"<Assignment {self.chunk} attempt {self.attempt} of {len(self.pending)} tasks at {where}>"


class Settled(Struct, frozen=True):
    """What results of a chunk led to.

    Attributes:
        assignment: The chunk.
        ended: What its owner is to be told; None if nothing ended.
        done: Whether nothing of the chunk is left.
        fresh: Entries that counted; the others were late.
        ran: Entries that say how long a task takes; the others did not run, or were cut short.
        size: Bytes of the tasks that counted.
    """

    assignment: Assignment
    ended: Ended | None
    done: bool
    fresh: int
    ran: int = 0
    size: int = 0
