"""The ledger: the one truth about every accepted task. Events and the time in, consequences out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from concurrence.errors import ProtocolError
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.ledger.records import Ended, TaskRecord, TaskSpec, TaskState
from concurrence.wire.messages import CANCELLED, EXPIRED, FAILED, FINISHED, LOST, RETURNED

_RETRIED = (FAILED, EXPIRED)
_MEASURED = (FINISHED, FAILED, EXPIRED)


class Settled(Struct, frozen=True):
    """What results of a chunk led to.

    Attributes:
        assignment: The chunk.
        ended: What its owner is to be told; None if nothing ended.
        done: Whether nothing of the chunk is left.
        fresh: Entries that counted; the others were late.
        ran: Entries that say how long a task takes; the others did not run, or were cut short.
    """

    assignment: Assignment
    ended: Ended | None
    done: bool
    fresh: int
    ran: int = 0


class Ledger:
    """All jobs and all chunks under way.

    Args:
        first_chunk: Number of the first chunk; higher than any that a predecessor gave out, so that its late
            results are recognised.
        max_attempts: How many workers a task may kill before it fails.
    """

    def __init__(self, *, first_chunk: int = 1, max_attempts: int = 3) -> None:
        self.jobs: dict[int, Job] = {}
        self.assignments: dict[int, Assignment] = {}
        self.max_attempts = max_attempts
        self._next_chunk = first_chunk

    # --- jobs ---

    def open(self, job: Job) -> Job:
        """Begin a job; a second one with its id is recognised as the same."""
        return self.jobs.setdefault(job.system, job)

    def close(self, system: int) -> list[Assignment]:
        """Forget a job with all its tasks; returns the chunks that are still at slaves."""
        job = self.jobs.pop(system, None)
        if job is None:
            return []
        for chunk in job.assignments:
            del self.assignments[chunk]
        return list(job.assignments.values())

    def accept(self, job: Job, spec: TaskSpec, records: Sequence[TaskRecord]) -> int:
        """Queue new tasks; those that were accepted before are recognised by their counters.

        Args:
            job: Whose tasks.
            spec: What they have in common.
            records: With rising counters.

        Returns:
            How many of them are new.

        Raises:
            ProtocolError: The counters do not rise; nothing was accepted.
        """
        new: list[TaskRecord] = []
        expected = job.next_counter
        for record in records:
            if record.counter >= expected:
                expected = record.counter + 1
                new.append(record)
            elif new:
                raise ProtocolError(f"task counters must rise: {record.counter} came after {new[-1].counter}")
        if not new:
            return 0
        size = 0
        for record in new:
            job.tasks[record.counter] = record
            size += record.size if record.buffers else len(record.arguments)
        job.next_counter = expected
        job.bytes_held += size
        job.moved += size
        job.queue.push(spec, new)
        job.changed = True
        return len(new)

    # --- chunks ---

    def take(self, job: Job, limit: int, now: float) -> Assignment:
        """Form a chunk of up to ``limit`` tasks from the front of a job's queue, and fence it.

        Raises:
            IndexError: The job has nothing queued.
        """
        spec, records = job.queue.take(limit)
        for record in records:
            record.state = TaskState.ASSIGNED
        assignment = Assignment(self._next_chunk, job, spec, records, at=now)
        self._next_chunk += 1
        self.assignments[assignment.chunk] = job.assignments[assignment.chunk] = assignment
        job.running += len(records)
        job.changed = True
        return assignment

    def settle(self, chunk: int, counters: Sequence[int], statuses: bytes, busy: float) -> Settled | None:
        """Results of a chunk arrived.

        Args:
            chunk: The assignment they claim to belong to.
            counters: The tasks.
            statuses: One byte a task.
            busy: Seconds that the worker spent.

        Returns:
            The consequences; None if the chunk is unknown: a late result of an abandoned attempt.

        Raises:
            ProtocolError: Not one status per counter.
        """
        if len(counters) != len(statuses):
            raise ProtocolError(f"{len(counters)} results have {len(statuses)} statuses")
        assignment = self.assignments.get(chunk)
        if assignment is None:
            return None
        job = assignment.job
        job.changed = True
        pending = assignment.pending
        if len(counters) == len(pending) and not any(statuses) and pending.keys() == set(counters):
            job.busy += busy
            return self._settle_all(assignment, list(counters), statuses)
        settled = self._settle_some(assignment, counters, statuses)
        job.busy += busy if settled.fresh else 0.0
        return settled

    def _settle_some(self, assignment: Assignment, counters: Sequence[int], statuses: bytes) -> Settled:
        job, pending = assignment.job, assignment.pending
        kept: list[int] = []
        returned: list[TaskRecord] = []
        retried: list[TaskRecord] = []
        fresh = ran = 0
        for position, (counter, status) in enumerate(zip(counters, statuses, strict=True)):
            record = pending.pop(counter, None)
            if record is None:
                assignment.cancelled.discard(counter)
                continue
            fresh += 1
            ran += status in _MEASURED
            if status == RETURNED:
                returned.append(record)
            elif status in _RETRIED and record.retries < assignment.spec.max_retries:
                record.retries += 1
                retried.append(record)
                _note_where(assignment, record)
            else:
                self._end(job, record, status)
                kept.append(position)
        job.running -= fresh
        self._requeue(assignment, returned)
        for record in retried:
            self._requeue(assignment, [record], next_attempt=True)
        done = not pending and not assignment.cancelled
        if done:
            self._drop(assignment)
        ended = None
        if kept:
            ended = Ended(
                [counters[position] for position in kept],
                bytes(statuses[position] for position in kept),
                whole=len(kept) == len(counters),
                kept=tuple(kept),
            )
        return Settled(assignment, ended, done, fresh, ran)

    def _settle_all(self, assignment: Assignment, counters: list[int], statuses: bytes) -> Settled:
        """The common case, a whole chunk without a failure, at the price of a few dictionary operations."""
        job = assignment.job
        size = 0
        tasks = job.tasks
        for counter in counters:
            record = tasks.pop(counter)
            size += record.size if record.buffers else len(record.arguments)
        if job.failed_on:
            for counter in counters:
                job.failed_on.pop(counter, None)
        job.bytes_held -= size
        job.running -= len(counters)
        job.finished += len(counters)
        assignment.pending.clear()
        done = not assignment.cancelled
        if done:
            self._drop(assignment)
        return Settled(assignment, Ended(counters, statuses), done, len(counters), len(counters))

    def lose(self, chunk: int, running: int | None) -> Settled | None:
        """The worker that had this chunk died; everything unfinished is queued again.

        Args:
            chunk: The assignment.
            running: The task that was running, which alone is charged; None if none was.

        Returns:
            The consequences, with the charged task among the ended ones, as ``LOST``, if it killed too many;
            None if the chunk is unknown.
        """
        assignment = self.assignments.get(chunk)
        if assignment is None:
            return None
        self._drop(assignment)
        job = assignment.job
        job.changed = True
        fresh = len(assignment.pending)
        job.running -= fresh
        charged = assignment.pending.pop(running, None) if running is not None else None
        self._requeue(assignment, list(assignment.pending.values()), next_attempt=True)
        assignment.pending.clear()
        ended: Ended | None = None
        if charged is not None:
            charged.deaths += 1
            if charged.deaths >= self.max_attempts:
                self._end(job, charged, LOST)
                ended = Ended([charged.counter], bytes([LOST]))
            else:
                self._requeue(assignment, [charged], next_attempt=True)
                _note_where(assignment, charged)
        return Settled(assignment, ended, True, fresh)

    def recall(self, chunk: int) -> Assignment | None:
        """Give up a chunk that nobody claimed: its tasks are queued again, before the others."""
        settled = self.lose(chunk, None)
        return settled.assignment if settled is not None else None

    def cancel(self, job: Job, counters: Iterable[int] | None) -> tuple[Ended | None, list[Assignment]]:
        """Cancel tasks.

        Args:
            job: Whose tasks.
            counters: Which; None for all that are unfinished.

        Returns:
            Those that ended, and the chunks under way that contained some of them.
        """
        job.changed = True
        touched: list[Assignment] = []
        removed, assigned = self._cancel_queued(job, counters)
        if assigned:
            for assignment in job.assignments.values():
                pending = assignment.pending
                few, many = (assigned, pending) if len(assigned) < len(pending) else (pending, assigned)
                hit = [counter for counter in few if counter in many]
                if hit:
                    removed += [pending.pop(counter) for counter in hit]
                    assignment.cancelled.update(hit)
                    job.running -= len(hit)
                    touched.append(assignment)
        for record in removed:
            record.state = TaskState.CANCELLED
            self._end(job, record, CANCELLED)
        ended = None
        if removed:
            ended = Ended([record.counter for record in removed], bytes([CANCELLED]) * len(removed))
        return ended, touched

    @staticmethod
    def _cancel_queued(job: Job, counters: Iterable[int] | None) -> tuple[list[TaskRecord], set[int]]:
        """Take tasks out of the queue; also returns those of them that are under way."""
        if counters is None:
            removed = job.queue.clear()
            assigned = {counter for counter, record in job.tasks.items() if record.state == TaskState.ASSIGNED}
            return removed, assigned
        removed = list[TaskRecord]()
        assigned = set[int]()
        for counter in counters:
            record = job.tasks.get(counter)
            if record is None:
                continue
            if record.state == TaskState.ASSIGNED:
                assigned.add(counter)
            elif record.state == TaskState.QUEUED:
                job.queue.discard(record)
                removed.append(record)
        return removed, assigned

    def _requeue(
        self, assignment: Assignment, records: Sequence[TaskRecord], *, next_attempt: bool = False
    ) -> None:
        if not records:
            return
        for record in records:
            record.state = TaskState.QUEUED
            if next_attempt:
                record.attempt += 1
        assignment.job.queue.push(assignment.spec, records, front=True)

    def _drop(self, assignment: Assignment) -> None:
        del self.assignments[assignment.chunk]
        del assignment.job.assignments[assignment.chunk]

    def _end(self, job: Job, record: TaskRecord, status: int) -> None:
        del job.tasks[record.counter]
        job.failed_on.pop(record.counter, None)
        job.bytes_held -= record.size
        if status == FINISHED:
            job.finished += 1
        elif status == CANCELLED:
            job.cancelled += 1
        else:
            job.failed += 1

    # --- invariants ---

    def sanity_check(self) -> None:
        """Check that every task is in exactly one place.

        Raises:
            AssertionError: An invariant is broken; the text names it.
        """
        under_way: dict[int, set[int]] = {system: set() for system in self.jobs}
        for assignment in self.assignments.values():
            job = assignment.job
            assert self.jobs.get(job.system) is job, f"{assignment} belongs to a closed job"
            assert job.assignments.get(assignment.chunk) is assignment, f"{job} does not know {assignment}"
            assert assignment.pending or assignment.cancelled, f"{assignment} is over and still here"
            assert assignment.cancelled.isdisjoint(job.tasks), f"{assignment} has unfinished tasks as cancelled"
            for counter, record in assignment.pending.items():
                assert record.state == TaskState.ASSIGNED, f"{record} is under way but not assigned"
                assert record.attempt == assignment.attempt, f"{record} has another attempt than {assignment}"
                assert counter not in under_way[job.system], f"{record} is in two chunks"
                under_way[job.system].add(counter)
        known = sum(len(job.assignments) for job in self.jobs.values())
        assert known == len(self.assignments), "a job has a chunk that is not under way"
        for job in self.jobs.values():
            for run in job.queue.runs():
                attempts = {record.attempt for record in run.records[run.position :] if record.state == 0}
                assert len(attempts) <= 1, f"{job} queues a run of several attempts"
            queued = [record.counter for record in job.queue]
            assert len(queued) == len(set(queued)) == job.queued, f"{job} counts its queue wrongly"
            assert all(record.state == TaskState.QUEUED for record in job.queue), f"{job} queues assigned tasks"
            assert set(queued).isdisjoint(under_way[job.system]), f"{job} queues tasks that are under way"
            assert set(queued) | under_way[job.system] == set(job.tasks), f"{job} lost or invented tasks"
            assert len(under_way[job.system]) == job.running, f"{job} counts its running tasks wrongly"
            held = sum(record.size for record in job.tasks.values())
            assert held == job.bytes_held, f"{job} holds {held} bytes and counts {job.bytes_held}"
            ended = job.finished + job.failed + job.cancelled
            assert ended + len(job.tasks) <= job.next_counter, f"{job} ended more tasks than it accepted"


def _note_where(assignment: Assignment, record: TaskRecord) -> None:
    """Remember where a task failed, so that it is tried somewhere else."""
    if assignment.slave is not None:
        assignment.job.failed_on[record.counter] = assignment.slave
