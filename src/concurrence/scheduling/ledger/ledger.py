"""The ledger: the one truth about every accepted task. Events and the time in, consequences out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from concurrence.errors import ProtocolError
from concurrence.scheduling.ledger.delays import Delays
from concurrence.scheduling.ledger.jobs import Assignment, Job, Settled
from concurrence.scheduling.ledger.records import Backoff, Ended, TaskRecord, TaskSpec, TaskState
from concurrence.scheduling.ledger.sanity import check_everything
from concurrence.scheduling.ledger.story import Event, Story
from concurrence.wire.messages import CANCELLED, EXPIRED, FAILED, FINISHED, LOST, RETURNED

_RETRIED = (FAILED, EXPIRED)
_MEASURED = (FINISHED, FAILED, EXPIRED)


class Ledger:
    """All jobs and all chunks under way.

    Args:
        first_chunk: Number of the first chunk; higher than any that a predecessor gave out, so that its late
            results are recognised.
        max_attempts: How many workers a task may kill before it fails.
        backoff: How long a task that raised waits before it is tried again.
        chance: Numbers from 0 to below 1, so that what failed together is not tried again together.

    Attributes:
        delays: The tasks that are tried again later.
        story: What happened to the tasks; its ``now`` is the time of the event that is being handled.
    """

    def __init__(
        self,
        *,
        first_chunk: int = 1,
        max_attempts: int = 3,
        backoff: Backoff | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.jobs: dict[int, Job] = {}
        self.assignments: dict[int, Assignment] = {}
        self.clients: Counter[str] = Counter()
        """How many jobs each client has."""
        self.stirred: dict[int, Job] = {}
        """Jobs that had something queued since whoever chooses among them looked last."""
        self.max_attempts = max_attempts
        self.delays = Delays(backoff or Backoff(), chance or _no_chance)
        self.story = Story()
        self._next_chunk = first_chunk

    # --- jobs ---

    def open(self, job: Job) -> Job:
        """Begin a job; a second one with its id is recognised as the same."""
        known = self.jobs.setdefault(job.system, job)
        self.clients[job.client] += known is job
        return known

    def close(self, system: int) -> list[Assignment]:
        """Forget a job with all its tasks; returns the chunks that are still at slaves."""
        job = self.jobs.pop(system, None)
        if job is None:
            return []
        self.stirred.pop(system, None)
        self.clients[job.client] -= 1
        if not self.clients[job.client]:
            del self.clients[job.client]
        for chunk in job.assignments:
            del self.assignments[chunk]
        self.story.tell(Event.CLOSED, system)
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
        job.queue.push(spec, new, now=self.story.now)
        self.stirred[job.system] = job
        job.changed = True
        self.story.tell(Event.ACCEPTED, job.system, 0, [record.counter for record in new])
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
        self._tell(Event.TAKEN, assignment, records)
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
        fresh = ran = size = 0
        for position, (counter, status) in enumerate(zip(counters, statuses, strict=True)):
            record = pending.pop(counter, None)
            if record is None:
                assignment.cancelled.discard(counter)
                continue
            fresh += 1
            size += record.size
            ran += status in _MEASURED
            if status == RETURNED:
                returned.append(record)
            elif status in _RETRIED and record.retries < assignment.spec.max_retries:
                record.retries += 1
                retried.append(record)
                assignment.note_failure(record)
            else:
                self._end(job, record, status)
                kept.append(position)
        job.running -= fresh
        self._requeue(assignment, returned)
        self._tell(Event.RETURNED, assignment, returned)
        for record in retried:
            self._delay(assignment, record)
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
            self._tell_ended(assignment, ended)
        return Settled(assignment, ended, done, fresh, ran, size)

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
        self.story.tell(Event.FINISHED, job.system, assignment.chunk, counters)
        return Settled(assignment, Ended(counters, statuses), done, len(counters), len(counters), size)

    def lose(self, chunk: int, running: int | None, why: str = "", *, but: Collection[int] = ()) -> Settled | None:
        """The worker that had this chunk died, or results of it are lost; everything unfinished is queued again.

        Args:
            chunk: The assignment.
            running: The task that was running, which alone is charged; None if none was.
            why: For the story.
            but: Tasks that its slave has, and will answer.

        Returns:
            The consequences, with the charged task among the ended ones, as ``LOST``, if it killed too many;
            None if the chunk is unknown.
        """
        assignment = self.assignments.get(chunk)
        if assignment is None:
            return None
        lost = assignment.part_from(but)
        done = not (assignment.pending or assignment.cancelled)
        if done:
            self._drop(assignment)
        job = assignment.job
        job.changed = True
        fresh = len(lost)
        job.running -= fresh
        charged = lost.pop(running, None) if running is not None else None
        again = list(lost.values())
        self._requeue(assignment, again, next_attempt=True)
        self._tell(Event.RECALLED, assignment, again, why)
        ended: Ended | None = None
        if charged is not None:
            charged.deaths += 1
            if charged.deaths >= self.max_attempts:
                self._end(job, charged, LOST)
                ended = Ended([charged.counter], bytes([LOST]))
                self._tell(Event.FAILED, assignment, [charged], why)
            else:
                self._requeue(assignment, [charged], next_attempt=True)
                assignment.note_failure(charged)
                self._tell(Event.CHARGED, assignment, [charged], why)
        return Settled(assignment, ended, done, fresh)

    def recall(self, chunk: int) -> Assignment | None:
        """Give up a chunk that nobody claimed: its tasks are queued again, before the others."""
        settled = self.lose(chunk, None, "nobody claimed it")
        return settled.assignment if settled is not None else None

    def cancel(
        self, job: Job, counters: Iterable[int] | None, status: int = CANCELLED
    ) -> tuple[Ended | None, list[Assignment]]:
        """Cancel tasks, or have them fail before their time.

        Args:
            job: Whose tasks.
            counters: Which; None for all that are unfinished.
            status: How they end.

        Returns:
            Those that ended, and the chunks under way that contained some of them.
        """
        job.changed = True
        touched: list[Assignment] = []
        removed, assigned = job.cancel_waiting(counters)
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
            self._end(job, record, status)
            # It may lie in the queue for long, skipped when its turn comes: what it weighs goes now.
            record.arguments, record.buffers = b"", ()
        ended = None
        if removed:
            ended = Ended([record.counter for record in removed], bytes([status]) * len(removed))
            event = Event.CANCELLED if status == CANCELLED else Event.FAILED
            self.story.tell(event, job.system, 0, ended.counters)
        return ended, touched

    def _requeue(
        self, assignment: Assignment, records: Sequence[TaskRecord], *, next_attempt: bool = False
    ) -> None:
        if not records:
            return
        for record in records:
            record.state = TaskState.QUEUED
            if next_attempt:
                record.attempt += 1
        assignment.job.queue.push(assignment.spec, records, front=True, now=self.story.now)
        self.stirred[assignment.job.system] = assignment.job

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

    def wake(self, now: float) -> bool:
        """Queue again what failed and has waited long enough; whether there was any."""
        found = False
        for job, delayed in self.delays.due(now):
            if self.jobs.get(job.system) is not job:
                continue
            found = True
            record = delayed.record
            record.state = TaskState.QUEUED
            job.queue.push(delayed.spec, [record], front=True, now=now)
            self.stirred[job.system] = job
            self.story.tell(Event.DUE, job.system, 0, [record.counter], attempt=record.attempt)
        return found

    def _delay(self, assignment: Assignment, record: TaskRecord) -> None:
        """A task that failed is tried again, at once or later."""
        wait = self.delays.wait_for(record)
        if wait > 0:
            record.attempt += 1
            self.delays.add(assignment.job, assignment.spec, record, self.story.now + wait)
        else:
            self._requeue(assignment, [record], next_attempt=True)
        self._tell(Event.DELAYED, assignment, [record], f"after {wait:.2g} s")

    # --- the story, and invariants ---

    def _tell(self, event: Event, assignment: Assignment, records: Sequence[TaskRecord], note: str = "") -> None:
        if records:
            counters = [record.counter for record in records]
            system = assignment.job.system
            self.story.tell(event, system, assignment.chunk, counters, attempt=assignment.attempt, note=note)

    def _tell_ended(self, assignment: Assignment, ended: Ended) -> None:
        told = list(zip(ended.counters, ended.statuses, strict=True))
        finished = [counter for counter, status in told if status == FINISHED]
        failed = [counter for counter, status in told if status != FINISHED]
        for event, counters in ((Event.FINISHED, finished), (Event.FAILED, failed)):
            if counters:
                self.story.tell(event, assignment.job.system, assignment.chunk, counters)

    def sanity_check(self) -> None:
        """Check that every task is in exactly one place.

        Raises:
            AssertionError: An invariant is broken; the text names it.
        """
        check_everything(self.jobs, self.assignments)


def _no_chance() -> float:
    return 0.5
