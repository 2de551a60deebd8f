"""Iterables of tasks that an owner drains as room comes. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sized

from concurrence.tasks.api import Task


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


class Sources:
    """What is to be drained, in order.

    What handlers push goes first. Otherwise the tasks that follow from the results of a long generator would wait,
    and pile up, until it is drained.
    """

    def __init__(self) -> None:
        self._of_handlers: deque[Source] = deque()
        self._others: deque[Source] = deque()

    def __len__(self) -> int:
        return len(self._of_handlers) + len(self._others)

    def add(self, tasks: Iterable[Task], *, in_handler: bool) -> None:
        """Add an iterable behind the others of its kind."""
        (self._of_handlers if in_handler else self._others).append(Source(tasks))

    def first(self) -> Source | None:
        """What to drain next; None if there is nothing."""
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
        self._of_handlers.clear()
        self._others.clear()

    @property
    def left(self) -> int | None:
        """How many tasks are to come; None if one of the iterables does not tell."""
        total = 0
        for source in (*self._of_handlers, *self._others):
            if source.left is None:
                return None
            total += source.left
        return total
