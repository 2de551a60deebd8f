"""Puts a simulated swarm together, lets time pass, and reports."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from concurrence.component import Component, ComponentManager
from concurrence.env.config import Config
from concurrence.scheduling.api import ITaskScheduler, Limits
from concurrence.scheduling.circuit import FIRST_REST
from concurrence.testing.simulation.api import Report, Scenario, Violation
from concurrence.testing.simulation.checks import Checks, summarise
from concurrence.testing.simulation.client import SimulatedClient
from concurrence.testing.simulation.faults import Faults
from concurrence.testing.simulation.master import SimulatedMaster
from concurrence.testing.simulation.swarm import Swarm
from concurrence.testing.simulation.workload import transfer_seconds
from concurrence.testing.simulation.world import World

_NEVER = 1e12
_COLLECTING = (50_000, 20, 100)
_LOOK_SECONDS = 1.0
_SETTLED_LEASES = 3.0
_SETTLED_SECONDS = 3.0
_SETTLED_LARGE = 8.0  # results of what nobody waits for any more may still be under way, one after the other
_ENOUGH_SECONDS = 30.0

Progress = Callable[[int, int, float], None]
"""Told now and then: tasks that ended, all tasks, the virtual time."""


class _Components(ComponentManager):
    """The policies and strategies that can be chosen, anew for each master."""

    def __init__(self, classes: Sequence[type[Component]], overrides: Sequence[str]) -> None:
        super().__init__()
        self.config = Config.from_layers(overrides=overrides)
        for component in classes:
            self.register(component)


@contextmanager
def _seldom_collecting() -> Generator[None]:
    """Millions of objects live for long, hardly any in circles: to look for those takes a quarter of the time."""
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECTING)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _told(error: BaseException) -> str:
    """An exception with its place, its last line first."""
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error))}"


class Simulator:
    """One simulation.

    Args:
        scenario: What is simulated.
        components: The classes of policies and strategies.
        progress: Told how far it is.
    """

    def __init__(
        self, scenario: Scenario, components: Sequence[type[Component]], progress: Progress | None = None
    ) -> None:
        self._scenario = scenario.check()
        self._components = components
        self._progress = progress
        world = self.world = World(scenario)
        self.checks = Checks(world)
        plans = world.workload.plan_slaves()
        self._bound = world.workload.bound(plans)
        self.master = SimulatedMaster(world, self._scheduler, self._limits(), self.checks.watch)
        world.network.master = self.master
        self.swarm = Swarm(world, self.master, self.checks)
        for plan in plans:
            self.swarm.join(plan)
        for number, work in enumerate(world.workload.clients, 1):
            told, system_told = self.checks.told, self.checks.system_told
            self.swarm.clients.append(SimulatedClient(world, f"client {number}", work, told, system_told))
        moving = transfer_seconds(scenario)
        self.faults = Faults(world, self.swarm, self._bound + moving / 4) if scenario.faults else None
        slowest = min(plan.speed for plan in plans)
        working = 4 * world.workload.longest / slowest + world.workload.longest_hang
        enough = _ENOUGH_SECONDS + 3 * scenario.lease + working + moving
        self._patience = scenario.patience or enough
        self._settled_at: float | None = None
        world.timeline.after(_LOOK_SECONDS, self._look)

    def _scheduler(self) -> ITaskScheduler:
        manager = _Components(self._components, self._scenario.overrides)
        return manager.implementation(ITaskScheduler, self._scenario.policy)

    def _limits(self) -> Limits:
        lease = self._scenario.lease
        weights = {f"client {number}": work.weight for number, work in enumerate(self.world.workload.clients, 1)}
        if not self._scenario.weighted:
            weights = {}
        if not self._scenario.heartbeats:
            return Limits(lease=_NEVER, heartbeat=_NEVER, weights=weights)
        return Limits(lease=lease, heartbeat=min(2.0, lease / 3), weights=weights)

    def run(self) -> Report:
        """Let time pass until all is done, or something is wrong."""
        violation = ""
        try:
            with _seldom_collecting():
                self.world.timeline.run()
            self.checks.check_end(self.master, self.swarm.clients)
        except AssertionError as error:
            violation = str(error) or _told(error)
        except Exception as error:  # noqa: BLE001  whatever the production code raises is what is looked for
            violation = _told(error)
        self.swarm.count_time()
        report = summarise(self.world, self.checks, self.master, self._bound)
        report = replace(report, faults=self.faults.counts if self.faults is not None else {})
        if violation:
            report = replace(report, violation=violation, story=self.world.story.lines())
        return report

    def _look(self, _: object) -> None:
        world = self.world
        now = world.timeline.now
        alive = [client for client in self.swarm.clients if not client.is_gone]
        left = sum(client.work.left for client in alive)
        if self._progress is not None:
            self._progress(self._scenario.tasks - left, self._scenario.tasks, now)
        if left == 0 and not any(client.open_systems for client in alive):
            self.settle()
        elif now - max(world.last_end, self.swarm.quiet_since) > self._enough():
            raise Violation(self.swarm.explain(now, self._enough()))
        world.timeline.after(_LOOK_SECONDS, self._look)

    def _enough(self) -> float:
        """Seconds in which some task must end: more if the one slave that can run what is left may be resting."""
        return self._patience + (FIRST_REST if self.master.core.swarm.resting else 0.0)

    def settle(self) -> None:
        """All tasks ended: what is left of faults and late messages comes to its end too."""
        now = self.world.timeline.now
        if self._settled_at is None:
            self._settled_at = now
            if self.faults is not None:
                self.faults.stop()
        wait = _SETTLED_LEASES * self._scenario.lease if self.faults is not None else _SETTLED_SECONDS
        if self._scenario.bandwidth:
            wait += _SETTLED_LARGE * self._scenario.payload / self._scenario.bandwidth
        if not self._scenario.check_every:
            wait = 0.0
        if now - max(self._settled_at, self.swarm.quiet_since) >= wait:
            self.world.timeline.is_over = True
