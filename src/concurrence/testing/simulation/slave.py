"""A slave in virtual time: the production state machine of its workers, its link, and what it has to tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from concurrence.nodes.master_link import LinkEvent, LinkState, MasterLink
from concurrence.nodes.slave_traffic import SlaveTraffic
from concurrence.testing.simulation.api import Violation
from concurrence.testing.simulation.exchanges import SimulatedExchange
from concurrence.testing.simulation.manager import SimulatedManager
from concurrence.testing.simulation.network import Link
from concurrence.testing.simulation.work_queue import Pipe, WorkQueue
from concurrence.testing.simulation.workload import SlavePlan
from concurrence.testing.simulation.world import World
from concurrence.wire.codec import Parcel, decoder_to_slave
from concurrence.wire.messages import (
    PROTOCOL_VERSION,
    Bye,
    Claimed,
    Drain,
    Draining,
    FromSlave,
    Hello,
    Pause,
    SlaveDescription,
)

_to_slave = decoder_to_slave()


class SimulatedSlave:
    """One slave, from the start of its process to its end.

    Args:
        world: What it is part of.
        name: What people see.
        plan: Its machine.
        queue: Tells the work socket that is there now.
        left: Called when it has ended on purpose.
    """

    kind = "slave"

    def __init__(
        self,
        world: World,
        name: str,
        plan: SlavePlan,
        queue: Callable[[], WorkQueue],
        left: Callable[[SimulatedSlave], None],
    ) -> None:
        self.name = name
        self.node = world.identity()
        self.plan = plan
        self.is_gone = False
        self.pipe: Pipe | None = None
        self._world = world
        self._timeline = world.timeline
        self._queue = queue
        self._left = left
        self._session = world.identity()
        self._frozen = False
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []
        self._traffic = SlaveTraffic()
        self._born = world.timeline.now
        self._ticking = False
        self._drain_state = Draining(is_on=False)
        self.master_link = MasterLink(self._hello, "the master", world.timeline.now, patience=None)
        self.link = Link(world.network, self, world.scenario.latency * (1 + world.random.random()))
        self.exchange = SimulatedExchange(world, self.link, self.master_link, _to_slave)
        self.manager = SimulatedManager(world, plan, self)
        self.manager.apply(self.manager.slots.start())
        self.link.connect(world.random.random() * 0.05)

    def __repr__(self) -> str:
        states = self.manager.slots.states
        return (
            f"{self.name}: link {self.master_link.state.value}{', frozen' if self._frozen else ''}"
            f"{', cut off' if self.link.is_cut else ''}, chunks {self.manager.slots.chunks}, workers {states}"
            f"{f', {len(self.pipe.arrived)} in its buffers' if self.pipe is not None else ''}"
        )

    # --- what befalls it ---

    def freeze(self, seconds: float) -> None:
        """Its process, not those of its workers, is stopped for a while."""
        if not self._frozen:
            self._frozen = True
            self._timeline.after(seconds, self._thaw)

    def _thaw(self, _: Any) -> None:
        self._frozen = False
        waiting, self._waiting = self._waiting, []
        for position, (action, argument) in enumerate(waiting):
            if self._frozen or self.is_gone:
                self._waiting = waiting[position:] + self._waiting
                return
            action(argument)

    @property
    def drains(self) -> bool:
        """Whether it takes no more work, as far as it knows."""
        return self._drain_state.is_on

    def terminate(self, grace: float) -> None:
        """It is told to stop, and first finishes what runs, for so many seconds at most."""
        self.do(self._drain_by_itself, grace)

    def _drain_by_itself(self, grace: float) -> None:
        if not self._drain_state.by_itself:
            self._change_drain(Draining(is_on=True, stops=True, by_itself=True))
            self._timeline.after(grace, self._stop)
            self.conclude()

    def _stop(self, _: Any) -> None:
        self.do(self._leave, None)

    def _leave(self, _: Any) -> None:
        self.leave()

    def healed(self) -> None:
        """It can be reached again: what lies in its buffers can be read."""
        self._readable()

    def heard(self, now: float) -> None:
        """The master hears of it."""

    def crash(self, *, told: bool) -> None:
        """It is killed, with its workers.

        Args:
            told: Whether its machine lives on and hangs up.
        """
        self._end()
        self.link.close(told=told)

    def leave(self) -> None:
        """It is stopped on purpose, and says so."""
        if self.is_gone:
            return
        if self.master_link.ready:
            farewell = [*self._traffic.take(()), Parcel(Bye("the slave stops"))]
            self.link.send(self._world.network.encoded(farewell))
        self._end()
        self.link.leave()
        self._left(self)

    def _end(self) -> None:
        self.is_gone = True
        self._world.workers += (self._timeline.now - self._born) * self.plan.workers
        self._detach()
        self.manager.stop()

    def count_time(self) -> None:
        """The simulation ends: its workers' time counts up to the end of the last task."""
        if not self.is_gone:
            self._world.workers += max(0.0, self._world.last_end - self._born) * self.plan.workers

    def kill_worker(self, number: int) -> None:
        """Somebody kills one of its workers."""
        self.manager.kill_worker(number)

    # --- the network ---

    def do(self, action: Callable[[Any], None], argument: Any) -> None:
        """Let the slave's process do something, once it runs."""
        if self.is_gone:
            return
        if self._frozen:
            self._waiting.append((action, argument))
        else:
            action(argument)

    def connection(self, event: str) -> None:
        """Its connection was made or broke."""
        self.do(self._connection, event)

    def _connection(self, event: str) -> None:
        self.master_link.connection(event, self._timeline.now)
        self.exchange.lost()
        self._take_events()
        self.conclude()
        if not self._ticking:
            self._ticking = True
            self._timeline.after(0.25, self._tick)

    def receive(self, payload: Any) -> None:
        """A message of the master."""
        self.do(self._received, payload)

    def _received(self, payload: Any) -> None:
        link, now = self.master_link, self._timeline.now
        story = self._world.story
        for parcel in self.exchange.received(payload, now):
            if story.is_kept:
                story.tell("master -> {}: {}", self.name, parcel)
            if link.message(parcel.message, now):
                self._take_events()
            else:
                self._handle(parcel)
        self.conclude()

    def _handle(self, parcel: Parcel[Any]) -> None:
        message = parcel.message
        if isinstance(message, Pause):
            self._detach()
            if not message.paused:
                self._attach()
        elif isinstance(message, Drain):
            if self._drain_state.by_itself:
                self._traffic.say(Parcel(self._drain_state))
            else:
                self._change_drain(Draining(message.is_on, message.is_on and message.stops))
        else:
            self.manager.handle(parcel)

    def _change_drain(self, state: Draining) -> None:
        """Begin or end to drain; what is given back leaves before the master is told."""
        was, self._drain_state = self._drain_state, state
        if was.is_on != state.is_on:
            self.manager.apply(self.manager.slots.drain(is_on=state.is_on))
            if state.is_on:
                self._detach()
            else:
                self._attach()
        self._traffic.say(Parcel(state))

    def _tick(self, _: Any) -> None:
        self.do(self._ticked, None)

    def _ticked(self, _: Any) -> None:
        if not self._world.scenario.heartbeats:
            return
        link = self.master_link
        link.tick(self._timeline.now)
        self._take_events()
        self.conclude()
        # The node itself looks four times a second; as long as all is well, that changes nothing.
        pause = 0.25 if link.state is not LinkState.READY or link.welcome is None else link.welcome.heartbeat / 2
        self._timeline.after(max(0.25, pause), self._tick)

    def _take_events(self) -> None:
        events = self.master_link.events
        if not events:
            return
        self.master_link.events = []
        for event in events:
            if event is LinkEvent.FAILED:
                raise Violation(f"{self.name} gives up: {self.master_link.error}")
            if event in (LinkEvent.READY, LinkEvent.FORGOTTEN):
                self._welcomed(is_forgotten=event is LinkEvent.FORGOTTEN)

    def _welcomed(self, *, is_forgotten: bool) -> None:
        self._traffic.welcomed(forgotten=is_forgotten)
        if is_forgotten:
            self.manager.apply(self.manager.slots.abandon())
        if self._drain_state.is_on:
            self._traffic.say(Parcel(self._drain_state))
        self._detach()
        self._attach()

    def _attach(self) -> None:
        welcome = self.master_link.welcome
        if welcome is not None and welcome.work_address and not self._drain_state.is_on and self.pipe is None:
            self.pipe = self._queue().attach(self.link, self._readable)

    def _detach(self) -> None:
        if self.pipe is not None:
            self._queue().close(self.pipe)
            self.pipe = None

    def conclude(self) -> None:
        """The end of an event: what is to be told leaves."""
        link = self.master_link
        if link.wants_reconnect:
            link.wants_reconnect = False
            self.exchange.lost()
            self.link.reconnect()
        self.exchange.send(
            lambda: self._traffic.take(self.manager.slots.chunks), self._timeline.now, self._traffic.take_claims
        )
        if self._drain_state.stops and not self.is_gone:
            has_more = self.manager.slots.chunks or self._traffic.waits
            if not has_more and self.exchange.settle(self._timeline.now):
                self.leave()

    def _hello(self, resumes: bool) -> Hello:
        plan = self.plan
        labels = dict(plan.labels)
        slots = self.manager.slots
        chunks, left = self._traffic.held(slots.chunks, slots.left)
        description = SlaveDescription(
            plan.workers,
            slots.credit,
            plan.workers,
            1 << 30,
            "simulated",
            plan.score,
            "virtual",
            labels,
        )
        return Hello(
            PROTOCOL_VERSION, "simulated", self.kind, self.node, self._session, self.name, "3", 1, resumes=resumes,
            slave=description, chunks=chunks, left=left, drains=self._drain_state.is_on,
        )  # fmt: skip

    def say(self, parcel: Parcel[FromSlave]) -> None:
        """Tell the master something, at the end of this event."""
        self._traffic.say(parcel)

    # --- the work socket ---

    def changed(self) -> None:
        """There may be room for work."""
        if self.pipe is not None and self.pipe.arrived:
            self._timeline.after(0.0, self._readable_later)

    def _readable_later(self, _: Any) -> None:
        self._readable()

    def _readable(self) -> None:
        self.do(self._pull, None)

    def _pull(self, _: Any) -> None:
        pipe = self.pipe
        if pipe is None or not pipe.arrived:
            return
        chunks: list[Parcel[Any]] = []
        while self.manager.slots.room > len(chunks):
            payload = self._queue().pull(pipe)
            if payload is None:
                break
            chunks += self._world.network.decoded(_to_slave, payload)
        if chunks:
            self._traffic.say(Parcel(Claimed([chunk.message.chunk for chunk in chunks])))
            for chunk in chunks:
                self.manager.apply(self.manager.slots.assign(chunk))
            self.conclude()
