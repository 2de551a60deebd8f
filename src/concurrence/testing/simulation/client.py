"""A client in virtual time: the production owner of tasks, with its link and what it has to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from concurrence.errors import TaskError
from concurrence.ids import SystemId
from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.nodes.owner import Owner
from concurrence.nodes.owner_channel import Notification
from concurrence.tasks.api import Task
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.packing import TaskPacker
from concurrence.testing.simulation.api import Violation
from concurrence.testing.simulation.client_owner import KINDS, NoCode, OwnersChannel, OwnersHandlers
from concurrence.testing.simulation.exchanges import SimulatedExchange
from concurrence.testing.simulation.network import Link
from concurrence.testing.simulation.workload import ClientTasks, is_large_argument
from concurrence.testing.simulation.world import World
from concurrence.wire.codec import Parcel, decoder_to_owner
from concurrence.wire.messages import PROTOCOL_VERSION, Bye, Hello

_HANDLER_SECONDS = 0.0002

_to_owner = decoder_to_owner()

Told = Callable[["SimulatedClient", int, Any, TaskError | None], None]
"""Hears of the end of a task: its number, its result, its error."""


class SimulatedClient:
    """One client.

    Args:
        world: What it is part of.
        name: What people see.
        work: Its tasks.
        told: Hears of their ends.
    """

    kind = "client"

    def __init__(self, world: World, name: str, work: ClientTasks, told: Told) -> None:
        self.name = name
        self.node = world.identity()
        self.work = work
        self.is_gone = False
        self.pushed = 0
        self.was_silent = False
        self._heard = world.timeline.now
        self._world = world
        self._timeline = world.timeline
        self._session = world.identity()
        self._turn_at: float | None = None
        self._busy_until = 0.0
        self._ticking = False
        self.master_link = MasterLink(self._hello, "the master", world.timeline.now, patience=None)
        self.link = Link(world.network, self, world.scenario.latency * (1 + world.random.random()))
        self.exchange = SimulatedExchange(world, self.link, self.master_link, _to_owner)
        self.tasks = OwnedTasks(SystemId(work.system), self.node, TaskPacker(NoCode()))
        self._channel = OwnersChannel(self.master_link)
        self._handlers = OwnersHandlers(name, lambda number, result, error: told(self, number, result, error))
        self.owner = Owner(self._channel, self.tasks, self._handlers)
        self.owner.push_tasks(self._source())
        self.link.connect(world.random.random() * 0.05)

    def __repr__(self) -> str:
        return (
            f"{self.name}: link {self.master_link.state.value}{', cut off' if self.link.is_cut else ''}, "
            f"{self.pushed} pushed, {len(self.tasks)} unfinished, {self.work.left} ends to come, "
            f"{len(self._channel.notifications)} notifications to handle"
        )

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

    # --- what befalls it ---

    def be_busy(self, seconds: float) -> None:
        """A handler takes long; meanwhile nothing is handled."""
        self._busy_until = max(self._busy_until, self._timeline.now + seconds)

    def heard(self, now: float) -> None:
        """The master hears of it; if it did not for a lease, it was right to forget it."""
        if now - self._heard >= self._world.scenario.lease:
            self.was_silent = True
        self._heard = now

    def cancel(self, numbers: list[int]) -> None:
        """Cancel tasks."""
        self.work.cancelled.update(numbers)
        self.owner.cancel(SystemId(self.work.system), numbers)
        self._conclude()

    def crash(self, *, told: bool) -> None:
        """Its process is killed."""
        self.is_gone = True
        self.link.close(told=told)

    def leave(self) -> None:
        """It ends on purpose, and says so."""
        self._channel.traffic.send_once(Parcel(Bye("the application ended")))
        self._conclude()
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
        self._conclude()
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
        self._conclude()

    def _tick(self, _: Any) -> None:
        if self.is_gone or not self._world.scenario.heartbeats:
            return
        self.master_link.tick(self._timeline.now)
        self._take_events()
        self._conclude()
        self._timeline.after(0.25, self._tick)

    def _take_events(self) -> None:
        events, self.master_link.events = self.master_link.events, []
        for event in events:
            if event is LinkEvent.FAILED:
                raise Violation(f"{self.name} gives up: {self.master_link.error}")
            if event is LinkEvent.READY:
                self._channel.traffic.resumed()
            elif event is LinkEvent.FORGOTTEN:
                self._channel.traffic.forgotten()
            self._notify(event)

    def _conclude(self) -> None:
        link = self.master_link
        if link.wants_reconnect:
            link.wants_reconnect = False
            self.exchange.lost()
            self.link.reconnect()
        self.exchange.send(self._channel.traffic.take, self._timeline.now)

    def _hello(self, resumes: bool) -> Hello:
        return Hello(
            PROTOCOL_VERSION, "simulated", self.kind, self.node, self._session, self.name, "3", 1, resumes=resumes,
            system=self.work.system,
        )  # fmt: skip

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
        self.owner.turn(0)
        if self._channel.notifications or not self.owner.is_settled:
            self._plan_turn()
        self._conclude()
