"""A master: the production core, and around it in virtual time what the master node does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from concurrence.journal.gate import DurabilityGate
from concurrence.scheduling import draining
from concurrence.scheduling.api import ITaskScheduler, Limits
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.outbox import HostOrder
from concurrence.testing.simulation.api import Violation
from concurrence.testing.simulation.exchanges import SimulatedTraffic
from concurrence.testing.simulation.network import Connection
from concurrence.testing.simulation.work_queue import WorkQueue
from concurrence.testing.simulation.world import World
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import Parcel, decoder_for_master
from concurrence.wire.messages import Assign, Bye, Hello, Message, Piece, PieceTaken

TICK_SECONDS = 0.25
_DRAIN = 512
_CHUNKS_OF_ONE_MASTER = 1_000_000_000

Watcher = Callable[["SimulatedMaster", dict[bytes, list[Parcel[Message]]], list[Parcel[Assign]]], None]
"""Looks at the master, at what it sends and at what it puts on the work queue, at the end of each cycle."""


class IHosting(Protocol):
    """The processes of task systems' hosts."""

    def start_host(self, order: HostOrder) -> None:
        """The master wants a host."""
        ...

    def stop_host(self, system: int) -> None:
        """A system has ended: its host was told, and is killed if it does not go."""
        ...


