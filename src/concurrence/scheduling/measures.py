"""What a master measures of all tasks together: how many ended how, what took how long, what failed last. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from concurrence.errors import ProtocolError
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.ledger.records import Ended
from concurrence.telemetry.histogram import Histogram
from concurrence.wire import faults
from concurrence.wire.codec import Frame, decode_results
from concurrence.wire.messages import CANCELLED, FINISHED

MAX_FAILURES = 20
"""Failures that are kept."""
MAX_TEXT = 8_192
FAILURES_PER_SECOND = 10
"""Failures that are looked at in one second of the master's time; of a flood the others are only counted."""


class Failure(Struct, frozen=True):
    """A task that failed for good.

    Attributes:
        at: When its master heard of it, in seconds of its clock.
        system: Its job.
        counter: The task.
        job: The job's name; empty for plain tasks.
        slave: Where it ran last; empty if nowhere.
        attempt: Which attempt that was; 0 if none.
        kind: One of the kinds of :mod:`concurrence.wire.faults`.
        message: One line.
        traceback: The remote traceback; its end, if it is long.
    """

    at: float
    system: int
    counter: int
    job: str
    slave: str
    attempt: int
    kind: str
    message: str
    traceback: str


class Totals(Struct):
    """Sums over jobs.

    Attributes:
        queued: Tasks that could go now.
        delayed: Tasks that failed and are tried again later.
        running: Tasks at slaves.
        finished: Tasks that returned a result.
        failed: Tasks that failed for good.
        cancelled: Tasks that were cancelled.
        busy: Seconds that workers spent.
        moved: Bytes of tasks and results between owners, master and slaves.
    """

    queued: int = 0
    delayed: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    busy: float = 0.0
    moved: int = 0

    def add(self, job: Job) -> None:
        """Add a job."""
        self.queued += job.queued
        self.delayed += len(job.delayed)
        self.running += job.running
        self._add_past(job)

    def add_closed(self, job: Job) -> None:
        """Add a job that is over: what it still had is cancelled."""
        self._add_past(job)
        self.cancelled += len(job.tasks)

    def _add_past(self, job: Job) -> None:
        self.finished += job.finished
        self.failed += job.failed
        self.cancelled += job.cancelled
        self.busy += job.busy
        self.moved += job.moved


class Measures:
    """Figures of all tasks since the master started.

    Attributes:
        task: Seconds that tasks ran.
        queue: Seconds that tasks waited for their turn, with others of their chunk.
        transfer: Seconds that chunks were under way beyond those that workers spent in them: on the wire, and
            waiting at a slave for a worker.
        failures: The last tasks that failed for good, oldest first.
        failure_count: How many were ever among them.
    """

    def __init__(self) -> None:
        self.task = Histogram()
        self.queue = Histogram()
        self.transfer = Histogram()
        self.failures: deque[Failure] = deque(maxlen=MAX_FAILURES)
        self.failure_count = 0
        self._closed = Totals()
        self._second = 0.0
        self._looked_at = 0

    def totals(self, jobs: Iterable[Job]) -> Totals:
        """The sums over all jobs that there were.

        Args:
            jobs: Those that are not over.
        """
        found = Totals()
        past = self._closed
        found.finished, found.failed, found.cancelled = past.finished, past.failed, past.cancelled
        found.busy, found.moved = past.busy, past.moved
        for job in jobs:
            found.add(job)
        return found

    def closed(self, job: Job) -> None:
        """A job is over."""
        self._closed.add_closed(job)

    def ran(self, assignment: Assignment, tasks: int, busy: float, now: float, *, done: bool) -> None:
        """Tasks of a chunk ran.

        Args:
            assignment: The chunk.
            tasks: How many of it.
            busy: Seconds that the worker spent in them.
            now: The time.
            done: Whether nothing of the chunk is left.
        """
        if tasks:
            self.task.observe(busy / tasks, tasks)
        if done:
            self.transfer.observe(max(0.0, now - assignment.at - busy))

    def ended(self, job: Job, ended: Ended, frames: Sequence[Frame], slave: str, attempt: int, now: float) -> None:
        """Tasks ended; those that failed are kept, as far as their results can be read.

        Args:
            job: Whose tasks.
            ended: Which, and how.
            frames: The results' body.
            slave: Where they ran.
            attempt: Which attempt it was.
            now: The time.
        """
        if not any(ended.statuses):
            return
        failed = [place for place, status in enumerate(ended.statuses) if status not in (FINISHED, CANCELLED)]
        if not failed or not self._may_look(now):
            return
        try:
            fault = faults.decode_fault(decode_results(frames)[failed[0]].payload)
        except (ProtocolError, IndexError):
            fault = faults.Fault(faults.KIND_RESULT, "what its slave told of it cannot be read")
        self.failure_count += 1
        self.failures.append(
            Failure(
                now,
                job.system,
                ended.counters[failed[0]],
                job.name,
                slave,
                attempt,
                fault.kind,
                fault.message[:MAX_TEXT],
                fault.traceback[-MAX_TEXT:],
            )
        )

    def _may_look(self, now: float) -> bool:
        if now - self._second >= 1.0:
            self._second, self._looked_at = now, 0
        self._looked_at += 1
        return self._looked_at <= FAILURES_PER_SECOND
