"""The handle of a task system for tests that play the swarm themselves."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import count

from concurrence.ids import SystemId, TaskId
from concurrence.tasks.api import ITaskSystem, SlaveSummary, Task, TaskCounts


class FakeMaster:
    """Remembers what a task system asked for.

    Args:
        workers: How many workers its one slave has.
    """

    def __init__(self, workers: int = 2) -> None:
        self.log = logging.getLogger(__name__)
        self.progress: list[tuple[float, float, str]] = []
        self.cancelled: list[TaskId] = []
        self.cancelled_all = 0
        self.pushed: list[Task] = []
        self.slaves = [SlaveSummary("attic", workers)]
        self.stats = TaskCounts()
        self._counter = count()

    def number(self, tasks: Iterable[Task]) -> list[Task]:
        """Give tasks their ids, as a push does."""
        numbered = list(tasks)
        for task in numbered:
            task.task_id = self.push_task(task)
        return numbered

    def push_task(self, task: Task) -> TaskId:
        return TaskId(SystemId(1), next(self._counter))

    def push_tasks(self, tasks: Iterable[Task]) -> None:
        self.pushed += tasks

    def cancel(self, task_ids: Iterable[TaskId] | None = None) -> None:
        if task_ids is None:
            self.cancelled_all += 1
        else:
            self.cancelled += task_ids

    def push_tasksystem(self, system: ITaskSystem) -> SystemId:
        raise NotImplementedError

    def cancel_system(self, system_id: SystemId) -> None:
        raise NotImplementedError

    def report_progress(self, done: float, total: float, text: str = "") -> None:
        self.progress.append((done, total, text))
