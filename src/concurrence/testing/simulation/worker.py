"""A worker process in virtual time: works off its chunks in order, and has a cell that its slave looks into."""

from __future__ import annotations

import pickle
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from math import inf

from concurrence.testing.simulation.api import Violation
from concurrence.testing.simulation.workload import FAILS, HANGS, KILLS, ClientTasks, is_large_result
from concurrence.testing.simulation.world import World
from concurrence.wire.codec import Parcel, encode_results
from concurrence.wire.faults import KIND_CANCELLED, KIND_EXCEPTION, KIND_TIMEOUT, Fault, encode_fault
from concurrence.wire.messages import CANCELLED, EXPIRED, FAILED, FINISHED, RETURNED, ChunkResults, PackedResult
from concurrence.workers.slot_state import Chunk, Drained, Recorded, Seen

NOTICE = 0.005
"""Seconds within which a worker has taken notice of a stop."""

_STOP_ENTRIES = 8
_BEGIN_SECONDS = 0.00002  # before the first task of a chunk
_INTERRUPT_SECONDS = 0.002
INTERRUPTED = 100
"""Behind it the status with which a task ends that was asked to."""
_INTERRUPTIONS = {
    EXPIRED: encode_fault(Fault(KIND_TIMEOUT, "it took too long")),
    CANCELLED: encode_fault(Fault(KIND_CANCELLED, "it was cancelled")),
}
_FAILURE = encode_fault(Fault(KIND_EXCEPTION, "it was to fail"))

Says = Callable[["SimulatedWorker", Parcel[ChunkResults]], None]


