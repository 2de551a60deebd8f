"""What an owner tells its node: the seam between pushing and settling tasks and whoever wants to know."""

from __future__ import annotations

from typing import Any, Protocol

from concurrence.errors import TaskError
from concurrence.ids import SystemId
from concurrence.nodes.master_link import LinkEvent
from concurrence.tasks.api import Task
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import ToOwner


class IOwnerHandlers(Protocol):
    """What an owner's node does with what happens."""

    def task_ended(self, task: Task, result: Any, error: TaskError | None) -> None:
        """A task ended."""
        ...

    def system_ended(self, system_id: SystemId, result: Any, error: TaskError | None) -> None:
        """A task system ended."""
        ...

    def accepted(self, pushed: object) -> None:
        """What was pushed, a Task, an iterable's last part or a SystemId, is accepted and kept."""
        ...

    def rejected(self, tasks: list[Task], error: TaskError) -> None:
        """A push was not accepted; each of its tasks ends with the same error."""
        ...

    def message(self, parcel: Parcel[ToOwner]) -> None:
        """Any other message of the master."""
        ...

    def link(self, event: LinkEvent) -> None:
        """News of the connection."""
        ...

    def idle(self) -> None:
        """Nothing is unfinished; called once whenever that becomes so."""
        ...
