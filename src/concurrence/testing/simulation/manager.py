"""A slave's workers in virtual time: the production state machine, and what carries out its instructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Protocol

from concurrence.testing.simulation.worker import NOTICE, SimulatedWorker
from concurrence.testing.simulation.workload import SlavePlan
from concurrence.testing.simulation.world import World
from concurrence.wire.codec import Parcel, decoder_from_worker, decoder_to_worker, encode
from concurrence.wire.messages import (
    Assign,
    ChunkResults,
    DefineBundle,
    DefineFunction,
    ForgetFunction,
    FromSlave,
    TakeBack,
)
from concurrence.workers.slot_state import (
    DismissWorker,
    Instruction,
    InterruptTask,
    KillWorker,
    SendToWorker,
    SendUpstream,
    StartWorker,
)
from concurrence.workers.slots import Slots

SILENCE = 0.02
"""A worker that says nothing for so long is looked at, if there is something to be seen."""

_MAX_TASKS = 40  # of a worker, after which it is replaced
_GRACE_SECONDS = 0.5
_START_SECONDS = 0.02
_DEATH_SECONDS = 0.001
_EXIT = "worker process {} was killed by signal 9"

_to_worker = decoder_to_worker()
_from_worker = decoder_from_worker()


class IHost(Protocol):
    """The slave, as its task manager knows it."""

    def say(self, parcel: Parcel[FromSlave]) -> None:
        """Tell the master something."""
        ...

    def do(self, action: Callable[[Any], None], argument: Any) -> None:
        """Let the slave's process do something, once it runs."""
        ...

    def changed(self) -> None:
        """There may be room for work."""
        ...

    def conclude(self) -> None:
        """The end of an event: what is to be told leaves."""
        ...