class SimulatedWorker:
    """One worker.

    Args:
        world: What it is part of.
        number: Its number.
        speed: How fast its machine is.
        says: Called with results.
        dies: Called when a task killed it.

    Attributes:
        stops: The chunks that it was told to stop, and since when.
        chunk: The one that it is at.
        ends: When each task of it ends.
    """

    def __init__(
        self, world: World, number: int, speed: float, says: Says, dies: Callable[[SimulatedWorker], None]
    ) -> None:
        self.number = number
        self.stops: dict[int, float] = {}
        self.functions: set[int] = set()
        self.is_dead = False
        self.chunk: Chunk | None = None
        self.ends: list[float] = []
        self.look_at = inf
        self.looked_at = -inf
        self._world = world
        self._speed = speed
        self._says = says
        self._dies = dies
        self._waiting: deque[Chunk] = deque()
        self._cell_stops: deque[int] = deque(maxlen=_STOP_ENTRIES)  # the slave forgets, the cell does not
        self._tasks: ClientTasks
        self._began = 0.0
        self._outcomes: list[int] = []
        self._last: int | None = None
        self._drained = self._counted = 0
        self._plan = 0

    def give(self, chunk: Chunk) -> None:
        """A chunk is sent to it."""
        if chunk.parcel.message.function not in self.functions:
            raise Violation(f"worker {self.number} is to run a function that it was not told")
        self._waiting.append(chunk)
        self._begin_next()

    def stop(self, chunk: int) -> None:
        """Start no further task of a chunk."""
        now = self._world.timeline.now
        self.stops.setdefault(chunk, now)
        if chunk not in self._cell_stops:
            self._cell_stops.append(chunk)
        if self.chunk is not None and self.chunk.number == chunk:
            kept = self._done(now) + 1
            if kept < len(self.ends):
                del self.ends[kept:], self._outcomes[kept:]
                self._expect_end()

    def interrupt(self, chunk: int, index: int, status: int) -> None:
        """A running task is asked to end; one in three does not listen."""
        now = self._world.timeline.now
        here = self.chunk
        if here is None or here.number != chunk or self._done(now) != index or index >= len(self.ends):
            return
        if here.counters()[index] % 3 == 0 or self._outcomes[index] >= INTERRUPTED:
            return
        del self.ends[index:], self._outcomes[index:]
        end = now + _INTERRUPT_SECONDS
        self.ends.append(end)
        self._outcomes.append(INTERRUPTED + status)
        if chunk not in self._cell_stops:
            self._plan_tasks(here, end)
        self._expect_end()

    def forget_stops(self, chunks: set[int]) -> None:
        """Drop the stops of other chunks than these."""
        self.stops = {chunk: since for chunk, since in self.stops.items() if chunk in chunks}

    def look(self) -> Seen:
        """What its slave sees in its cell now."""
        now = self._world.timeline.now
        stopped = {chunk for chunk, since in self.stops.items() if now - since >= NOTICE - 1e-9}
        if self.chunk is None:
            return Seen(self._last, None, Drained(self._last, []), stopped)
        done = self._done(now)
        counters = self.chunk.counters()
        recorded = [Recorded(counters[at], *self._result(at)) for at in range(self._drained, done)]
        self._drained = max(self._drained, done)
        self._count(done)
        running = done if done < len(self.ends) else None
        return Seen(self._last, running, Drained(self._last, recorded), stopped, now - self._start_of(done))

    def overdue_at(self, timeout: float) -> float:
        """When a task of the present chunk has run for too long; infinity if none will have."""
        at = self._done(self._world.timeline.now)
        for index in range(at, len(self.ends)):
            start = self._start_of(index)
            if self.ends[index] - start > timeout:
                return start + timeout
        return inf

    def next_end(self) -> float:
        """When the running task ends, if others follow it in its chunk; infinity if none do."""
        done = self._done(self._world.timeline.now)
        return self.ends[done] if done + 1 < len(self.ends) else inf

    def die(self) -> None:
        """The process ends, whatever it is at."""
        self.is_dead = True
        self._plan += 1
        if self.chunk is None:
            return
        done = self._done(self._world.timeline.now)
        self._count(done)
        if done < len(self.ends):
            self._world.executed += 1
            number = self.chunk.counters()[done]
            self._tasks.note(self._tasks.deaths, number)
            if self._outcomes[done] == KILLS:
                self._tasks.note(self._tasks.tries, number)

    # --- inside ---

    def _done(self, now: float) -> int:
        """How many tasks of the chunk are over."""
        return bisect_right(self.ends, now)

    def _start_of(self, index: int) -> float:
        return self.ends[index - 1] if index > 0 else self._began

    def _begin_next(self) -> None:
        while self.chunk is None and self._waiting and not self.is_dead:
            chunk = self._waiting.popleft()
            self._last = chunk.number
            self._drained = self._counted = 0
            if chunk.number in self._cell_stops:
                self.ends, self._outcomes = [], []
                self._says(self, self._results(chunk, 0.0))
                continue
            self.chunk = chunk
            self._begin(chunk)

    def _begin(self, chunk: Chunk) -> None:
        self._tasks = self._world.workload.by_system[chunk.parcel.message.system]
        self._began = self._world.timeline.now + _BEGIN_SECONDS
        self.ends, self._outcomes = [], []
        self._plan_tasks(chunk, self._began)
        self._expect_end()

    def _plan_tasks(self, chunk: Chunk, end: float) -> None:
        """Say how it goes on with the chunk behind what is planned already."""
        tasks = self._tasks
        for number in chunk.counters()[len(self.ends) :]:
            outcome = tasks.outcome(number)
            end = inf if outcome == HANGS else end + tasks.seconds[number] / self._speed
            self.ends.append(end)
            self._outcomes.append(outcome)
            if outcome in (KILLS, HANGS):
                break

    def _expect_end(self) -> None:
        self._plan += 1
        if self.ends[-1] < inf:
            self._world.timeline.at(self.ends[-1], self._ended, self._plan)

    def _ended(self, plan: int) -> None:
        chunk = self.chunk
        if plan != self._plan or chunk is None:
            return
        if self._outcomes[-1] == KILLS:
            self.ends[-1] = inf  # it never comes to its end: it runs while the worker dies
            self._dies(self)
            return
        self._count(len(self.ends))
        results = self._results(chunk, self.ends[-1] - self._began)
        self.chunk = None
        self._says(self, results)
        self._begin_next()

    def _count(self, done: int) -> None:
        """Note what the tasks before this one came to."""
        chunk = self.chunk
        if chunk is None:
            return
        for index in range(self._counted, done):
            number = chunk.counters()[index]
            self._world.executed += 1
            self._tasks.note(self._tasks.tries, number)
            if self._outcomes[index] not in (FAILS, KILLS, HANGS) and self._outcomes[index] < INTERRUPTED:
                if not self._tasks.completed[number]:
                    self._world.useful += self.ends[index] - self._start_of(index)
                self._tasks.note(self._tasks.completed, number)
        self._counted = max(self._counted, done)

    def _result(self, index: int) -> tuple[int, bytes]:
        outcome = self._outcomes[index]
        if outcome == FAILS:
            return FAILED, _FAILURE
        if outcome >= INTERRUPTED:
            return outcome - INTERRUPTED, _INTERRUPTIONS[outcome - INTERRUPTED]
        chunk = self.chunk
        number = chunk.counters()[index] if chunk is not None else 0
        ballast = self._world.scenario.payload if is_large_result(self._world.scenario, number) else 0
        return FINISHED, pickle.dumps(number, 5) + bytes(ballast)  # behind its end a pickle may have anything

    def _results(self, chunk: Chunk, busy: float) -> Parcel[ChunkResults]:
        counters = chunk.counters()
        ran = len(self.ends)
        statuses = bytearray()
        entries: list[PackedResult] = []
        for index in range(ran):
            status, payload = self._result(index)
            statuses.append(status)
            entries.append(PackedResult(payload))
        statuses.extend(bytes([RETURNED]) * (len(counters) - ran))
        entries.extend([PackedResult(b"")] * (len(counters) - ran))
        message = ChunkResults(1, chunk.number, list(counters), bytes(statuses), busy)
        return Parcel(message, [encode_results(entries)])
