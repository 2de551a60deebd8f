"""The host of a task system in virtual time: the production runner, from the start of its process to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

from concurrence.errors import TaskError
from concurrence.ids import SystemId
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.system_runner import SystemRunner
from concurrence.scheduling.outbox import HostOrder
from concurrence.tasks.loading import FunctionLoader
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.packing import TaskPacker
from concurrence.testing.simulation.api import Violation
from concurrence.testing.simulation.client import SystemTold, Told
from concurrence.testing.simulation.client_owner import NoCode
from concurrence.testing.simulation.owner import SimulatedOwner
from concurrence.testing.simulation.systems import SimulatedSystem
from concurrence.testing.simulation.workload import SystemPlan
from concurrence.testing.simulation.world import World
from concurrence.wire.messages import KIND_SYSTEM, PROTOCOL_VERSION, DefineFunction, Hello

_PATIENCE_SECONDS = 30.0


class SimulatedHost(SimulatedOwner):
    """One host.

    Args:
        world: What it is part of.
        order: What the master wants.
        plan: What its system does.
        told: Hears of the ends of its tasks.
        system_told: Hears of the ends of the systems that it pushed.
        exited: Called when its process ends by itself.
    """

    kind: ClassVar[str] = "host"

    def __init__(
        self,
        world: World,
        order: HostOrder,
        plan: SystemPlan,
        told: Told,
        system_told: SystemTold,
        exited: Callable[[SimulatedHost, str], None],
    ) -> None:
        super().__init__(world, f"the host of {plan.name}", plan.work, patience=_PATIENCE_SECONDS)
        self.plan = plan
        self._order = order
        self._told = told
        self._system_told = system_told
        self._exited = exited
        self._loader = FunctionLoader(self.name)
        self._runner: SystemRunner | None = None
        self.link.connect(world.random.random() * 0.05)

    def stop(self) -> None:
        """It is killed with its machine's other processes, or because it did not go."""
        if not self.is_gone:
            self.plan.was_lost = True
            self.crash(told=True)

    def _exit(self, how: str) -> None:
        self.crash(told=True)
        self._exited(self, how)

    def _gives_up(self) -> None:
        self._exit(f"it gave up: {self.master_link.error}")

    def _work(self) -> None:
        runner = self._runner
        if runner is None:
            runner = self._receive_code()
            if runner is None:
                return
        runner.turn(0)
        if runner.owner.stopped:
            self._exit("it ended")

    def _receive_code(self) -> SystemRunner | None:
        """Take what comes before the system itself; None if that has not come."""
        while (notification := self._channel.receive(0)) is not None:
            if isinstance(notification, LinkEvent):
                if notification is LinkEvent.DISMISSED:
                    self._exit("it was dismissed before it began")
                    return None
                continue
            message = notification.message
            if isinstance(message, DefineFunction):
                self._loader.define_function(message, notification.frames[0])
                if message.kind == KIND_SYSTEM:
                    return self._begin(message.number)
        return None

    def _begin(self, number: int) -> SystemRunner:
        system = cast("SimulatedSystem", self._loader.load(number).target)
        if system.number != self.plan.number:
            raise Violation(f"{self.name} was sent {system.name}")
        system.attend(
            self.plan,
            self._push_child,
            lambda number, result, error: self._told(self, number, result, error),
            self._child_told,
        )
        system_id = SystemId(self._order.system)
        tasks = OwnedTasks(system_id, self._order.client, TaskPacker(NoCode()))
        runner = SystemRunner(
            system, system_id, self._channel, tasks, self.plan.name, new_system=self.next_system_id
        )
        self._runner = runner
        self.owner = runner.owner
        runner.begin()
        return runner

    def _push_child(self, plan: SystemPlan) -> None:
        self.open_systems[plan.work.system] = plan
        self.push_system(plan)

    def _child_told(self, system_id: SystemId, result: Any, error: TaskError | None) -> None:
        plan = self.open_systems.pop(system_id, None)
        if plan is None:
            raise Violation(f"{self.name} heard of the end of a system that it does not wait for: {system_id:x}")
        self._system_told(self, plan, result, error)

    def _turn(self, _: Any) -> None:
        if self._runner is None and not self.is_gone:
            self._turn_at = None
            self._work()
            if not self.is_gone and self._runner is not None:
                self._plan_turn()
            self.conclude()
            return
        super()._turn(_)

    def _hello(self, resumes: bool) -> Hello:
        return Hello(
            PROTOCOL_VERSION, "simulated", self.kind, self.node, self._session, self.name, "3", 1, resumes=resumes,
            system=self._order.system, ticket=self._order.ticket,
        )  # fmt: skip
