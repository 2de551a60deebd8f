"""Tasks that failed and wait before they are tried again, in the order in which their time comes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.records import Backoff, Delayed, TaskRecord, TaskSpec, TaskState


class Delays:
    """Which tasks wait, and until when. A task that is cancelled meanwhile is skipped when its time comes.

    Args:
        backoff: How long they wait.
        chance: Numbers from 0 to below 1, so that what failed together is not tried again together.
    """

    def __init__(self, backoff: Backoff, chance: Callable[[], float]) -> None:
        self.backoff = backoff
        self._chance = chance
        self._heap: list[tuple[float, int, Job, Delayed]] = []
        self._count = 0

    @property
    def next_due(self) -> float | None:
        """When the next task may be queued again; None if none waits."""
        return self._heap[0][0] if self._heap else None

    def wait_for(self, record: TaskRecord) -> float:
        """Seconds that a task waits which just failed; 0 for not at all."""
        return self.backoff.delay(record.retries, self._chance())

    def add(self, job: Job, spec: TaskSpec, record: TaskRecord, due: float) -> None:
        """A task waits until ``due``."""
        record.state = TaskState.DELAYED
        delayed = job.delayed[record.counter] = Delayed(due, spec, record)
        self._count += 1
        heappush(self._heap, (due, self._count, job, delayed))

    def postpone(self, job: Job, due: float) -> None:
        """What is next of a job, a task that failed before, waits until ``due``."""
        spec, records = job.queue.take(1)
        for record in records:
            self.add(job, spec, record, due)

    def due(self, now: float) -> Iterator[tuple[Job, Delayed]]:
        """Remove and give those whose time has come; their jobs may have been closed."""
        while self._heap and self._heap[0][0] <= now:
            _, _, job, delayed = heappop(self._heap)
            if job.delayed.get(delayed.record.counter) is delayed:
                del job.delayed[delayed.record.counter]
                yield job, delayed
