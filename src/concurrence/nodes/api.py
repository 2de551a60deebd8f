"""What a node is: an application that an environment runs; and what a client application is told."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from enum import StrEnum
from logging import Logger
from typing import Any, Protocol

from concurrence.component import Interface
from concurrence.env.environment import Environment
from concurrence.env.lifecycle import ILifecycle
from concurrence.errors import TaskError
from concurrence.ids import SystemId
from concurrence.tasks.api import ITaskSystem, Task
from concurrence.telemetry.api import IStats
from concurrence.transport.remote import ApiService


class NodeType(StrEnum):
    """What a node is: the master, a slave that lends its cores, or a client, which is an application."""

    MASTER = "master"
    SLAVE = "slave"
    CLIENT = "client"


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
    def interrupted(self) -> None:
        """Ctrl-C or SIGTERM ends the application."""

    @abstractmethod
    def master_disconnected(self) -> None:
        """The connection to the master is lost."""

    @abstractmethod
    def master_reconnected(self) -> None:
        """The connection to the master is there again."""


class ITimer(Protocol):
    """A call in the future."""

    def cancel(self) -> None:
        """Do not call; harmless afterwards."""
        ...


class INodeHandle(Protocol):
    """What a service gets of the node that it runs in.

    What a service has called through it and that raises is logged with the service's name; the node goes on.
    """

    @property
    def kind(self) -> NodeType:
        """What the node is."""
        ...

    @property
    def name(self) -> str:
        """The name of the node that people see."""
        ...

    @property
    def env(self) -> Environment:
        """The environment that it runs in."""
        ...

    @property
    def log(self) -> Logger:
        """The service's own logger in this node."""
        ...

    @property
    def stats(self) -> IStats:
        """The node's counters and averages."""
        ...

    def post(self, callback: Callable[[], None]) -> None:
        """From any thread: call on the node's own thread soon; dropped once the services end."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ITimer:
        """On the node's own thread: call there once, after so many seconds."""
        ...

    def call_every(self, seconds: float, callback: Callable[[], None]) -> None:
        """On the node's own thread: call there again and again, until the services end."""
        ...


class INodeService(ILifecycle):
    """A component of a plug-in that runs inside nodes, from when a node is up until it ends.

    All calls come on the node's own thread, which does nothing else meanwhile: what takes long belongs into a
    thread that the service starts itself, and ends in ``stop`` or ``kill``. An exception of ``attach``, ``setup``
    or ``start`` refuses: the node does not start, and says why.
    """

    @abstractmethod
    def attach(self, node: INodeHandle) -> bool:
        """Called first, once: whether the service takes part in this node.

        Args:
            node: The node; keep it to use it later.
        """


class IApiMethods(Interface):
    """A component of a plug-in that adds methods to the API of the master."""

    @abstractmethod
    def register_api(self, service: ApiService) -> None:
        """Called once, when the master is up: offer methods with ``@jsonremote(service)``.

        They run on the master's own thread, which does nothing else meanwhile: they must be quick. If this raises,
        none of the component's methods is offered, and the log says why.

        Args:
            service: The API; keep it to use it later.
        """
