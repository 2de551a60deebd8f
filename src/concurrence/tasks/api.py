"""What an author of tasks and task systems writes against."""

from __future__ import annotations

import difflib
import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from logging import Logger
from typing import Any, Protocol

from concurrence.errors import TaskError
from concurrence.ids import SystemId, TaskId
from concurrence.tasks.nursery import nursery


class Task:
    """A piece of work: a picklable callable object. Subclass it and override ``__call__``.

    Whatever attributes an instance has travel to the worker. The fields below may be set on the class, on the
    instance, or not at all.

    Args:
        name: What people see; the class's name by default.
        system_id: The task system it belongs to; filled in when it is pushed.
        client_id: The client it belongs to; filled in when it is pushed.
    """

    name: str = ""
    priority: int = 0
    """Higher goes first among the tasks of one client."""
    max_retries: int = 0
    """How often the task is tried again after its code raised."""
    timeout: float | timedelta | None = None
    """Seconds that one attempt may take, more than 0, or a ``timedelta``; None for no limit."""
    resources: Mapping[str, float] = {}
    """What it needs of a slave beyond one worker, as in ``{"gpu": 1}``."""

    task_id: TaskId | None = None
    """Its identity; set when it is pushed, and on the worker."""
    depth: int = 0
    """How many tasks, each pushed by the one before, led to this one; 0 for what its owner pushed."""
    system_id: SystemId | None = None
    client_id: str | None = None

    def __init__(self, name: str = "", system_id: SystemId | None = None, client_id: str | None = None) -> None:
        if name:
            self.name = name
        if system_id is not None:
            self.system_id = system_id
        if client_id is not None:
            self.client_id = client_id

    def __call__(self) -> Any:
        """Do the work, on a worker; what it returns is the task's result.

        Raises:
            NotImplementedError: The subclass did not override it.
        """
        raise NotImplementedError(f"{type(self).__name__} must override __call__")

    def clean_up(self) -> None:
        """Runs on the worker after ``__call__``, before the result travels back."""

    def finished(self, result: Any, error: TaskError | None) -> None:
        """Runs where the task is owned, just before ``task_finished`` there.

        Args:
            result: What ``__call__`` returned; None if there is an error.
            error: Why it failed; None if it did not.
        """

    def push_task(self, task: Task) -> None:
        """Within :meth:`__call__`, push a task of the same owner: an application, task system or script.

        It travels with this task's result, as it is now. Its owner pushes it before it is told of this one's end;
        if this attempt fails, or is cancelled or lost, nothing is pushed. Its own end is told like any other.

        Args:
            task: The child; it may be a task of this very class.

        Raises:
            UsageError: This is not the running task, or it pushed too many already.
            PackingError: The child cannot be pickled.
        """
        nursery.push("push_task()", (task,), self)

    def push_tasks(self, tasks: Iterable[Task]) -> None:
        """Push several tasks, as :meth:`push_task` does; an iterator is drained here and now.

        Raises:
            UsageError: This is not the running task, or there are more than 10,000, or more than 16 MiB of them.
            PackingError: One cannot be pickled.
        """
        nursery.push("push_tasks()", tasks, self)

    @property
    def label(self) -> str:
        """What people see: the name, or what stands in for it."""
        return self.name or type(self).__name__

    def __repr__(self) -> str:
        number = f" {self.task_id}" if self.task_id is not None else ""
        return f"<{self.label}{number}>"


class ITaskMaster(Protocol):
    """The narrow handle that a task system has on the swarm."""

    log: Logger

    def push_task(self, task: Task) -> TaskId:
        """Push one task of this system.

        Raises:
            Backpressure: The system pushes faster than the swarm takes; return an iterable instead.
            PackingError: The task cannot be pickled.
        """
        ...

    def push_tasks(self, tasks: Iterable[Task]) -> None:
        """Push tasks of this system; an iterator is drained as the swarm takes them."""
        ...

    def push_tasksystem(self, system: ITaskSystem) -> SystemId:
        """Push a further task system: it gets a process of its own, and ``system_finished`` tells its end.

        It works for the same client, is charged to it, and is cancelled when this system ends before it.

        Raises:
            Backpressure: Too many of those that this system pushed are unfinished.
            PackingError: It cannot be pickled.
        """
        ...

    def cancel(self, task_ids: Iterable[TaskId] | None = None) -> None:
        """Cancel these tasks, or all that are unfinished."""
        ...

    def cancel_system(self, system_id: SystemId) -> None:
        """Cancel a task system that this one pushed; ``system_finished`` tells its end."""
        ...

    def report_progress(self, done: float, total: float, text: str = "") -> None:
        """Tell the client how far the system is, in units of its own.

        Args:
            done: What is done; less than 0 counts as 0.
            total: What there is in all; 0 while nobody knows.
            text: A few words beside the bar; what is longer than 1,000 characters is cut off.

        Raises:
            UsageError: A number is infinite or none.
        """
        ...

    @property
    def slaves(self) -> list[SlaveSummary]:
        """The slaves that are connected, as told when the system started or one came or went."""
        ...

    @property
    def stats(self) -> TaskCounts:
        """How many of this system's tasks are in which state."""
        ...


