"""The simulator with machines and tasks that a test gives it: what the policies make of them in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from swarm_story import make_policy

from concurrence.scheduling.api import Limits
from concurrence.testing.simulation.api import Scenario
from concurrence.testing.simulation.checks import Checks
from concurrence.testing.simulation.client import SimulatedClient
from concurrence.testing.simulation.master import SimulatedMaster
from concurrence.testing.simulation.slave import SimulatedSlave
from concurrence.testing.simulation.workload import ClientTasks, Group, SlavePlan
from concurrence.testing.simulation.world import World
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import FINISHED, ChunkResults, FromSlave

NEVER = 1e12
LONG_ENOUGH = 1e4
STARTED_SECONDS = 1.0
MOST_EVENTS = 2_000_000


class TimedSlave(SimulatedSlave):
    """A slave of which a test may ask what it has executed; the tasks of all clients have different numbers."""

    def __init__(self, *arguments: Any) -> None:
        self.executed: Counter[int] = Counter()
        super().__init__(*arguments)

    def say(self, parcel: Parcel[FromSlave]) -> None:
        """Note what ran to its end here, on its way to the master."""
        message = parcel.message
        if isinstance(message, ChunkResults):
            ended = zip(message.counters, message.statuses, strict=True)
            self.executed.update(counter for counter, status in ended if status == FINISHED)
        super().say(parcel)


class TimedClient(SimulatedClient):
    """A client that knows since when it is connected."""

    since: float

    def connection(self, event: str) -> None:
        """From now on it pushes."""
        self.since = self._timeline.now
        super().connection(event)


class TimedSwarm:
    """A master and slaves that are ready, on a network that takes no time.

    Args:
        policy: The task scheduler.
        slaves: The machines.
        overrides: Options, as texts ``section.name=value``.
        checked: Whether the ledger is checked at each turn of the master.
    """

    def __init__(self, policy: str, slaves: Iterable[SlavePlan], *overrides: str, checked: bool = True) -> None:
        scenario = Scenario(
            tasks=1, policy=policy, latency=0.0, cycle_seconds=0.0, message_seconds=0.0, codec=False,
            heartbeats=False, check_every=1 if checked else 0,
        )  # fmt: skip
        world = self.world = World(scenario)
        self.checks = Checks(world)
        limits = Limits(lease=NEVER, heartbeat=NEVER)
        self.master = SimulatedMaster(world, lambda: make_policy(policy, *overrides), limits, self.checks.watch)
        world.network.master = self.master
        self.slaves = [
            TimedSlave(world, f"slave {number}", plan, lambda: self.master.queue, self._left)
            for number, plan in enumerate(slaves)
        ]
        self._systems = 0
        self._waits_for: TimedClient | None = None
        self.let_pass(STARTED_SECONDS)
        assert len(self.master.core.swarm.roster.connected) == len(self.slaves)

    def push(self, *groups: Iterable[float], resources: Mapping[str, float] | None = None) -> TimedClient:
        """Have a new client push tasks.

        Args:
            groups: What they take, in seconds at speed 1.
            resources: What those of the first group need.
        """
        self._systems += 1
        parts = [list(group) for group in groups]
        work = ClientTasks(self._systems, sum(map(len, parts)))
        for number, part in enumerate(parts):
            needs = (resources or {}) if number == 0 else {}
            work.groups.append(Group(len(work.seconds), len(work.seconds) + len(part), resources=needs))
            work.seconds.extend(part)
        self.world.workload.by_system[work.system] = work
        return TimedClient(self.world, f"client {self._systems}", work, self._told, self.checks.system_told)

    def wait(self, client: TimedClient) -> float:
        """Let time pass until all tasks of a client have ended; how long that took."""
        self._waits_for = client
        self.let_pass(LONG_ENOUGH)
        assert client.work.left == 0, f"stuck: {self.slaves}"
        return self.world.timeline.now - client.since

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass, or less if what is waited for comes."""
        timeline = self.world.timeline
        timeline.is_over = False
        timeline.after(seconds, self._end)
        timeline.run()

    def _told(self, client: Any, number: int, result: Any, error: Any) -> None:
        self.checks.told(client, number, result, error)
        assert error is None
        if client is self._waits_for and not client.work.left:
            self.world.timeline.is_over = True

    def _end(self, _: Any) -> None:
        self.world.timeline.is_over = True

    @staticmethod
    def _left(slave: SimulatedSlave) -> None:
        raise AssertionError(f"{slave.name} has left")
