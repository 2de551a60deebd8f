"""The futures of a script's unfinished tasks: ended when their tasks are, and then those are called who wait."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from concurrence.errors import TaskCancelled, TaskError
from concurrence.ids import SystemId
from concurrence.scripting.futures import Future
from concurrence.tasks import waiting
from concurrence.tasks.api import Task
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.ownership import TaskEnd

_MAX_KEPT = 16  # texts of failures: the first of all is told, and some may still be asked for


class Settling:
    """Ends futures, and calls who waits for them.

    Args:
        lock: Guards the futures' states.
        log: Of the script's environment.

    Attributes:
        tasks: The futures of unfinished tasks, by the counter of the task.
        systems: The same for task systems.
    """

    def __init__(self, lock: threading.Lock, log: logging.Logger) -> None:
        self.tasks: dict[int, Future[Any]] = {}
        self.systems: dict[SystemId, Future[Any]] = {}
        self._lock = lock
        self.log = log
        self._calls: deque[tuple[Future[Any], Callable[[Future[Any]], object]]] = deque()
        self._unheard = 0
        self._first_unheard: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.tasks) + len(self.systems)

    def deliver(self, ends: list[TaskEnd], systems: list[tuple[SystemId, Any, TaskError | None]]) -> None:
        """End the futures of what has ended, and call who waits for them."""
        try:
            for task, result, error in ends:
                if type(task) is not FunctionTask:
                    self._finish(task, result, error)
        finally:
            self._settle(ends, systems)
        while self._calls:  # one by one: inline, Ctrl-C may come, and the others are called in the next cycle
            future, callback = self._calls.popleft()
            callback(future)

    def _settle(self, ends: list[TaskEnd], systems: list[tuple[SystemId, Any, TaskError | None]]) -> None:
        with self._lock:
            for task, result, error in ends:
                future = self.tasks.pop(task.task_id.counter, None) if task.task_id is not None else None
                if future is not None:
                    self._end(future, result, error)
                elif error is not None and not isinstance(error, TaskCancelled) and not _is_told(task):
                    # A task pushed it: nobody has a future of it.
                    self._note_unheard(id(error), f"{task!r}: {error}")
            for system_id, result, error in systems:
                future = self.systems.pop(system_id, None)
                if future is not None:
                    self._end(future, result, error)

    def _end(self, future: Future[Any], result: Any, error: TaskError | None) -> None:
        if callbacks := future.settle(result, error):
            self._calls.extend((future, callback) for callback in callbacks)
        elif error is not None and not _is_told(future.task) and future.is_unheard(self._heard):
            self._note_unheard(id(future), repr(future))

    def _note_unheard(self, key: int, text: str) -> None:
        self._unheard += 1
        if len(self._first_unheard) < _MAX_KEPT:
            self._first_unheard[key] = text[:2000]

    def _finish(self, task: Task, result: Any, error: TaskError | None) -> None:
        before = waiting.enter(waiting.CALLBACK)
        try:
            task.finished(result, error)
        except KeyboardInterrupt:  # inline, it is the script's
            raise
        except BaseException:  # one task's method must not keep the others from ending
            self.log.exception("finished() of %r raised", task)
        finally:
            waiting.leave(before)

    def _heard(self, future: Future[Any]) -> None:
        self._unheard -= 1
        self._first_unheard.pop(id(future), None)

    def warn_of_unheard(self) -> None:
        """At the end: say how many tasks failed whose futures nobody asked. Once."""
        with self._lock:
            count, self._unheard = self._unheard, 0
            first = next(iter(self._first_unheard.values()), "")
        if count:
            whose = "1 task failed and nobody asked for its result"
            if count > 1:
                whose = f"{count} tasks failed and nobody asked for their results"
            self.log.warning("%s%s", whose, f"; the first: {first}" if first else "")


def _is_told(task: Task | None) -> bool:
    """Whether the author's own method heard of the end."""
    return task is not None and type(task).finished is not Task.finished
