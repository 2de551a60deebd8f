"""Iterables of tasks that an owner drains as room comes. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice

from concurrence.errors import PackingError, UsageError
from concurrence.tasks.api import Task

MAX_CHILDREN = 1_000_000
"""Tasks that tasks pushed, and that wait at their owner for room."""

MAX_CHILDREN_BYTES = 1024 * 1024 * 1024


class Source:
    """An iterable of tasks, and how far it is drained.

    Args:
        tasks: The iterable.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.iterable = tasks
        self.iterator: Iterator[Task] = iter(tasks)
        self.taken = 0

    @property
    def left(self) -> int | None:
        """How many tasks are to come; None if the iterable does not tell."""
        return max(0, len(self.iterable) - self.taken) if isinstance(self.iterable, Sized) else None


class Children(Source):
    """What one task pushed.

    Args:
        tasks: The tasks.
        size: Their bytes.
    """

    def __init__(self, tasks: list[Task], size: int) -> None:
        super().__init__(tasks)
        self.count = len(tasks)
        self.size = size


class Sources:
    """What is to be drained, in order.

    What tasks pushed goes first, the last of it before the others: a tree that is walked in depth waits in fewer
    tasks than one that is walked in breadth. Then comes what handlers push. Otherwise the tasks that follow from
    the results of a long generator would wait, and pile up, until it is drained.

    Attributes:
        children: How many tasks that tasks pushed wait.
    """

    def __init__(self) -> None:
        self.children = 0
        self._children_bytes = 0
        self._of_tasks: list[Children] = []
        self._of_handlers: deque[Source] = deque()
        self._others: deque[Source] = deque()

    def __len__(self) -> int:
        return len(self._of_tasks) + len(self._of_handlers) + len(self._others)

    def add(self, tasks: Iterable[Task], *, in_handler: bool) -> None:
        """Add an iterable behind the others of its kind.

        Raises:
            UsageError: It is none.
        """
        if not isinstance(tasks, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  authors need no checker
            raise UsageError(
                f"push_tasks was given {tasks!r:.200}, which is no iterable of tasks",
                hint="Push one task with push_task(task), or as push_tasks([task]).",
            )
        (self._of_handlers if in_handler else self._others).append(Source(tasks))

    def add_children(self, tasks: list[Task], size: int) -> None:
        """Add what a task pushed.

        Args:
            tasks: The tasks.
            size: Their bytes.

        Raises:
            UsageError: Too much of that kind waits.
        """
        if self.children + len(tasks) > MAX_CHILDREN or self._children_bytes + size > MAX_CHILDREN_BYTES:
            raise UsageError(
                f"{self.children:,} tasks that tasks pushed wait already, and one task pushed {len(tasks):,} more",
                hint="Each task pushes more than the swarm can finish. Push fewer at a time, or let "
                "task_finished() push a generator: it is drained as room comes.",
            )
        self.children += len(tasks)
        self._children_bytes += size
        self._of_tasks.append(Children(tasks, size))

    def drain_children(
        self, room: int, push: Callable[[Task], object]
    ) -> list[tuple[Task, PackingError | UsageError]]:
        """Push what a task pushed, the newest first.

        Args:
            room: How many at most.
            push: Pushes one.

        Returns:
            Those that cannot be pushed, and why.
        """
        source = self._of_tasks[-1]
        failed: list[tuple[Task, PackingError | UsageError]] = []
        for child in islice(source.iterator, room):
            source.taken += 1
            self.children -= 1
            try:
                push(child)
            except (PackingError, UsageError) as error:
                failed.append((child, error))
        if source.taken == source.count:
            self._of_tasks.pop()
            self._children_bytes -= source.size
        return failed

    def first(self) -> Source | None:
        """What to drain next; None if there is nothing."""
        if self._of_tasks:
            return self._of_tasks[-1]
        if self._of_handlers:
            return self._of_handlers[0]
        return self._others[0] if self._others else None

    def remove(self, source: Source) -> None:
        """It is drained; harmless if it was forgotten before."""
        for sources in (self._of_handlers, self._others):
            if source in sources:
                sources.remove(source)

    def clear(self) -> None:
        """Forget all."""
        self._of_tasks.clear()
        self.children = self._children_bytes = 0
        self._of_handlers.clear()
        self._others.clear()

    @property
    def left(self) -> int | None:
        """How many tasks are to come; None if one of the iterables does not tell."""
        total = 0
        for source in (*self._of_tasks, *self._of_handlers, *self._others):
            if source.left is None:
                return None
            total += source.left
        return total
