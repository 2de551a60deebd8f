"""The queue of one job: runs of alike tasks, by priority, taken in chunks from the front. Pure."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator, Sequence

from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec, TaskState

MAX_RUN = 4_096
"""Runs grow no longer, because what was taken from the front of a run is freed with all of it."""

_COMPACT = 1_024  # cancelled records that may lie in a queue whatever its length


MAX_CHUNK_BYTES = 8 * 1024 * 1024
"""Arguments that travel in one chunk, unless a single task has more."""


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
    """Runs by priority; its length is the number of waiting tasks.

    A task that is cancelled here is only marked: its record is skipped when its turn comes, and all such are
    dropped together when they are more than those that wait. The very next task is never a marked one.
    """

    def __init__(self) -> None:
        self._runs: dict[int, deque[Run]] = {}
        self._priorities: list[int] = []  # ascending: the next to take from is the last
        self._length = 0
        self._marked = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[TaskRecord]:
        for run in self.runs():
            yield from _waiting(run)

    def runs(self) -> Iterator[Run]:
        """All runs."""
        for runs in self._runs.values():
            yield from runs

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
        self._length += len(records)
        if front:
            runs.appendleft(Run(spec, list(records)))
        elif runs and _continues(runs[-1], spec, records):
            runs[-1].records.extend(records)
        else:
            runs.append(Run(spec, list(records)))

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
        """Remove up to ``limit`` alike tasks from the front; one that failed before comes alone.

        Large tasks come in smaller numbers, so that a chunk fits well into a message.

        Raises:
            IndexError: The queue is empty.
        """
        run = self._runs[self._priorities[-1]][0]
        if _is_suspect(run.records[run.position]):
            limit = 1
        taken = _bounded(run.records[run.position : run.position + limit])
        run.position += len(taken)
        if self._marked:
            found = len(taken)
            taken = [record for record in taken if record.state == TaskState.QUEUED]
            self._marked -= found - len(taken)
        self._length -= len(taken)
        if self._marked or not len(run):
            self._advance()
        return run.spec, taken

    def discard(self, record: TaskRecord) -> None:
        """Remove one waiting task."""
        record.state = TaskState.CANCELLED
        self._length -= 1
        self._marked += 1
        self._advance()
        if self._marked > max(_COMPACT, self._length):
            self._compact()

    def clear(self) -> list[TaskRecord]:
        """Remove all tasks."""
        removed = list(self)
        for record in removed:
            record.state = TaskState.CANCELLED
        self._runs.clear()
        self._priorities.clear()
        self._length = self._marked = 0
        return removed

    def _advance(self) -> None:
        """Drop what is over at the front."""
        while self._priorities:
            runs = self._runs[self._priorities[-1]]
            while runs:
                run = runs[0]
                while len(run) and run.records[run.position].state != TaskState.QUEUED:
                    run.position += 1
                    self._marked -= 1
                if len(run):
                    return
                runs.popleft()
            del self._runs[self._priorities.pop()]

    def _compact(self) -> None:
        for priority in list(self._priorities):
            kept = deque(
                Run(run.spec, waiting) for run in self._runs[priority] if (waiting := list(_waiting(run)))
            )
            if kept:
                self._runs[priority] = kept
            else:
                del self._runs[priority]
                self._priorities.remove(priority)
        self._marked = 0


def _waiting(run: Run) -> Iterator[TaskRecord]:
    return (record for record in run.records[run.position :] if record.state == TaskState.QUEUED)


def _is_suspect(record: TaskRecord) -> bool:
    return record.retries > 0 or record.deaths > 0


def _continues(run: Run, spec: TaskSpec, records: Sequence[TaskRecord]) -> bool:
    last, first = run.records[-1], records[0]
    return (
        run.spec == spec
        and last.attempt == first.attempt
        and len(run.records) + len(records) <= MAX_RUN
        and not _is_suspect(last)
        and not _is_suspect(first)
    )


def _bounded(records: list[TaskRecord]) -> list[TaskRecord]:
    """The first of the records, as many as fit into one chunk; at least one."""
    room = MAX_CHUNK_BYTES
    for position, record in enumerate(records):
        room -= record.size if record.buffers else len(record.arguments)
        if room < 0:
            return records[: max(1, position)]
    return records
