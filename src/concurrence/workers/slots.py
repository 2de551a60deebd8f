"""The state machine of a slave's workers: events in, instructions out; no socket, process or clock in it.

A chunk is at exactly one place: *blocked* because its function is unknown here, *waiting* for a worker, or at
a worker, which has at most :data:`WINDOW` of them and works them off in order. It leaves when each of its
tasks has been answered once, or as lost together with the tasks that are not answered yet. Tasks are
decoded only when something went wrong; results are forwarded as they came.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    EXPIRED,
    Assign,
    ChunkResults,
    DefineBundle,
    DefineFunction,
    ForgetFunction,
    NeedFunction,
)
from concurrence.workers.definitions import Definitions
from concurrence.workers.slot_checks import check_slots
from concurrence.workers.slot_results import expired_result, recorded_results, returned_results, without
from concurrence.workers.slot_state import (
    Asked,
    Chunk,
    Instruction,
    InterruptTask,
    KillWorker,
    Seen,
    SendToWorker,
    SendUpstream,
    StopChunk,
    WorkerState,
    lost,
    unwanted,
)
from concurrence.workers.socket_order import next_behind, unstarted
from concurrence.workers.succession import Succession
from concurrence.workers.wide import LONG_SECONDS, NEW, is_any_idle, leave_worker, weight_of, workers_for

WINDOW: Final = 2
"""Chunks at one worker: one that runs, and one that waits in its socket so that the worker never does."""


class Slots:
    """What the workers of a slave have to do.

    Every event returns the instructions that follow from it, to be carried out in order.

    Args:
        workers: How many there are.
        grace: Seconds that a task has to end by itself when it was asked to, before its worker is killed.
        max_tasks: After how many tasks a worker is replaced by a new one, between two chunks; 0 for never.
    """

    def __init__(self, workers: int, *, grace: float = 0.0, max_tasks: int = 0) -> None:
        self.workers = workers
        self.grace = grace
        self._out: list[Instruction] = []
        self._succession = Succession(self._out.append, max_tasks)
        self._states = self._succession.states
        self._chunks: dict[int, Chunk] = {}
        self._waiting: deque[Chunk] = deque()
        self._blocked: dict[int, list[Chunk]] = {}
        self._code = Definitions()
        self._seconds = 0.0  # that a chunk took lately
        self._is_draining = False

    @property
    def credit(self) -> int:
        """How many chunks are taken at once; more are given back."""
        return WINDOW * self.workers

    @property
    def held(self) -> int:
        """How many chunks are here."""
        return len(self._chunks)

    @property
    def room(self) -> int:
        """How many more chunks may be pulled: none to wait while chunks take long, and fewer beside wide ones."""
        window = 1 if self._seconds >= LONG_SECONDS else WINDOW
        return window * self.workers - sum(weight_of(chunk, window) for chunk in self._chunks.values())

    @property
    def chunks(self) -> list[int]:
        """The numbers of the chunks that are here."""
        return list(self._chunks)

    def left(self, number: int) -> list[int]:
        """The tasks of a chunk that are here and were not answered yet."""
        return self._chunks[number].left if number in self._chunks else []

    @property
    def states(self) -> dict[int, WorkerState]:
        """The workers that run or are to be started, by number; for reading."""
        return self._states

    # --- events: the slave ---------------------------------------------------------------------------------

    def start(self) -> list[Instruction]:
        """The slave starts: so do all workers."""
        for _ in range(self.workers):
            self._succession.start()
        return self._taken()

    def define(self, parcel: Parcel[DefineBundle] | Parcel[DefineFunction]) -> list[Instruction]:
        """The master sent a definition; what waits for it goes on."""
        message = parcel.message
        if isinstance(message, DefineBundle):
            self._code.add_bundle(Parcel(message, parcel.frames))
            return []
        is_awaited = message.number in self._blocked
        if not self._code.is_usable(message, is_awaited=is_awaited):
            # As good as unknown: to ask for it brings it with what is missing.
            if is_awaited:
                missing = self._code.missing(message)
                self._out.append(SendUpstream(Parcel(NeedFunction(message.number, missing))))
            self._forget(message.number)
            self._dispatch()
            return self._taken()
        self._code.add_function(Parcel(message, parcel.frames), self._states.values())
        self._waiting.extend(self._blocked.pop(message.number, ()))
        self._dispatch()
        return self._taken()

    def forget(self, parcel: Parcel[ForgetFunction]) -> list[Instruction]:
        """The master will not use a function again."""
        self._forget(parcel.message.number)
        self._code.forget_incomplete(parcel.message.number)
        self._dispatch()
        return self._taken()

    def assign(self, parcel: Parcel[Assign]) -> list[Instruction]:
        """The master assigned a chunk, or it was pulled from the work queue.

        Raises:
            ProtocolError: Its body is malformed; nothing was changed.
        """
        message = parcel.message
        if message.chunk in self._chunks:
            return []
        chunk = Chunk(parcel)
        if self._is_draining or len(self._chunks) >= 2 * self.credit:
            # Twice, because directed and pulled chunks cross; beyond that the bound on memory comes first.
            self._return(chunk, chunk.counters())
            return self._taken()
        self._chunks[message.chunk] = chunk
        self._place(chunk)
        self._dispatch()
        return self._taken()

    def take_back(self, number: int, *, kill: bool) -> list[Instruction]:
        """The master wants back what has not started of a chunk, and with ``kill`` an end of what has."""
        chunk = self._chunks.get(number)
        if chunk is None:
            return []
        if chunk.worker is None:
            self._unplace(chunk)
            self._return(chunk, chunk.counters())
            if not self._is_draining:
                self._dispatch()  # it may have waited for several workers, and others behind it
        else:
            chunk.is_stopping = True
            chunk.is_killed = chunk.is_killed or kill
            self._out.append(StopChunk(chunk.worker, number))
        return self._taken()

    def drain(self, *, is_on: bool) -> list[Instruction]:
        """Take no more chunks, and give back what has not started of those that are here; or take them again."""
        self._is_draining = is_on
        out: list[Instruction] = []
        for number in self.chunks if is_on else ():
            out += self.take_back(number, kill=False)
        return out

    def abandon(self) -> list[Instruction]:
        """The master does not know this slave any more: nobody wants what is here."""
        for worker, state in self._states.items():
            state.kept_for = None
            if state.chunks:
                state.is_killed = True
                state.chunks.clear()
                self._out.append(KillWorker(worker))
        self._chunks.clear()
        self._waiting.clear()
        self._blocked.clear()
        for number in self._code.numbers:  # the next master counts from the beginning
            self._forget(number)
        self._code.clear()
        return self._taken()

    # --- events: the workers -------------------------------------------------------------------------------

    def worker_ready(self, worker: int) -> list[Instruction]:
        """A worker is up and takes chunks."""
        state = self._states.get(worker)
        if state is not None:
            self._succession.ready(state)
            self._dispatch()
        return self._taken()

    def worker_results(self, worker: int, parcel: Parcel[ChunkResults]) -> list[Instruction]:
        """A worker sent results.

        Raises:
            ProtocolError: They are not what a worker sends; it cannot be trusted any more.
        """
        message = parcel.message
        state = self._states.get(worker)
        chunk = self._chunks.get(message.chunk)
        if state is not None and message.chunk in state.skipped:
            state.skipped.discard(message.chunk)
            self._dispatch()  # it has passed it by
            return self._taken()
        if state is None or chunk is None or chunk.worker != worker:
            return []  # what was told of it meanwhile is final
        self._seconds += NEW * (message.busy - self._seconds)
        if len(message.statuses) != len(message.counters) or len(message.counters) > chunk.count:
            raise ProtocolError(f"worker {worker} sent results that do not fit chunk {message.chunk}")
        if not chunk.done and len(message.counters) == chunk.count:
            self._out.append(SendUpstream(parcel))
            self._remove(chunk)
        else:
            self._answer(chunk, without(chunk.done, parcel))
        self._succession.ran(worker, state, len(message.counters))
        self._dispatch()
        return self._taken()

    def worker_worn(self, worker: int) -> list[Instruction]:
        """A worker uses more than it should after what it ran: it is replaced between two chunks."""
        state = self._states.get(worker)
        if state is not None:
            self._succession.wear(worker, state)
        return self._taken()

    def worker_seen(self, worker: int, seen: Seen) -> list[Instruction]:
        """The slave looked at a worker's cell, after it had read everything that the worker sent."""
        state = self._states.get(worker)
        if state is None:
            return []
        self._answer_recorded(state, seen)
        for chunk in [chunk for chunk in state.chunks if chunk.number in seen.stopped]:
            rest = unstarted(state, chunk, seen)
            if len(rest) == chunk.count and (chunk.is_stopping or is_any_idle(self._states)):
                state.skipped.add(chunk.number)
            if chunk.is_stopping or len(rest) < chunk.count:
                self._return(chunk, rest)
            elif is_any_idle(self._states):
                # Only then: it would come back to this worker, which has been told not to run it.
                state.chunks.remove(chunk)
                leave_worker(chunk, self._states)
                self._place(chunk, first=True)
        self._end_unwanted(worker, state, seen)
        self._move_to_idle(worker, state, seen)
        self._succession.dismiss(worker, state)
        self._dispatch()
        return self._taken()

    def worker_exited(self, worker: int, seen: Seen, text: str, peak: int, output: str) -> list[Instruction]:
        """A worker is dead.

        Args:
            worker: Its number.
            seen: What its cell said, after everything that it sent had been read.
            text: How it ended.
            peak: Its largest resident size, in bytes.
            output: The last lines that the running task wrote.
        """
        state = self._states.get(worker)
        if state is None:
            return []
        self._answer_recorded(state, seen)
        del self._states[worker]
        for chunk in reversed(state.chunks):
            begun = seen.chunk == chunk.number
            if begun or chunk.done or chunk.is_relocated:
                self._remove(chunk)
                self._out.append(lost(chunk, state, seen, text, peak, output))
            elif chunk.is_stopping:
                self._return(chunk, chunk.counters())
            else:
                leave_worker(chunk, self._states)
                chunk.is_relocated = not state.is_killed
                self._place(chunk, first=True)
        self._succession.replace(worker, state)
        if self._succession.is_hopeless:
            while self._waiting:
                self._remove(chunk := self._waiting.popleft())
                self._out.append(lost(chunk, state, Seen(), text, 0, ""))
        self._dispatch()
        return self._taken()

    # --- inside --------------------------------------------------------------------------------------------

    def _taken(self) -> list[Instruction]:
        out = self._out.copy()
        self._out.clear()
        return out

    def _place(self, chunk: Chunk, *, first: bool = False) -> None:
        """Put a chunk where it waits for a worker or for its function."""
        function = chunk.parcel.message.function
        if function in self._code:
            (self._waiting.appendleft if first else self._waiting.append)(chunk)
            return
        if function not in self._blocked:
            self._out.append(SendUpstream(Parcel(NeedFunction(function))))
        self._blocked.setdefault(function, []).append(chunk)

    def _unplace(self, chunk: Chunk) -> None:
        function = chunk.parcel.message.function
        blocked = self._blocked.get(function)
        (self._waiting if blocked is None else blocked).remove(chunk)  # an empty list stays: it has been asked for

    def _dispatch(self) -> None:
        """Send what waits to workers, in order: nothing overtakes a chunk that waits for several of them."""
        while self._waiting:
            chunk = self._waiting[0]
            worker, others = workers_for(chunk, self._states, WINDOW)
            if worker is None:
                return
            self._waiting.popleft()
            state = self._states[worker]
            chunk.worker = worker
            state.chunks.append(chunk)
            for other in others:
                other.kept_for = chunk.number
            definitions = self._code.for_worker(state, chunk.parcel.message.function)
            self._out.append(SendToWorker(worker, [*definitions, chunk.parcel]))

    def _forget(self, number: int) -> None:
        for worker in self._code.forget(number, self._states):
            self._out.append(SendToWorker(worker, [Parcel(ForgetFunction(number))]))
        for chunk in [chunk for chunk in self._waiting if chunk.parcel.message.function == number]:
            self._waiting.remove(chunk)
            self._place(chunk)

    def _answer_recorded(self, state: WorkerState, seen: Seen) -> None:
        chunk = next((chunk for chunk in state.chunks if chunk.number == seen.drained.chunk), None)
        if chunk is not None and seen.drained.results:
            self._answer(chunk, recorded_results(chunk, seen.drained.results))

    def _answer(self, chunk: Chunk, results: Parcel[ChunkResults]) -> None:
        if results.message.counters:
            self._out.append(SendUpstream(results))
            chunk.done.update(results.message.counters)
        if len(chunk.done) >= chunk.count:
            self._remove(chunk)

    def _return(self, chunk: Chunk, counters: list[int]) -> None:
        """Answer tasks as taken back, but for those that are answered already."""
        self._answer(chunk, returned_results(chunk, [c for c in counters if c not in chunk.done]))

    def _remove(self, chunk: Chunk) -> None:
        self._chunks.pop(chunk.number, None)
        state = self._states.get(chunk.worker) if chunk.worker is not None else None
        if state is not None:
            state.chunks.remove(chunk)
        leave_worker(chunk, self._states)

    def _end_unwanted(self, worker: int, state: WorkerState, seen: Seen) -> None:
        """End the task that runs if it was cancelled or takes too long: ask it first, and then kill its worker."""
        chunk = next((chunk for chunk in state.chunks if chunk.number == seen.chunk), None)
        status = unwanted(chunk, seen) if chunk is not None and not state.is_killed else None
        if chunk is None or status is None or seen.index is None:
            return
        asked = state.asked
        if asked is None or (asked.chunk, asked.position) != (chunk.number, seen.index):
            asked = state.asked = Asked(chunk.number, seen.index, seen.elapsed)
        if seen.elapsed < asked.elapsed + self.grace:
            self._out.append(InterruptTask(worker, chunk.number, seen.index, status))
            return
        state.is_killed = True
        self._out.append(KillWorker(worker))
        counter = chunk.counter_at(seen.index)
        if status == EXPIRED and counter is not None:
            # That is its end, whatever it still does.
            self._answer(chunk, expired_result(chunk, counter))

    def _move_to_idle(self, worker: int, state: WorkerState, seen: Seen) -> None:
        """Fetch what waits behind a chunk that takes long, if another worker has nothing to do."""
        waiting = next_behind(state, seen)
        if waiting is not None and is_any_idle(self._states):
            self._out.append(StopChunk(worker, waiting))

    def sanity_check(self) -> None:
        """Check the invariants; for tests and the simulator.

        Raises:
            AssertionError: One of them does not hold.
        """
        check_slots(self._states, self._chunks, self._waiting, self._blocked, self._code, WINDOW)
        assert len(self._chunks) <= 2 * self.credit, "more chunks than the bound"
        self._succession.check(self.workers)
