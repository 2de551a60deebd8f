"""The queue of one job: runs of alike tasks, by priority, taken in chunks from the front. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import TypeAlias

from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec, TaskState

MAX_RUN = 4_096
"""Runs grow no longer, because what is left moves up whenever something is taken from the front."""

RUN_SECONDS = 1.0
"""Nor longer than this while tasks of other needs or priorities wait: what joins a run has its turn, and would go
before what came earlier."""

MAX_HELD = 64
"""How many groups of tasks on hold, each with a priority and resources of its own, are looked past."""

_Needs: TypeAlias = tuple[tuple[str, float], ...]
_Key: TypeAlias = tuple[int, _Needs]

_COMPACT = 1_024  # cancelled records that may lie in a queue whatever its length


MAX_CHUNK_BYTES = 8 * 1024 * 1024
"""Arguments that travel in one chunk, unless a single task has more."""


class Run:
    """Tasks with one spec and one attempt number.

    Args:
        spec: What they have in common.
        records: In order of execution; the run owns the list. What leaves the run leaves the list at once: a task
            may have megabytes, and nobody else would free them before the whole run is over.
        order: Its turn among the runs of its priority.
        since: When they were queued.
    """

    __slots__ = ("_gone", "_marks", "began", "order", "records", "spec")

    def __init__(self, spec: TaskSpec, records: list[TaskRecord], order: int, since: float) -> None:
        self.spec = spec
        self.records = records
        self.order = order
        self.began = since
        self._gone = 0  # how many have left
        self._marks: deque[tuple[int, float]] = deque([(0, since)])  # from which of all on, since when

    def extend(self, records: Sequence[TaskRecord], now: float) -> None:
        """More of the same came."""
        if now != self._marks[-1][1]:
            self._marks.append((self._gone + len(self.records), now))
        self.records.extend(records)

    def leave(self, count: int) -> None:
        """The first records are taken, or skipped."""
        del self.records[:count]
        self._gone += count

    def since(self) -> float:
        """When the task that is next was queued."""
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= self._gone:
            marks.popleft()
        return marks[0][1]

    def __len__(self) -> int:
        return len(self.records)


class RunQueue:
    """Runs by priority and resources; its length is the number of waiting tasks.

    Runs that need resources which are not free can be put on hold, and then what is behind them comes next.

    A task that is cancelled here is only marked: its record is skipped when its turn comes, and all such are
    dropped together when they are more than those that wait.
    """

    def __init__(self) -> None:
        self._runs: dict[_Key, deque[Run]] = {}  # none of them empty
        self._heap: list[tuple[int, int, _Key]] = []  # the first run of each, and entries that are out of date
        self._held: set[_Needs] = set()
        self._aside: set[_Key] = set()  # on hold, and found so: not in the heap
        self._first = self._last = 0
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

    def needs(self) -> set[_Needs]:
        """What waiting tasks need, each combination once; and what only cancelled ones need."""
        return {resources for _, resources in self._runs}

    def push(
        self, spec: TaskSpec, records: Sequence[TaskRecord], *, front: bool = False, now: float = 0.0
    ) -> None:
        """Add a run of tasks, behind or before the others of its priority.

        Args:
            spec: What they have in common.
            records: At least one, all of the same attempt.
            front: For tasks that were taken before.
            now: The time.
        """
        key = (spec.priority, spec.resources)
        runs = self._runs.setdefault(key, deque())
        self._length += len(records)
        if front:
            self._first -= 1
            runs.appendleft(Run(spec, list(records), self._first, now))
        elif runs and not self._is_over(runs[-1], now) and _continues(runs[-1], spec, records):
            runs[-1].extend(records, now)
            return
        else:
            self._last += 1
            runs.append(Run(spec, list(records), self._last, now))
        if front or len(runs) == 1:
            self._announce(key, runs)

    def head(self) -> TaskSpec | None:
        """The spec of what would be taken next; None if the queue is empty, or all of it on hold."""
        run = self._next()
        return run.spec if run is not None else None

    def head_attempt(self) -> int:
        """The attempt number of what would be taken next; 0 if there is nothing."""
        run = self._next()
        return run.records[0].attempt if run is not None else 0

    def head_since(self) -> float:
        """Since when what would be taken next waits; 0 if there is nothing."""
        run = self._next()
        return run.since() if run is not None else 0.0

    def head_record(self) -> TaskRecord | None:
        """The task that would be taken next; None if there is nothing."""
        run = self._next()
        return run.records[0] if run is not None else None

    def hold(self, resources: _Needs) -> None:
        """Look past the tasks that need exactly these resources, until :meth:`release`."""
        self._held.add(resources)

    def release(self) -> None:
        """Nothing is on hold any more."""
        self._held.clear()
        for key in self._aside:
            if key in self._runs:
                self._announce(key, self._runs[key])
        self._aside.clear()

    def take(self, limit: int) -> tuple[TaskSpec, list[TaskRecord]]:
        """Remove up to ``limit`` alike tasks from the front; one that failed before comes alone.

        Large tasks come in smaller numbers, so that a chunk fits well into a message.

        Raises:
            IndexError: There is nothing to take.
        """
        run = self._next()
        if run is None:
            raise IndexError("nothing is queued")
        if _is_suspect(run.records[0]):
            limit = 1
        taken = _bounded(run.records[:limit])
        run.leave(len(taken))
        if self._marked:
            found = len(taken)
            taken = [record for record in taken if record.state == TaskState.QUEUED]
            self._marked -= found - len(taken)
        self._length -= len(taken)
        if not run.records:
            self._next()
        return run.spec, taken

    def discard(self, record: TaskRecord) -> None:
        """Remove one waiting task."""
        record.state = TaskState.CANCELLED
        self._length -= 1
        self._marked += 1
        self._next()
        if self._marked > max(_COMPACT, self._length):
            self._compact()

    def clear(self) -> list[TaskRecord]:
        """Remove all tasks."""
        removed = list(self)
        for record in removed:
            record.state = TaskState.CANCELLED
        self._runs.clear()
        self._heap.clear()
        self._aside.clear()
        self._length = self._marked = 0
        return removed

    def _next(self) -> Run | None:
        """The run whose turn it is; what is over, out of date or on hold before it leaves the heap."""
        heap = self._heap
        while heap:
            _, order, key = heap[0]
            runs = self._runs.get(key)
            if runs is None or runs[0].order != order:
                heappop(heap)
            elif key[1] in self._held:
                if len(self._aside) >= MAX_HELD:
                    return None
                heappop(heap)
                self._aside.add(key)
            elif self._skip_marked(runs[0]):
                return runs[0]
            else:
                heappop(heap)
                runs.popleft()
                if runs:
                    self._announce(key, runs)
                else:
                    del self._runs[key]
        return None

    def _skip_marked(self, run: Run) -> bool:
        """Whether anything waits in the run; its position moves there."""
        records = run.records
        if records and records[0].state == TaskState.QUEUED:
            return True
        marked = next(
            (place for place, record in enumerate(records) if record.state == TaskState.QUEUED), len(records)
        )
        run.leave(marked)
        self._marked -= marked
        return bool(records)

    def _is_over(self, run: Run, now: float) -> bool:
        """Whether what comes now has to queue behind others that wait, and not with this run."""
        return len(self._runs) > 1 and now - run.began > RUN_SECONDS

    def _announce(self, key: _Key, runs: deque[Run]) -> None:
        heappush(self._heap, (-key[0], runs[0].order, key))

    def _compact(self) -> None:
        self._heap.clear()
        self._aside.clear()
        for key, runs in list(self._runs.items()):
            kept = deque(
                Run(run.spec, waiting, run.order, run.since()) for run in runs if (waiting := list(_waiting(run)))
            )
            if kept:
                self._runs[key] = kept
                self._announce(key, kept)
            else:
                del self._runs[key]
        self._marked = 0


def _waiting(run: Run) -> Iterator[TaskRecord]:
    return (record for record in run.records if record.state == TaskState.QUEUED)


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
