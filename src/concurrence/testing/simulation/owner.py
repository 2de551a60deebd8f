"""An owner of tasks in virtual time, client or host: its link, its channel, and the turns of its main thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from concurrence.ids import SystemId
from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.nodes.owner import Owner
from concurrence.nodes.owner_channel import Notification
from concurrence.testing.simulation.client_owner import OwnersChannel
from concurrence.testing.simulation.exchanges import SimulatedExchange
from concurrence.testing.simulation.network import Link
from concurrence.testing.simulation.systems import SimulatedSystem
from concurrence.testing.simulation.workload import ClientTasks, SystemPlan
from concurrence.testing.simulation.world import World
from concurrence.wire.codec import Parcel, decoder_to_owner
from concurrence.wire.messages import Bye, Hello

_HANDLER_SECONDS = 0.0002

_to_owner = decoder_to_owner()


class SimulatedOwner(ABC):
    """A process that owns tasks.

    Args:
        world: What it is part of.
        name: What people see.
        work: Its tasks.

    Attributes:
        is_gone: Whether its process has ended.
        was_silent: Whether the master did not hear of it for a lease, and was right to forget it.
        open_systems: The task systems that it pushed or is to push, and of whose end it has not heard, by id.
    """

    kind: ClassVar[str]
    owner: Owner

    def __init__(self, world: World, name: str, work: ClientTasks, patience: float | None = None) -> None:
        self.name = name
        self.node = world.identity()
        self.work = work
        self.is_gone = False
        self.was_silent = False
        self.open_systems: dict[int, SystemPlan] = {}
        self._world = world
        self._timeline = world.timeline
        self._session = world.identity()
        self._heard = world.timeline.now
        self._turn_at: float | None = None
        self._busy_until = 0.0
        self._ticking = False
        self._next_system = SystemId(0)
        self.master_link = MasterLink(self._hello, "the master", world.timeline.now, patience=patience)
        self.link = Link(world.network, self, world.scenario.latency * (1 + world.random.random()))
        self.exchange = SimulatedExchange(world, self.link, self.master_link, _to_owner)
        self._channel = OwnersChannel(self.master_link)

    def __repr__(self) -> str:
        return (
            f"{self.name}: link {self.master_link.state.value}{', cut off' if self.link.is_cut else ''}, "
            f"{self.work.left} ends to come, {[plan.name for plan in self.open_systems.values()]} to end, "
            f"{len(self._channel.notifications)} notifications to handle"
        )

    @abstractmethod
    def _hello(self, resumes: bool) -> Hello:
        """How it introduces itself."""

    @abstractmethod
    def _gives_up(self) -> None:
        """Its link has failed."""

    @abstractmethod
    def _work(self) -> None:
        """One turn of its main thread."""

    # --- what it does ---

    def next_system_id(self) -> SystemId:
        """The id of the system that it pushes."""
        return self._next_system

    def push_system(self, plan: SystemPlan) -> None:
        """Push a task system."""
        self._next_system = SystemId(plan.work.system)
        plan.is_pushed = True
        self._world.story.tell("{} pushes {}", self.name, plan.name)
        self.owner.push_system(SimulatedSystem(plan.number, plan.name, plan.weight))

    # --- what befalls it ---

    def be_busy(self, seconds: float) -> None:
        """A handler takes long; meanwhile nothing is handled."""
        self._busy_until = max(self._busy_until, self._timeline.now + seconds)

    def heard(self, now: float) -> None:
        """The master hears of it; if it did not for a lease, it was right to forget it."""
        if self.is_overdue(now):
            self.was_silent = True
        self._heard = now

    def is_overdue(self, now: float) -> bool:
        """Whether the master has not heard of it for a lease."""
        return now - self._heard >= self._world.scenario.lease

    def crash(self, *, told: bool) -> None:
        """Its process is killed."""
        self.is_gone = True
        self.link.close(told=told)

    def leave(self) -> None:
        """It ends on purpose, and says so."""
        self._channel.traffic.send_once(Parcel(Bye("the application ended")))
        self.conclude()
        self.is_gone = True
        self.link.leave()

    # --- the network ---

    def connection(self, event: str) -> None:
        """Its connection was made or broke."""
        if self.is_gone:
            return
        self.master_link.connection(event, self._timeline.now)
        self.exchange.lost()
        self._take_events()
        self.conclude()
        if not self._ticking:
            self._ticking = True
            self._timeline.after(0.25, self._tick)

    def receive(self, payload: Any) -> None:
        """A message of the master."""
        if self.is_gone:
            return
        story = self._world.story
        for parcel in self.exchange.received(payload, self._timeline.now):
            if story.is_kept:
                story.tell("master -> {}: {}", self.name, parcel)
            if self.master_link.message(parcel.message, self._timeline.now):
                self._take_events()
            else:
                self._channel.traffic.received(parcel.message)
                self._notify(parcel)
        self.conclude()

    def _tick(self, _: Any) -> None:
        if self.is_gone or not self._world.scenario.heartbeats:
            return
        self.master_link.tick(self._timeline.now)
        self._take_events()
        self.conclude()
        self._timeline.after(0.25, self._tick)

    def _take_events(self) -> None:
        events, self.master_link.events = self.master_link.events, []
        for event in events:
            if event is LinkEvent.FAILED:
                self._gives_up()
                return
            if event is LinkEvent.READY:
                self._channel.traffic.resumed()
            elif event is LinkEvent.FORGOTTEN:
                self._channel.traffic.forgotten()
            self._notify(event)

    def conclude(self) -> None:
        """The end of an event: what is to be told leaves."""
        if self.is_gone:
            return
        link = self.master_link
        if link.wants_reconnect:
            link.wants_reconnect = False
            self.exchange.lost()
            self.link.reconnect()
        self.exchange.send(self._channel.traffic.take, self._timeline.now)

    # --- the main thread ---

    def _notify(self, notification: Notification) -> None:
        self._channel.notifications.append(notification)
        self._plan_turn()

    def _plan_turn(self) -> None:
        if self._turn_at is None:
            self._turn_at = max(self._timeline.now + _HANDLER_SECONDS, self._busy_until)
            self._timeline.at(self._turn_at, self._turn)

    def _turn(self, _: Any) -> None:
        self._turn_at = None
        if self.is_gone:
            return
        if self._timeline.now < self._busy_until:
            self._plan_turn()
            return
        self._work()
        if not self.is_gone and (self._channel.notifications or not self.owner.is_settled):
            self._plan_turn()
        self.conclude()