@dataclass(frozen=True, slots=True)
class SlaveSummary:
    """A slave, as a task system sees it."""

    name: str
    workers: int


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """How many of a system's tasks are in which state.

    Attributes:
        pushed: Those that were pushed at all.
        finished: Those that returned a result.
        failed: Those that failed for good.
        cancelled: Those that were cancelled.
        undrained: Iterables that were pushed and have not been drained to their end.
        systems: Task systems that were pushed and have not ended.
    """

    pushed: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    undrained: int = 0
    systems: int = 0

    @property
    def unfinished(self) -> int:
        """What has not ended yet, task systems included; at least 1 while an iterable is not drained."""
        return self.pushed - self.finished - self.failed - self.cancelled + self.undrained + self.systems


class ITaskSystem(ABC):
    """An autonomous piece of an application: makes tasks, is told of every result, decides what comes next.

    It is pickled at the client and lives in a process of its own on the master's machine until it is complete.
    All methods run there, one at a time.
    """

    name: str = ""
    weight: float = 1.0
    """How much more of the swarm than other systems of the same client it may have: 2 for twice as much."""
    timeout: float | timedelta | None = None
    """Seconds from when it was accepted, or a ``timedelta``, after which it is ended with all that it pushed; its
    error has the kind ``timeout``. None for no limit."""
    max_depth: int = 1_000
    """How many of its tasks may push one another in a row; beyond it the task that pushes fails."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Warn of methods that look like misspelled ones of this class: nobody would call them."""
        super().__init_subclass__(**kwargs)
        warn_of_misspelled(cls, ITaskSystem)

    def init_system(self, master: ITaskMaster) -> None:  # noqa: B027  needs no override
        """Called once, first."""

    @abstractmethod
    def generate_tasks(self, master: ITaskMaster) -> Iterable[Task]:
        """The tasks to begin with. A generator is drained only as fast as the swarm takes tasks."""

    @abstractmethod
    def task_finished(
        self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None
    ) -> Iterable[Task] | None:
        """A task ended.

        Args:
            master: The handle on the swarm.
            task: The system's own object.
            result: What it returned; None if there is an error.
            error: Why it failed; None if it did not.

        Returns:
            Further tasks to push, if any.
        """

    def system_finished(
        self, master: ITaskMaster, system_id: SystemId, result: Any, error: TaskError | None
    ) -> Iterable[Task] | None:
        """A task system that this one pushed ended; the default logs a failure.

        Args:
            master: The handle on the swarm.
            system_id: What ``push_tasksystem`` returned.
            result: Its one result; None if there is an error.
            error: Why it has none; None if it has.

        Returns:
            Further tasks to push, if any.
        """
        if error is not None:
            master.log.error("the task system %x failed: %s", system_id, error)
        return None

    def is_complete(self, master: ITaskMaster) -> bool:
        """Whether to end; asked again and again. The default: nothing is unfinished, and nothing left to drain."""
        return master.stats.unfinished == 0

    @abstractmethod
    def gather_result(self, master: ITaskMaster) -> Any:
        """The system's one result, for the client's ``work_finished``."""


_NEARLY = 0.86
"""How alike two names must be for the one to look like the other misspelled; 1 is equal."""


def warn_of_misspelled(cls: type, base: type) -> None:
    """Warn of a class's public methods that nobody calls, but that are named nearly as methods of its base.

    Args:
        cls: The class, while it is being defined by its ``class`` statement.
        base: The class whose methods are called by the system.
    """
    wanted = [name for name, value in vars(base).items() if inspect.isfunction(value) and name[0] != "_"]
    for name, value in vars(cls).items():
        is_new = not any(hasattr(parent, name) for parent in cls.__bases__)
        if name.startswith("_") or not inspect.isfunction(value) or not is_new:
            continue
        if value.__code__.co_filename.startswith("<bundle "):  # on a worker or host: its author was warned at home
            continue
        for near in difflib.get_close_matches(name, wanted, n=1, cutoff=_NEARLY):
            if near not in vars(cls):  # else the author knows both
                # Past this function, __init_subclass__ and the metaclass: the line that says class.
                warnings.warn(
                    f"{cls.__name__}.{name} is never called by Concurrent: did you mean {near}?", stacklevel=4
                )
