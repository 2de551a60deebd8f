"""The owner of a script's tasks: it collects what ends, so that nothing of the author's is called under a lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, Protocol

from concurrence.errors import ConcurrenceError, TaskError, UsageError
from concurrence.ids import SystemId
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner import Owner
from concurrence.nodes.owner_channel import IOwnerChannel
from concurrence.nodes.task_output import show_output
from concurrence.scripting.connection import SwarmConnection
from concurrence.tasks.api import SlaveSummary, Task
from concurrence.tasks.forks import forks
from concurrence.tasks.ownership import TaskEnd
from concurrence.tasks.packs import PackEnd
from concurrence.tasks.values import describe_error
from concurrence.tasks.waiting import CALLBACK
from concurrence.wire import faults
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import AskUsage, Cancel, Output, Progress, SlaveList, ToOwner, Usage

_MAX_QUESTIONS = 16  # that wait for an answer


class IFeed(Protocol):
    """Something that pushes tasks as room comes, in the thread that drives the swarm."""

    def feed(self) -> bool:
        """Push some; False when it will never push any more."""
        ...

    def stop(self, lost: ConcurrenceError | None) -> None:
        """From any thread: push no more, and tell whoever waits for what would have been pushed.

        Args:
            lost: Why the swarm is lost; None if it was left, or everything is cancelled.
        """
        ...

    @property
    def is_eager(self) -> bool:
        """Whether it could push more at once."""
        ...


class ScriptOwner(Owner):
    """An owner whose handlers only note what happens.

    Args:
        channel: Its compute channel.
        connection: How the swarm is reached.

    Attributes:
        ended: Tasks that ended, and have not been told of.
        ended_systems: The same for task systems.
        slaves: Those that are connected, as far as the master said.
        knows_slaves: Whether it has said so.
        stop_feeds: Ends what pushes tasks as room comes.
        progress: How the task systems are that were pushed here, and those that they pushed.
    """

    def __init__(self, channel: IOwnerChannel, connection: SwarmConnection) -> None:
        super().__init__(channel, connection.tasks, self, patience=connection.push_timeout, place=CALLBACK)
        self.ended: list[TaskEnd] = []
        self.ended_systems: list[tuple[SystemId, Any, TaskError | None]] = []
        self.slaves: list[SlaveSummary] = connection.slaves()
        self.knows_slaves = False
        self.stop_feeds: Callable[[], None] = _nothing
        self.progress: dict[int, Progress] = {}
        self._answers: dict[int, SimpleQueue[Usage]] = {}
        self._questions = 0
        self._connection = connection
        self._is_display_broken = False

    def end_tasks(self, ends: Iterable[TaskEnd]) -> None:
        """Note them; of a pack with failures also who ran it."""
        for task, result, error in ends:
            if type(result) is PackEnd and result.faults:
                slave, attempt = self.source
                result = result._replace(slave=slave, attempt=attempt)  # noqa: PLW2901  the same, but for these
            self.ended.append((task, result, error))

    def abandon(self, systems: list[SystemId], text: str, lost: ConcurrenceError | None) -> None:
        """End all that is unfinished.

        Args:
            systems: The task systems.
            text: Why, if the swarm is left.
            lost: Why the swarm is lost; None if it is left.
        """
        kind = faults.KIND_CANCELLED if lost is None else faults.KIND_LOST
        fault = faults.Fault(kind, text if lost is None else lost.message, "" if lost is None else lost.hint)
        error = faults.task_error(fault, slave="", attempt=0, cause=lost)
        self.end_tasks((task, None, error) for task, _, _ in self.tasks.fail_pending(fault))
        self.ended_systems += [(system, None, error) for system in systems]

    # --- IOwnerHandlers ---

    def task_ended(self, task: Task, result: Any, error: TaskError | None) -> None:
        """Note the end."""
        self.ended.append((task, result, error))

    def system_ended(self, system_id: SystemId, result: Any, error: TaskError | None) -> None:
        """Note the end."""
        self.ended_systems.append((system_id, result, error))

    def accepted(self, pushed: object) -> None:
        """Nobody here asks."""

    def rejected(self, tasks: list[Task], error: TaskError) -> None:
        """Each of them ends as a failed task."""

    def message(self, parcel: Parcel[ToOwner]) -> None:
        """Show what tasks print; note who is there."""
        message = parcel.message
        if isinstance(message, Output):
            self._show(message)
        elif isinstance(message, SlaveList):
            listed = [SlaveSummary(slave.name, slave.workers) for slave in message.slaves]
            self.slaves = listed or self._connection.slaves()  # the slave of a private swarm is on its way
            self.knows_slaves = True
        elif isinstance(message, Cancel):
            self._connection.log.warning(
                "an administrator cancelled all tasks; what waits to be pushed is dropped"
            )
            self.stop_feeds()
            self.cancel(self.tasks.system, None)
        elif isinstance(message, Progress):
            self.progress[message.system] = message
        elif isinstance(message, Usage) and (answer := self._answers.pop(message.request, None)) is not None:
            answer.put(message)

    def ask_usage(self) -> SimpleQueue[Usage]:
        """Ask the master what the tasks pushed here took of it; the answer will be in the queue."""
        self._questions += 1
        answer = self._answers[self._questions] = SimpleQueue[Usage]()
        while len(self._answers) > _MAX_QUESTIONS:  # the answers to the first ones got lost
            del self._answers[next(iter(self._answers))]
        self.channel.send(Parcel(AskUsage(self._questions)))
        return answer

    def _show(self, message: Output) -> None:
        try:
            show_output(message, self.tasks, self._connection.display)
        except Exception as error:  # noqa: BLE001  a closed stream, mostly: that must not cost the swarm
            if not self._is_display_broken:
                self._connection.log.warning("the output of tasks cannot be shown: %s", describe_error(error))
            self._is_display_broken = True

    def link(self, event: LinkEvent) -> None:
        """Log losses; a private swarm that is lost does not come back."""
        self._connection.link(event)

    def idle(self) -> None:
        """Whoever waits for it is told at the end of the cycle."""


def _nothing() -> None:
    """There are no feeds yet."""


class ThisProcess:
    """Remembers the process that it was made in: a swarm works in no fork of it."""

    def __init__(self) -> None:
        self._generation = forks.generation

    @property
    def is_other(self) -> bool:
        """Whether this process is a fork of that one."""
        return self._generation != forks.generation

    def check(self) -> None:
        """Refuse to work in a fork.

        Raises:
            UsageError: This process was forked from the one that made the swarm.
        """
        if self._generation != forks.generation:
            raise UsageError(
                "this process was forked from the one that connected to the swarm, and cannot use it",
                hint="Connect after the fork, or push tasks instead of forking.",
            )
