"""Threads that wait for a moment of the swarm: that there is room, or that nothing is unfinished."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from queue import SimpleQueue


class Waiters:
    """A queue for each thread that waits; from any thread."""

    def __init__(self) -> None:
        self._queues: dict[int, SimpleQueue[None]] = {}

    @contextmanager
    def one(self) -> Generator[SimpleQueue[None]]:
        """A queue that gets something at the next :meth:`release`. Look whether the moment is there already."""
        queue: SimpleQueue[None] = SimpleQueue()
        self._queues[id(queue)] = queue
        try:
            yield queue
        finally:
            self._queues.pop(id(queue), None)

    def release(self) -> None:
        """The moment is there."""
        while self._queues:
            try:
                queue = self._queues.popitem()[1]  # one by one: none that comes meanwhile is lost
            except KeyError:  # the last one has just given up
                return
            queue.put(None)
