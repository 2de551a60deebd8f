"""A client in virtual time: the production owner of tasks, with what it is to push."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from concurrence.errors import TaskError
from concurrence.ids import SystemId
from concurrence.nodes.owner import Owner
from concurrence.tasks.api import Task
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.packing import TaskPacker
from concurrence.testing.simulation.api import Violation
from concurrence.testing.simulation.client_owner import KINDS, NoCode, OwnersHandlers
from concurrence.testing.simulation.owner import SimulatedOwner
from concurrence.testing.simulation.workload import ClientTasks, SystemPlan, is_large_argument
from concurrence.testing.simulation.world import World
from concurrence.wire.messages import PROTOCOL_VERSION, Hello

Told = Callable[[SimulatedOwner, int, Any, TaskError | None], None]
"""Hears of the end of a task: its number, its result, its error."""

SystemTold = Callable[[SimulatedOwner, SystemPlan, Any, TaskError | None], None]
"""Hears of the end of a task system, its result, its error."""


class SimulatedClient(SimulatedOwner):
    """One client.

    Args:
        world: What it is part of.
        name: What people see.
        work: Its tasks.
        told: Hears of their ends.
        system_told: Hears of the ends of its task systems.
    """

    kind: ClassVar[str] = "client"

    def __init__(self, world: World, name: str, work: ClientTasks, told: Told, system_told: SystemTold) -> None:
        super().__init__(world, name, work)
        self.pushed = 0
        self.tasks = OwnedTasks(SystemId(work.system), self.node, TaskPacker(NoCode()))

        def on_system(system: int, result: Any, error: TaskError | None) -> None:
            plan = self.open_systems.pop(system, None)
            if plan is None:
                raise Violation(f"{name} heard of the end of a task system {system:x} that it does not wait for")
            system_told(self, plan, result, error)

        handlers = OwnersHandlers(name, lambda number, result, error: told(self, number, result, error), on_system)
        self.owner = Owner(self._channel, self.tasks, handlers, new_system=self.next_system_id)
        self.owner.push_tasks(self._source())
        for plan in work.systems:
            self.open_systems[plan.work.system] = plan
            world.timeline.after(plan.after, self._push_later, plan)
        self.link.connect(world.random.random() * 0.05)

    def _push_later(self, plan: SystemPlan) -> None:
        if not self.is_gone:
            self.push_system(plan)
            self.conclude()

    def _source(self) -> Iterator[Task]:
        for group in self.work.groups:
            kind = KINDS[group.kind]
            is_plain = not (group.priority or group.max_retries or group.timeout or group.resources)
            for number in range(group.first, group.end):
                task = kind(number)
                if is_large_argument(self._world.scenario, number):
                    task.ballast = bytes(self._world.scenario.payload)
                if not is_plain:
                    task.priority = group.priority
                    task.max_retries = group.max_retries
                    task.timeout = group.timeout
                    task.resources = group.resources
                self.pushed = number + 1
                yield task

    def cancel(self, numbers: list[int]) -> None:
        """Cancel tasks."""
        self.work.cancelled.update(numbers)
        self.owner.cancel(SystemId(self.work.system), numbers)
        self.conclude()

    def cancel_system(self, plan: SystemPlan) -> None:
        """Cancel a task system."""
        plan.is_cancelled = True
        self.owner.cancel(SystemId(plan.work.system), None)
        self.conclude()

    def _gives_up(self) -> None:
        raise Violation(f"{self.name} gives up: {self.master_link.error}")

    def _work(self) -> None:
        self.owner.turn(0)

    def _hello(self, resumes: bool) -> Hello:
        return Hello(
            PROTOCOL_VERSION, "simulated", self.kind, self.node, self._session, self.name, "3", 1, resumes=resumes,
            system=self.work.system,
        )  # fmt: skip
