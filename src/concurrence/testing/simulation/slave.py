"""A slave in virtual time: the production state machine of its workers, its link, and what it has to tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from concurrence.nodes.master_link import LinkEvent, LinkState, MasterLink
from concurrence.nodes.slave_traffic import SlaveTraffic
from concurrence.testing.simulation.api import Violation
from concurrence.testing.simulation.network import Link
from concurrence.testing.simulation.work_queue import Pipe, WorkQueue
from concurrence.testing.simulation.worker import NOTICE, SimulatedWorker
from concurrence.testing.simulation.workload import SlavePlan
from concurrence.testing.simulation.world import World
from concurrence.wire.codec import Parcel, decoder_from_worker, decoder_to_slave, decoder_to_worker, encode
from concurrence.wire.messages import (
    PROTOCOL_VERSION,
    Assign,
    Bye,
    ChunkResults,
    Claimed,
    DefineBundle,
    DefineFunction,
    ForgetFunction,
    Hello,
    Pause,
    SlaveDescription,
    TakeBack,
)
from concurrence.workers.slot_state import (
    Instruction,
    KillWorker,
    SendToWorker,
    SendUpstream,
    StartWorker,
    StopChunk,
)
from concurrence.workers.slots import Slots

SILENCE = 0.02
"""A worker that says nothing for so long is looked at, if there is something to be seen."""

_START_SECONDS = 0.02
_DEATH_SECONDS = 0.001
_EXIT = "worker process {} was killed by signal 9"

_to_slave = decoder_to_slave()
_to_worker = decoder_to_worker()
_from_worker = decoder_from_worker()


class SimulatedSlave:
    """One slave, from the start of its process to its end.

    Args:
        world: What it is part of.
        name: What people see.
        plan: Its machine.
        queue: Tells the work socket that is there now.
    """

    kind = "slave"

    def __init__(self, world: World, name: str, plan: SlavePlan, queue: Callable[[], WorkQueue]) -> None:
        self.name = name
        self.node = world.identity()
        self.plan = plan
        self.is_gone = False
        self.workers: dict[int, SimulatedWorker] = {}
        self.slots = Slots(plan.workers)
        self.pipe: Pipe | None = None
        self._world = world
        self._timeline = world.timeline
        self._queue = queue
        self._session = world.identity()
        self._checked = world.scenario.check_every > 0
        self._codec = world.scenario.codec
        self._frozen = False
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []
        self._traffic = SlaveTraffic()
        self._born = world.timeline.now
        self._ticking = False
        self.master_link = MasterLink(self._hello, "the master", world.timeline.now, patience=None)
        self.link = Link(world.network, self, _to_slave, world.scenario.latency * (1 + world.random.random()))
        self._apply(self.slots.start())
        self.link.connect(world.random.random() * 0.05)

    def __repr__(self) -> str:
        states = self.slots.states
        return (
            f"{self.name}: link {self.master_link.state.value}{', frozen' if self._frozen else ''}"
            f"{', cut off' if self.link.is_cut else ''}, chunks {self.slots.chunks}, workers {states}"
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
        if self.master_link.ready:
            self.link.send([*self._traffic.take(()), Parcel(Bye("the slave stops"))])
        self._end()
        self.link.leave()

    def _end(self) -> None:
        self.is_gone = True
        self._world.workers += (self._timeline.now - self._born) * self.plan.workers
        self._detach()
        for worker in self.workers.values():
            worker.die()

    def count_time(self) -> None:
        """The simulation ends: its workers' time counts up to the end of the last task."""
        if not self.is_gone:
            self._world.workers += max(0.0, self._world.last_end - self._born) * self.plan.workers

    def kill_worker(self, number: int) -> None:
        """Somebody kills one of its workers."""
        self._timeline.after(0.0, self._worker_died, self.workers.get(number))

    # --- the network ---

    def _do(self, action: Callable[[Any], None], argument: Any) -> None:
        """Let the slave's process do something, once it runs."""
        if self.is_gone:
            return
        if self._frozen:
            self._waiting.append((action, argument))
        else:
            action(argument)

    def connection(self, event: str) -> None:
        """Its connection was made or broke."""
        self._do(self._connection, event)

    def _connection(self, event: str) -> None:
        self.master_link.connection(event, self._timeline.now)
        self._take_events()
        self._conclude()
        if not self._ticking:
            self._ticking = True
            self._timeline.after(0.25, self._tick)

    def receive(self, parcels: list[Parcel[Any]]) -> None:
        """Messages of the master."""
        self._do(self._received, parcels)

    def _received(self, parcels: list[Parcel[Any]]) -> None:
        link, now = self.master_link, self._timeline.now
        story = self._world.story
        for parcel in parcels:
            if story.is_kept:
                story.tell("master -> {}: {}", self.name, parcel)
            if link.message(parcel.message, now):
                self._take_events()
            else:
                self._handle(parcel)
        self._conclude()

    def _handle(self, parcel: Parcel[Any]) -> None:
        message = parcel.message
        slots = self.slots
        if isinstance(message, Assign):
            self._apply(slots.assign(Parcel(message, parcel.frames)))
        elif isinstance(message, DefineFunction | DefineBundle):
            self._apply(slots.define(parcel))
        elif isinstance(message, ForgetFunction):
            self._apply(slots.forget(parcel))
        elif isinstance(message, TakeBack):
            self._apply(slots.take_back(message.chunk, kill=message.kill))
        elif isinstance(message, Pause):
            self._detach()
            if not message.paused:
                self._attach()

    def _tick(self, _: Any) -> None:
        self._do(self._ticked, None)

    def _ticked(self, _: Any) -> None:
        if not self._world.scenario.heartbeats:
            return
        link = self.master_link
        link.tick(self._timeline.now)
        self._take_events()
        self._conclude()
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
            self._apply(self.slots.abandon())
        self._detach()
        self._attach()

    def _attach(self) -> None:
        welcome = self.master_link.welcome
        if welcome is not None and welcome.work_address:
            self.pipe = self._queue().attach(self.link, self._readable)

    def _detach(self) -> None:
        if self.pipe is not None:
            self._queue().close(self.pipe)
            self.pipe = None

    def _conclude(self) -> None:
        link = self.master_link
        if link.wants_reconnect:
            link.wants_reconnect = False
            self.link.reconnect()
        parcels: list[Parcel[Any]] = []
        if link.outgoing:
            parcels = [Parcel(message) for message in link.outgoing]
            link.outgoing = []
        if link.ready:
            parcels += self._traffic.take(self.slots.chunks)
        if parcels and self.link.current is not None:
            self.link.send(parcels)
            link.sent(self._timeline.now)

    def _hello(self, resumes: bool) -> Hello:
        plan = self.plan
        labels = dict(plan.labels)
        description = SlaveDescription(
            plan.workers, self.slots.credit, plan.workers, 1 << 30, "simulated", plan.score, "virtual", labels
        )
        return Hello(
            PROTOCOL_VERSION, "simulated", self.kind, self.node, self._session, self.name, "3", 1, resumes=resumes,
            slave=description, chunks=self._traffic.held(self.slots.chunks),
        )  # fmt: skip

    # --- the work socket ---

    def _readable(self) -> None:
        self._do(self._pull, None)

    def _pull(self, _: Any) -> None:
        pipe = self.pipe
        if pipe is None or not pipe.arrived:
            return
        chunks: list[Parcel[Any]] = []
        while self.slots.held + len(chunks) < self.slots.credit:
            payload = self._queue().pull(pipe)
            if payload is None:
                break
            chunks += self._world.network.decoded(_to_slave, payload)
        if chunks:
            self._traffic.say(Parcel(Claimed([chunk.message.chunk for chunk in chunks])))
            for chunk in chunks:
                self._apply(self.slots.assign(chunk))
            self._conclude()

    # --- the workers ---

    def _apply(self, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, SendUpstream):
                self._traffic.say(instruction.parcel)
            elif isinstance(instruction, SendToWorker):
                self._give(instruction)
            elif isinstance(instruction, StartWorker):
                delay = instruction.delay + _START_SECONDS * (1 + self._world.random.random())
                self._timeline.after(delay, self._start_worker, instruction.worker)
            elif isinstance(instruction, KillWorker):
                self._timeline.after(_DEATH_SECONDS, self._worker_died, self.workers.get(instruction.worker))
            elif isinstance(instruction, StopChunk):
                self._stop_chunk(self.workers[instruction.worker], instruction.chunk)
            # The others are for workers that are given grace, or that wear: here they are killed, and do not.
        if self._checked:
            self.slots.sanity_check()
        self._plan_looks()
        if self.pipe is not None and self.pipe.arrived:
            self._timeline.after(0.0, self._readable_later)

    def _stop_chunk(self, worker: SimulatedWorker, chunk: int) -> None:
        if chunk not in worker.stops:
            worker.stop(chunk)
            self._timeline.after(NOTICE, self._noticed, worker)

    def _noticed(self, worker: SimulatedWorker) -> None:
        self._do(self._look, worker)

    def _readable_later(self, _: Any) -> None:
        self._readable()

    def _give(self, instruction: SendToWorker) -> None:
        worker = self.workers[instruction.worker]
        parcels: Sequence[Parcel[Any]] = instruction.parcels
        if self._codec:
            parcels = _to_worker.decode(encode(parcels))
        for parcel in parcels:
            message = parcel.message
            if isinstance(message, Assign):
                chunks = self.slots.states[instruction.worker].chunks
                worker.give(next(chunk for chunk in chunks if chunk.number == message.chunk))
            elif isinstance(message, DefineFunction):
                worker.functions.add(message.number)
            elif isinstance(message, ForgetFunction):
                worker.functions.discard(message.number)

    def _start_worker(self, number: int) -> None:
        if not self.is_gone:
            self.workers[number] = SimulatedWorker(
                self._world, number, self.plan.speed, self._worker_says, self._worker_died
            )
            self._do(self._worker_ready, number)

    def _worker_ready(self, number: int) -> None:
        self._apply(self.slots.worker_ready(number))
        self._conclude()

    def _worker_says(self, worker: SimulatedWorker, parcel: Parcel[ChunkResults]) -> None:
        self._timeline.after(0.0, self._worker_said, (worker, parcel))

    def _worker_said(self, said: tuple[SimulatedWorker, Parcel[ChunkResults]]) -> None:
        self._do(self._take_results, said)

    def _take_results(self, said: tuple[SimulatedWorker, Parcel[ChunkResults]]) -> None:
        worker, parcel = said
        if self.workers.get(worker.number) is not worker:
            return
        if self._codec:
            decoded: list[Parcel[Any]] = _from_worker.decode(encode([parcel]))
            parcel = decoded[0]
        self._apply(self.slots.worker_results(worker.number, parcel))
        self._conclude()

    def _worker_died(self, worker: SimulatedWorker | None) -> None:
        if worker is None or worker.is_dead or self.is_gone:
            return
        seen = worker.look()
        worker.die()
        # What it sent before is read before its death is looked into.
        self._timeline.after(0.0, self._worker_exited, (worker, seen))

    def _worker_exited(self, dead: tuple[SimulatedWorker, Any]) -> None:
        self._do(self._replace, dead)

    def _replace(self, dead: tuple[SimulatedWorker, Any]) -> None:
        worker, seen = dead
        if self.workers.get(worker.number) is not worker:
            return
        del self.workers[worker.number]
        text = _EXIT.format(worker.number)
        self._apply(self.slots.worker_exited(worker.number, seen, text, 1 << 20, "last words"))
        self._conclude()

    # --- looking into cells ---

    def _plan_looks(self) -> None:
        """The node looks at silent workers every 20 ms; here only when there will be something to be seen."""
        states = self.slots.states
        is_anybody_idle = len(states) > 1 and any(state.is_idle for state in states.values())
        now = self._timeline.now
        for number, worker in self.workers.items():
            state = states.get(number)
            if state is None or state.is_killed or worker.chunk is None:
                continue  # what has nothing to run has nothing to show
            is_awaited = worker.stops or (is_anybody_idle and len(state.chunks) > 1)
            when = now + SILENCE if is_awaited else inf
            if len(worker.ends) > 1 and worker.ends[-1] > now + SILENCE:
                when = min(when, max(worker.next_end(), now + SILENCE))
            timeout = worker.chunk.parcel.message.timeout
            if timeout > 0:
                when = min(when, worker.overdue_at(timeout) + 1e-6)
            when = max(when, now, worker.looked_at + SILENCE)
            if when < worker.look_at:
                worker.look_at = when
                self._timeline.at(when, self._look_later, worker)

    def _look_later(self, worker: SimulatedWorker) -> None:
        if worker.look_at <= self._timeline.now:
            worker.look_at = inf
            self._do(self._look, worker)

    def _look(self, worker: SimulatedWorker) -> None:
        state = self.slots.states.get(worker.number)
        if worker.is_dead or state is None or self.workers.get(worker.number) is not worker:
            return
        worker.looked_at = self._timeline.now
        self._apply(self.slots.worker_seen(worker.number, worker.look()))
        state = self.slots.states.get(worker.number)
        if state is not None:
            worker.forget_stops({chunk.number for chunk in state.chunks})
        self._conclude()
        self._plan_looks()
