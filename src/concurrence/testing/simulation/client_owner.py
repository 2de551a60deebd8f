"""What the production owner of a simulated client's tasks works with: its tasks, its channel, its handlers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from concurrence.errors import ConcurrenceError, TaskError
from concurrence.ids import SystemId
from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.nodes.owner_channel import Notification
from concurrence.nodes.owner_traffic import OwnerTraffic
from concurrence.tasks.api import Task
from concurrence.tasks.bundles import CodeNeeds
from concurrence.tasks.ownership import Push
from concurrence.testing.simulation.api import Violation
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Message, ToOwner, Welcome


class SimulatedTask(Task):
    """A task that is nothing but its number, and ballast if it is large.

    Args:
        number: Its number among those of its client.
    """

    ballast = b""

    def __init__(self, number: int) -> None:
        self.number = number


class TaskOfKind1(SimulatedTask):
    """Of another function."""


class TaskOfKind2(SimulatedTask):
    """Of another function."""


class TaskOfKind3(SimulatedTask):
    """Of another function."""


KINDS = (SimulatedTask, TaskOfKind1, TaskOfKind2, TaskOfKind3)


class NoCode:
    """Collects no code: what runs is simulated."""

    def needs(self, modules: Iterable[str]) -> CodeNeeds:
        """Nothing."""
        return CodeNeeds((), ())


class OwnersChannel:
    """The channel: see :class:`concurrence.nodes.owner_channel.IOwnerChannel`.

    Args:
        link: The state of the client's link.

    Attributes:
        traffic: What is to be told.
        notifications: What is to be handled.
    """

    def __init__(self, link: MasterLink) -> None:
        self.traffic = OwnerTraffic()
        self.notifications: deque[Notification] = deque()
        self._link = link

    @property
    def accepted_push(self) -> int:
        """The number of the newest push that the master accepted."""
        return self.traffic.accepted_push

    @property
    def arrived(self) -> float:
        """Nobody asks when ends came: the simulation measures in virtual time."""
        return 0.0

    @property
    def error(self) -> ConcurrenceError | None:
        """Why the link gave up."""
        return self._link.error

    @property
    def welcome(self) -> Welcome | None:
        """The master's newest welcome."""
        return self._link.welcome

    def submit(self, push: Push) -> None:
        """Send a push, until it is accepted."""
        self.traffic.submit(push)

    def send(self, message: Parcel[Message]) -> None:
        """Send a message once."""
        self.traffic.send_once(message)

    def acknowledge(self, delivery: int) -> None:
        """Everything up to this delivery was handled."""
        self.traffic.acknowledge(delivery)

    def receive(self, timeout: float | None) -> Notification | None:
        """The next notification; None if there is none. Nobody waits."""
        return self.notifications.popleft() if self.notifications else None

    def wake(self) -> None:
        """Nobody waits."""

    def close(self, reason: str) -> None:
        """The client closes its link itself."""


class OwnersHandlers:
    """The handlers: see :class:`concurrence.nodes.owner_handlers.IOwnerHandlers`.

    Args:
        name: The client's name.
        told: Hears of the end of a task: its number, its result, its error.
        system_told: Hears of the end of a task system, its result, its error.
    """

    def __init__(
        self,
        name: str,
        told: Callable[[int, Any, TaskError | None], None],
        system_told: Callable[[int, Any, TaskError | None], None],
    ) -> None:
        self._name = name
        self._told = told
        self._system_told = system_told

    def task_ended(self, task: Task, result: Any, error: TaskError | None) -> None:
        """A task ended."""
        number: Any = getattr(task, "number", None)
        self._told(number, result, error)

    def system_ended(self, system_id: SystemId, result: Any, error: TaskError | None) -> None:
        """A task system ended."""
        self._system_told(system_id, result, error)

    def accepted(self, pushed: object) -> None:
        """A push was accepted."""

    def rejected(self, tasks: list[Task], error: TaskError) -> None:
        """A push was not accepted, although it was within all bounds."""
        raise Violation(f"a push of {self._name} was rejected: {error}")

    def message(self, parcel: Parcel[ToOwner]) -> None:
        """Progress, warnings, the list of slaves."""

    def link(self, event: LinkEvent) -> None:
        """News of the connection."""

    def idle(self) -> None:
        """Nothing is unfinished."""
