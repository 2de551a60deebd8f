"""Task systems of a simulation: what each pushes, and the production object that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from concurrence.errors import TaskError
from concurrence.ids import SystemId
from concurrence.tasks.api import ITaskMaster, ITaskSystem, Task
from concurrence.testing.simulation.client_owner import KINDS
from concurrence.testing.simulation.workload import SystemPlan


class SimulatedSystem(ITaskSystem):
    """The system as it travels: it knows its number only, until its host tells it what to do.

    Args:
        number: Its number.
        name: What people see.
        weight: How much it may have.
    """

    def __init__(self, number: int, name: str, weight: float) -> None:
        self.number = number
        self.name = name
        self.weight = weight

    def attend(
        self,
        plan: SystemPlan,
        push: Callable[[SystemPlan], None],
        told: Callable[[int, Any, TaskError | None], None],
        system_told: Callable[[SystemId, Any, TaskError | None], None],
    ) -> None:
        """It is at its host.

        Args:
            plan: What it does.
            push: Pushes a further system.
            told: Hears of the end of a task: its number, its result, its error.
            system_told: Hears of the end of a system.
        """
        self._plan = plan
        self._push = push
        self._told = told
        self._system_told = system_told
        self._begun = 0
        self._children = list(plan.children)

    def init_system(self, master: ITaskMaster) -> None:
        """Push a system."""
        self._push_child()

    def generate_tasks(self, master: ITaskMaster) -> Iterable[Task]:
        """The first tasks."""
        return self._tasks(self._plan.first)

    def task_finished(
        self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None
    ) -> Iterable[Task] | None:
        """Push one task more, and now and then a system."""
        number: Any = getattr(task, "number", None)
        self._told(number, result, error)
        if number % 3 == 0:
            self._push_child()
        return self._tasks(1) if self._begun < self._plan.work.count else None

    def system_finished(
        self, master: ITaskMaster, system_id: SystemId, result: Any, error: TaskError | None
    ) -> Iterable[Task] | None:
        """It is told of the ends of those that it pushed."""
        self._system_told(system_id, result, error)
        return None

    def gather_result(self, master: ITaskMaster) -> Any:
        """Its number, and how many tasks have not ended: none."""
        return self.number, self._plan.work.left

    def _push_child(self) -> None:
        if self._children:
            self._push(self._children.pop(0))

    def _tasks(self, count: int) -> Iterator[Task]:
        """The next ones: made when they are drained, so that their numbers are those that they are given."""
        for _ in range(count):
            if self._begun == self._plan.work.count:
                return
            group = self._plan.work.group_of(self._begun)
            task = KINDS[group.kind](self._begun)
            task.priority, task.max_retries = group.priority, group.max_retries
            task.timeout, task.resources = group.timeout, group.resources
            self._begun += 1
            yield task
