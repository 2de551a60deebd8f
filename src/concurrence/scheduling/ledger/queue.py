"""The queue of one job: runs of alike tasks, by priority, taken in chunks from the front. Pure."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec


class Run:
    """Tasks with one spec and one attempt number, of which the first ``position`` are taken already.

    Args:
        spec: What they have in common.
        records: In order of execution; the run owns the list.
    """

    __slots__ = ("position", "records", "spec")

    def __init__(self, spec: TaskSpec, records: list[TaskRecord]) -> None:
        self.spec = spec
        self.records = records
        self.position = 0

    def __len__(self) -> int:
        return len(self.records) - self.position


class RunQueue:
    """Runs by priority; its length is the number of waiting tasks."""

    def __init__(self) -> None:
        self._runs: dict[int, deque[Run]] = {}
        self._priorities: list[int] = []  # ascending: the next to take from is the last
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[TaskRecord]:
        for runs in self._runs.values():
            for run in runs:
                yield from run.records[run.position :]

    def push(self, spec: TaskSpec, records: Sequence[TaskRecord], *, front: bool = False) -> None:
        """Add a run of tasks, behind or before the others of its priority.

        Args:
            spec: What they have in common.
            records: At least one, all of the same attempt.
            front: For tasks that were taken before.
        """
        runs = self._runs.get(spec.priority)
        if runs is None:
            runs = self._runs[spec.priority] = deque()
            insort(self._priorities, spec.priority)
        run = Run(spec, list(records))
        if front:
            runs.appendleft(run)
        else:
            runs.append(run)
        self._length += len(run)

    def head(self) -> TaskSpec | None:
        """The spec of what would be taken next; None if the queue is empty."""
        return self._runs[self._priorities[-1]][0].spec if self._priorities else None

    def head_attempt(self) -> int:
        """The attempt number of what would be taken next; 0 if the queue is empty."""
        if not self._priorities:
            return 0
        run = self._runs[self._priorities[-1]][0]
        return run.records[run.position].attempt

    def take(self, limit: int) -> tuple[TaskSpec, list[TaskRecord]]:
        """Remove up to ``limit`` alike tasks from the front.

        Raises:
            IndexError: The queue is empty.
        """
        priority = self._priorities[-1]
        runs = self._runs[priority]
        run = runs[0]
        taken = run.records[run.position : run.position + limit]
        run.position += len(taken)
        self._length -= len(taken)
        if not len(run):
            runs.popleft()
            self._forget_if_empty(priority)
        return run.spec, taken

    def remove(self, counters: Iterable[int]) -> list[TaskRecord]:
        """Remove these tasks, those of them that wait here."""
        wanted = set(counters)
        removed: list[TaskRecord] = []
        for priority in list(self._priorities):
            kept: deque[Run] = deque()
            for run in self._runs[priority]:
                waiting = run.records[run.position :]
                removed += [record for record in waiting if record.counter in wanted]
                rest = [record for record in waiting if record.counter not in wanted]
                if rest:
                    kept.append(Run(run.spec, rest))
            self._runs[priority] = kept
            self._forget_if_empty(priority)
        self._length -= len(removed)
        return removed

    def _forget_if_empty(self, priority: int) -> None:
        if not self._runs[priority]:
            del self._runs[priority]
            self._priorities.remove(priority)