class SimulatedMaster:
    """Drives a core as :class:`concurrence.nodes.master.MasterNode` does.

    Args:
        world: What it is part of.
        scheduler: Makes the policy, anew for each incarnation.
        limits: Bounds and periods.
        watch: What looks at it after each cycle.

    Attributes:
        hosting: Starts and ends the hosts of task systems.
    """

    hosting: IHosting

    def __init__(
        self, world: World, scheduler: Callable[[], ITaskScheduler], limits: Limits, watch: Watcher
    ) -> None:
        self._world = world
        self._timeline = world.timeline
        self._network = world.network
        self._scheduler = scheduler
        self._limits = limits
        self._watch = watch
        self._decoder = decoder_for_master()
        self._inbox: deque[tuple[Connection, Any]] = deque()
        self._is_due = False
        self._free_at = self._frozen_until = 0.0
        self.incarnations = 0
        self.cycles = 0
        self.queue = WorkQueue(self._network, self._wake)
        self.start()

    def start(self) -> None:
        """Begin, knowing nothing: for the first time or again."""
        scheduler = self._scheduler()
        self.incarnations += 1
        self.core = MasterCore(
            scheduler,
            self._limits,
            master=f"master {self.incarnations}",
            package="simulated",
            new_ticket=lambda: f"{self._world.random.getrandbits(64):x}",
            first_chunk=1 + (self.incarnations - 1) * _CHUNKS_OF_ONE_MASTER,
        )
        self._traffic = SimulatedTraffic(self._world, self.core)
        if scheduler.uses_work_queue:
            self.core.work_address = "tcp://work"
        self._gate: DurabilityGate[tuple[bytes, Parcel[Message]]] = DurabilityGate()
        self._backlog: list[Parcel[Assign]] = []
        self._sequence = 0
        self._inbox.clear()
        self.core.tick(self._timeline.now)
        incarnation = self.incarnations
        self._timeline.after(TICK_SECONDS, self._tick, incarnation)
        if self._world.scenario.heartbeats:
            self._timeline.after(MasterCore.PROBE_SECONDS, self._probe, incarnation)

    def freeze(self, seconds: float) -> None:
        """The process is stopped for a while."""
        self._frozen_until = max(self._frozen_until, self._timeline.now + seconds)
        self._free_at = max(self._free_at, self._frozen_until)

    def arrive(self, connection: Connection, payload: Any) -> None:
        """A message of a peer."""
        self._inbox.append((connection, payload))
        self._wake()

    def _wake(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._timeline.at(max(self._timeline.now, self._free_at), self._cycle)

    def _tick(self, incarnation: int) -> None:
        if incarnation != self.incarnations:
            return
        if self._timeline.now < self._frozen_until:
            self._timeline.at(self._frozen_until, self._tick, incarnation)
            return
        self.core.tick(self._timeline.now)
        self._wake()
        self._timeline.after(TICK_SECONDS, self._tick, incarnation)

    def _probe(self, incarnation: int) -> None:
        if incarnation != self.incarnations:
            return
        self.core.probe(self._network.hung_up(), self._timeline.now)
        self._wake()
        self._timeline.after(MasterCore.PROBE_SECONDS, self._probe, incarnation)

    def _cycle(self, _: Any) -> None:
        now = self._timeline.now
        if now < self._free_at:
            self._timeline.at(self._free_at, self._cycle)
            return
        self._is_due = False
        self.cycles += 1
        inbox = self._inbox
        count = min(len(inbox), _DRAIN)
        for _ in range(count):
            self._take(*inbox.popleft(), now)
        if inbox:
            self.core.behind(now)
        self._conclude(now)
        scenario = self._world.scenario
        self._free_at = now + scenario.cycle_seconds + count * scenario.message_seconds
        if inbox:
            self._wake()

    def _take(self, connection: Connection, payload: Any, now: float) -> None:
        core = self.core
        story = self._world.story
        for parcel in self._network.decoded(self._decoder, payload):
            if story.is_kept:
                story.tell("{} -> master: {}", connection.link.node.name, parcel)
            message = parcel.message
            wholes: list[Parcel[Any]] = [parcel]
            if isinstance(message, Hello | Piece | PieceTaken):
                wholes = self._traffic.take(connection.peer, Parcel(message, parcel.frames), now)
            for whole in wholes:
                core.receive(connection.peer, whole, lambda: _origin(connection), now)
        if core.swarm.registry.at(connection.peer) is not None:  # what comes before a greeting counts for nothing
            connection.link.node.heard(now)
        if core.rejected:
            raise Violation(f"the master rejected what {connection.link.node.name} sent")

    def _conclude(self, now: float) -> None:
        core, outbox = self.core, self.core.outbox
        core.conclude(now)
        if outbox.promises or outbox.entries:
            self._sequence += len(outbox.entries)
            for promise in outbox.promises:
                self._gate.hold(self._sequence, promise)
            self._gate.durable(self._sequence)  # the journal keeps nothing, and is quick about it
        outgoing = outbox.messages
        for peer, parcel in self._gate.release():
            outgoing.setdefault(peer, []).append(parcel)
        work, hosts, stopped, news = outbox.work, outbox.hosts, outbox.stopped_hosts, outbox.news
        dropped = outbox.dropped
        self._backlog += work
        outbox.clear()
        for line in news:
            self._world.story.tell("master: {}", line)
        self._watch(self, outgoing, work)
        for peer, parcels in outgoing.items():
            self._send(peer, parcels, now)
        self._push_work()
        for peer in dropped:
            self._traffic.forget(peer)
        for order in hosts:
            self.hosting.start_host(order)
        for system in stopped:
            self.hosting.stop_host(system)

    def host_exited(self, system: int, how: str) -> None:
        """The process of a host has ended."""
        self.core.host_exited(system, how)
        self._wake()

    def drain(self, node: str, *, is_on: bool, stops: bool = False) -> bool:
        """An administrator has a slave drain, or work again; False if it is not known."""
        slave = self.core.swarm.registry.slave(node)
        if slave is None:
            return False
        draining.order(self.core.swarm, slave, is_on=is_on, stops=stops)
        self._wake()
        return True

    def _send(self, peer: bytes, parcels: list[Parcel[Message]], now: float) -> None:
        if not self._traffic.send(peer, parcels, now):
            self.core.unreachable(peer, now)
            self._wake()

    def _push_work(self) -> None:
        assignments = self.core.swarm.ledger.assignments
        sent = 0
        for parcel in self._backlog:
            if parcel.message.chunk in assignments and not self.queue.send(parcel):
                break
            sent += 1
        del self._backlog[:sent]

    def farewell(self) -> None:
        """Say goodbye to everybody, as a master does that is stopped on purpose."""
        for node in self.core.swarm.registry:
            if node.peer is not None:
                self._network.send(node.peer, self._network.encoded([Parcel(Bye("the master stops"))]))


def _origin(connection: Connection) -> Origin:
    node: Any = connection.link.node
    return Origin(Role(node.kind), f"key of {node.node}", "10.0.0.1")
