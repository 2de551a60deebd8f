"""What ``swarm.push_tasks`` returns: the futures of an iterable's tasks, as they end."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol, Self

from concurrence.errors import Backpressure, ConcurrenceError, PackingError, TaskError, UsageError
from concurrence.nodes.progress import Standing
from concurrence.scripting.futures import Future
from concurrence.scripting.loop import SwarmLoop
from concurrence.tasks import waiting
from concurrence.tasks.api import Task
from concurrence.tasks.values import describe_error

_BURST = 64
MAX_UNREAD = 10_000
"""An iterable is not drained further while so many ends were not taken, and somebody may still take them."""


class _IConsumer(Protocol):
    """Whoever may still take ends."""

    is_left: bool


class TaskFeed:
    """Drains an iterable of tasks, in the thread that drives the swarm.

    Args:
        loop: The swarm's.
        tasks: The iterable.
    """

    def __init__(self, loop: SwarmLoop, tasks: Iterable[Task]) -> None:
        self.ended: SimpleQueue[Future[Any] | None] = SimpleQueue()
        self.consumer: weakref.ref[_IConsumer] | None = None
        self.error: BaseException | None = None
        self._loop = loop
        self._iterator: Iterator[Task] = iter(tasks)
        self._pushed = 0
        self._unended = 0
        self._failed = 0
        self._is_drained = False

    @property
    def is_eager(self) -> bool:
        """Whether it has more, and somebody wants it."""
        return not (self._is_drained or self._is_unread())

    def feed(self) -> bool:
        """Push as many as there is room for; False once the iterable is drained."""
        while self.is_eager and (room := self._loop.room) > 0:
            tasks: list[Task] = []
            try:
                tasks.extend(islice(self._iterator, min(room, _BURST)))  # what came before an exception stays
                self._is_drained = len(tasks) < min(room, _BURST)
            except KeyboardInterrupt:  # inline, it is the script's
                raise
            except BaseException as error:  # noqa: BLE001  the author's iterable; it is raised after the last end
                self._is_drained = True
                self.error = error
                if self._consumer() is None:
                    self._loop.log.error("an iterable of tasks raised %s", describe_error(error))
            for task in tasks:
                self._push(task)
            if self._is_drained and not self._unended:
                self.ended.put(None)
        return not self._is_drained

    def standing(self) -> Standing:
        """How far it is."""
        total = self._pushed if self._is_drained else None
        return Standing(self._pushed - self._unended, self._failed, total)

    def stop(self, lost: ConcurrenceError | None) -> None:
        """Drain no more."""
        if not self._is_drained:
            self._is_drained = True
            self.error = lost
            if not self._unended:
                self.ended.put(None)

    def _push(self, task: Task) -> None:
        if isinstance(task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]  authors need no checker
            future: Future[Any] = Future(self._loop, task)
        else:
            future = Future(self._loop, None, repr(task)[:80])
        self._pushed += 1
        self._unended += 1
        future.tell(self._ended)
        try:
            if future.task is None:
                raise UsageError(  # noqa: TRY301  it is this task's end
                    f"{type(task).__name__!r} was pushed, and only tasks can be: {task!r:.200}",
                    hint="Of a @task function push f.task(...), of another submit(f, ...).",
                )
            self._loop.push(future)
        except (PackingError, UsageError, Backpressure) as error:
            future.settle(None, _error_of(error))
            self._ended(future)

    def _ended(self, future: Future[Any]) -> None:
        self._failed += future.has_failed
        self._unended -= 1
        if self._consumer() is not None:
            self.ended.put(future)
        elif future.error is not None and not future.cancelled():
            self._loop.log.error("%r failed: %s", future.task or future, future.error)
        if self._is_drained and not self._unended:
            self.ended.put(None)

    def _consumer(self) -> _IConsumer | None:
        return self.consumer() if self.consumer is not None else None

    def _is_unread(self) -> bool:
        consumer = self._consumer()
        return consumer is not None and not consumer.is_left and self.ended.qsize() >= MAX_UNREAD


class PushedTasks(Iterator[Future[Any]]):
    """The futures of pushed tasks, in the order in which they end. Need not be iterated: tasks run all the same.

    Args:
        loop: The swarm's.
        feed: What pushes them.

    Attributes:
        is_left: Whether somebody waits for the swarm instead: then the iterable is drained all the same.
    """

    def __init__(self, loop: SwarmLoop, feed: TaskFeed) -> None:
        self.is_left = False
        self._loop = loop
        self._feed = feed
        self._is_over = False

    def __repr__(self) -> str:
        return f"<PushedTasks: {self._feed.standing().how_many} ended>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from concurrence.scripting.html_views import standing_html  # noqa: PLC0415  scripts do not pay for HTML

        return standing_html("PushedTasks", self._feed.standing(), "ended")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Future[Any]:
        """The next that ended.

        Raises:
            Exception: What the iterable raised, after the last of its tasks.
            WouldBlock: This is a place where nobody may wait.
        """
        queue = self._feed.ended
        waiting.check("iterating push_tasks()", is_done=self._is_over or not queue.empty())
        if self._is_over:
            raise StopIteration
        if queue.qsize() == MAX_UNREAD // 2:
            self._loop.wake()
        future = self._loop.take(queue, None)
        if future is not None:
            return future
        self._is_over = True
        error, self._feed.error = self._feed.error, None
        if error is not None:
            raise error
        raise StopIteration


def _error_of(error: ConcurrenceError) -> TaskError:
    return TaskError(error.message, kind="code", cause=error, hint=error.hint)