class SimulatedManager:
    """Does what :class:`concurrence.workers.generic.GenericTaskManager` does, with processes that are none.

    Args:
        world: What it is part of.
        plan: The slave's machine.
        host: The slave.

    Attributes:
        slots: The state machine.
        workers: The processes that run, by number.
        is_stopped: Whether the slave is gone.
    """

    def __init__(self, world: World, plan: SlavePlan, host: IHost) -> None:
        self.slots = Slots(plan.workers, grace=_GRACE_SECONDS, max_tasks=_MAX_TASKS)
        self.workers: dict[int, SimulatedWorker] = {}
        self.is_stopped = False
        self._world = world
        self._timeline = world.timeline
        self._plan = plan
        self._host = host
        self._checked = world.scenario.check_every > 0
        self._codec = world.scenario.codec

    def handle(self, parcel: Parcel[Any]) -> None:
        """A message of the master."""
        message = parcel.message
        slots = self.slots
        if isinstance(message, Assign):
            self.apply(slots.assign(Parcel(message, parcel.frames)))
        elif isinstance(message, DefineFunction | DefineBundle):
            self.apply(slots.define(parcel))
        elif isinstance(message, ForgetFunction):
            self.apply(slots.forget(parcel))
        elif isinstance(message, TakeBack):
            self.apply(slots.take_back(message.chunk, kill=message.kill))

    def stop(self) -> None:
        """The slave's process ends, and its workers with it."""
        self.is_stopped = True
        for worker in self.workers.values():
            worker.die()

    def kill_worker(self, number: int) -> None:
        """Somebody kills a worker."""
        self._timeline.after(0.0, self._worker_died, self.workers.get(number))

    def apply(self, instructions: Sequence[Instruction]) -> None:
        """Carry out what the state machine says."""
        for instruction in instructions:
            if isinstance(instruction, SendUpstream):
                self._host.say(instruction.parcel)
            elif isinstance(instruction, SendToWorker):
                self._give(instruction)
            elif isinstance(instruction, StartWorker):
                delay = instruction.delay + _START_SECONDS * (1 + self._world.random.random())
                self._timeline.after(delay, self._start_worker, instruction.worker)
            elif isinstance(instruction, KillWorker):
                self._timeline.after(_DEATH_SECONDS, self._worker_died, self.workers.get(instruction.worker))
            elif isinstance(instruction, InterruptTask):
                worker = self.workers[instruction.worker]
                worker.interrupt(instruction.chunk, instruction.index, instruction.status)
            elif isinstance(instruction, DismissWorker):
                self._timeline.after(_DEATH_SECONDS, self._worker_died, self.workers.get(instruction.worker))
            else:
                self._stop_chunk(self.workers[instruction.worker], instruction.chunk)
        if self._checked:
            self.slots.sanity_check()
        self._plan_looks()
        self._host.changed()

    def _stop_chunk(self, worker: SimulatedWorker, chunk: int) -> None:
        if chunk not in worker.stops:
            worker.stop(chunk)
            self._timeline.after(NOTICE, self._noticed, worker)

    def _noticed(self, worker: SimulatedWorker) -> None:
        self._host.do(self._look, worker)

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
        if not self.is_stopped:
            self.workers[number] = SimulatedWorker(
                self._world, number, self._plan.speed, self._worker_says, self._worker_died
            )
            self._host.do(self._worker_ready, number)

    def _worker_ready(self, number: int) -> None:
        self.apply(self.slots.worker_ready(number))
        self._host.conclude()

    def _worker_says(self, worker: SimulatedWorker, parcel: Parcel[ChunkResults]) -> None:
        self._timeline.after(0.0, self._worker_said, (worker, parcel))

    def _worker_said(self, said: tuple[SimulatedWorker, Parcel[ChunkResults]]) -> None:
        self._host.do(self._take_results, said)

    def _take_results(self, said: tuple[SimulatedWorker, Parcel[ChunkResults]]) -> None:
        worker, parcel = said
        if self.workers.get(worker.number) is not worker:
            return
        if self._codec:
            decoded: list[Parcel[Any]] = _from_worker.decode(encode([parcel]))
            parcel = decoded[0]
        self.apply(self.slots.worker_results(worker.number, parcel))
        self._host.conclude()

    def _worker_died(self, worker: SimulatedWorker | None) -> None:
        if worker is None or worker.is_dead or self.is_stopped:
            return
        seen = worker.look()
        worker.die()
        # What it sent before is read before its death is looked into.
        self._timeline.after(0.0, self._worker_exited, (worker, seen))

    def _worker_exited(self, dead: tuple[SimulatedWorker, Any]) -> None:
        self._host.do(self._replace, dead)

    def _replace(self, dead: tuple[SimulatedWorker, Any]) -> None:
        worker, seen = dead
        if self.workers.get(worker.number) is not worker:
            return
        del self.workers[worker.number]
        text = _EXIT.format(worker.number)
        self.apply(self.slots.worker_exited(worker.number, seen, text, 1 << 20, "last words"))
        self._host.conclude()

    # --- looking into cells ---

    def _plan_looks(self) -> None:
        """The node looks at silent workers every 20 ms; here only when there will be something to be seen."""
        states = self.slots.states
        is_anybody_idle: bool | None = None
        now = self._timeline.now
        for number, worker in self.workers.items():
            state, chunk = states.get(number), worker.chunk
            if chunk is None or state is None or state.is_killed:
                continue  # what has nothing to run has nothing to show
            when = inf
            if worker.stops:
                when = now + SILENCE
            elif len(state.chunks) > 1 and len(states) > 1:
                if is_anybody_idle is None:
                    is_anybody_idle = any(each.is_idle for each in states.values())
                when = now + SILENCE if is_anybody_idle else inf
            if len(worker.ends) > 1 and worker.ends[-1] > now + SILENCE:
                when = min(when, max(worker.next_end(), now + SILENCE))
            timeout = chunk.parcel.message.timeout
            if timeout > 0:
                when = min(when, worker.overdue_at(timeout) + 1e-6)
            if when == inf:
                continue
            when = max(when, now, worker.looked_at + SILENCE)
            if when < worker.look_at:
                worker.look_at = when
                self._timeline.at(when, self._look_later, worker)

    def _look_later(self, worker: SimulatedWorker) -> None:
        if worker.look_at <= self._timeline.now:
            worker.look_at = inf
            self._host.do(self._look, worker)

    def _look(self, worker: SimulatedWorker) -> None:
        state = self.slots.states.get(worker.number)
        if worker.is_dead or state is None or self.workers.get(worker.number) is not worker:
            return
        worker.looked_at = self._timeline.now
        self.apply(self.slots.worker_seen(worker.number, worker.look()))
        state = self.slots.states.get(worker.number)
        if state is not None:
            worker.forget_stops({chunk.number for chunk in state.chunks})
        self._host.conclude()
        self._plan_looks()
