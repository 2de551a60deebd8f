"""What a node is: an application that an environment runs; and what a client application is told."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from concurrence.component import Interface
from concurrence.errors import TaskError
from concurrence.ids import SystemId
from concurrence.tasks.api import ITaskSystem, Task


class IApp(Interface):
    """An application: what ``[project] app`` or the command line names, and an environment runs.

    Master, slave and every client are applications too.
    """

    @abstractmethod
    def app_init(self) -> None:
        """Prepare; called once, before :meth:`app_main`, in the main thread."""

    @abstractmethod
    def app_main(self) -> int | None:
        """Run until done; returns the process's exit code, None for 0."""


class IApplicationHandlers(Interface):
    """What a client application is asked and told, one call at a time, in its main thread."""

    @abstractmethod
    def get_task_system(self) -> ITaskSystem | None:
        """The task system to push, if any."""

    @abstractmethod
    def start_processing(self) -> None:
        """Push tasks; called once, unless there is a task system."""

    @abstractmethod
    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """A plain task ended."""

    @abstractmethod
    def work_finished(self, result: Any, system_id: SystemId) -> None:
        """A task system ended, or nothing of the plain tasks is unfinished."""

    @abstractmethod
    def push_task_response(self, task: Task) -> None:
        """A pushed task is accepted and kept."""

    @abstractmethod
    def push_task_failed(self, task: Task, error: TaskError) -> None:
        """A pushed task was not accepted."""

    @abstractmethod
    def push_tasks_response(self, tasks: Iterable[Task]) -> None:
        """Everything that one call of ``push_tasks`` pushed is accepted and kept."""

    @abstractmethod
    def push_tasks_failed(self, tasks: list[Task], error: TaskError) -> None:
        """Some of the tasks of one ``push_tasks`` were not accepted."""

    @abstractmethod
    def push_tasksystem_response(self, system_id: SystemId) -> None:
        """A pushed task system is accepted and kept."""

    @abstractmethod
    def push_tasksystem_failed(self, system_id: SystemId, error: TaskError) -> None:
        """A task system was not accepted, or failed."""

    @abstractmethod
    def progress(self, system_id: SystemId, done: float, total: float, text: str) -> None:
        """News of how far a system is."""

    @abstractmethod
    def master_disconnected(self) -> None:
        """The connection to the master is lost."""

    @abstractmethod
    def master_reconnected(self) -> None:
        """The connection to the master is there again."""
