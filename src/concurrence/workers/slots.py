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
    Assign,
    AttemptLost,
    ChunkResults,
    DefineBundle,
    DefineFunction,
    ForgetFunction,
    NeedFunction,
)
from concurrence.workers.definitions import Definitions
from concurrence.workers.slot_state import (
    Chunk,
    Instruction,
    KillWorker,
    Seen,
    SendToWorker,
    SendUpstream,
    StartWorker,
    StopChunk,
    WorkerState,
    charged,
    expired_result,
    overdue,
    recorded_results,
    returned_results,
    unstarted,
    without,
)

WINDOW: Final = 2
"""Chunks at one worker: one that runs, and one that waits in its socket so that the worker never does."""

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 10.0
"""Seconds before a worker is started when the ones before it died before they were ready."""


class Slots:
    """What the workers of a slave have to do.

    Every event returns the instructions that follow from it, to be carried out in order.

    Args:
        workers: How many there are.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._states: dict[int, WorkerState] = {}
        self._chunks: dict[int, Chunk] = {}
        self._waiting: deque[Chunk] = deque()
        self._blocked: dict[int, list[Chunk]] = {}
        self._code = Definitions()
        self._next_worker = 1
        self._failed_starts = 0
        self._out: list[Instruction] = []

    @property
    def credit(self) -> int:
        """How many chunks are taken at once; more are given back."""
        return WINDOW * self.workers

    @property
    def held(self) -> int:
        """How many chunks are here."""
        return len(self._chunks)

    @property
    def chunks(self) -> list[int]:
        """The numbers of the chunks that are here."""
        return list(self._chunks)

    @property
    def states(self) -> dict[int, WorkerState]:
        """The workers that run or are to be started, by number; for reading."""
        return self._states

    # --- events: the slave ---------------------------------------------------------------------------------

    def start(self) -> list[Instruction]:
        """The slave starts: so do all workers."""
        for _ in range(self.workers):
            self._start_worker(0.0)
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
            return self._taken()
        self._code.add_function(Parcel(message, parcel.frames), self._states.values())
        self._waiting.extend(self._blocked.pop(message.number, ()))
        self._dispatch()
        return self._taken()

    def forget(self, parcel: Parcel[ForgetFunction]) -> list[Instruction]:
        """The master will not use a function again."""
        self._forget(parcel.message.number)
        self._code.forget_incomplete(parcel.message.number)
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
        if len(self._chunks) >= 2 * self.credit:
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
        else:
            chunk.is_stopping = True
            chunk.is_killed = chunk.is_killed or kill
            self._out.append(StopChunk(chunk.worker, number))
        return self._taken()

    def abandon(self) -> list[Instruction]:
        """The master does not know this slave any more: nobody wants what is here."""
        for worker, state in self._states.items():
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
            state.is_ready = True
            self._failed_starts = 0
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
            self._dispatch()
            return self._taken()
        if state is None or chunk is None or chunk.worker != worker:
            return []  # what was told of it meanwhile is final
        if len(message.statuses) != len(message.counters) or len(message.counters) > chunk.count:
            raise ProtocolError(f"worker {worker} sent results that do not fit chunk {message.chunk}")
        if not chunk.done and len(message.counters) == chunk.count:
            self._out.append(SendUpstream(parcel))
            self._remove(chunk)
        else:
            self._answer(chunk, without(chunk.done, parcel))
        self._dispatch()
        return self._taken()

    def worker_seen(self, worker: int, seen: Seen) -> list[Instruction]:
        """The slave looked at a worker's cell, after it had read everything that the worker sent."""
        state = self._states.get(worker)
        if state is None:
            return []
        self._answer_recorded(state, seen)
        for chunk in [chunk for chunk in state.chunks if chunk.number in seen.stopped]:
            rest = unstarted(state, chunk, seen)
            if len(rest) == chunk.count and (chunk.is_stopping or self._is_any_idle()):
                state.skipped.add(chunk.number)
            if chunk.is_stopping or len(rest) < chunk.count:
                self._return(chunk, rest)
            elif self._is_any_idle():
                # Only then: it would come back to this worker, which has been told not to run it.
                state.chunks.remove(chunk)
                chunk.worker = None
                self._place(chunk, first=True)
        self._kill_cancelled(worker, state, seen)
        self._kill_overdue(worker, state, seen)
        self._move_to_idle(worker, state, seen)
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
                running = charged(state, chunk, seen) if begun else None
                self._remove(chunk)
                lost = AttemptLost(chunk.number, running, text, peak, output if begun else "")
                self._out.append(SendUpstream(Parcel(lost)))
            elif chunk.is_stopping:
                self._return(chunk, chunk.counters())
            else:
                chunk.worker = None
                chunk.is_relocated = not state.is_killed
                self._place(chunk, first=True)
        self._replace(state)
        self._dispatch()
        return self._taken()

    # --- inside --------------------------------------------------------------------------------------------

    def _taken(self) -> list[Instruction]:
        out, self._out = self._out, []
        return out

    def _start_worker(self, delay: float) -> None:
        self._states[self._next_worker] = WorkerState()
        self._out.append(StartWorker(self._next_worker, delay))
        self._next_worker += 1

    def _replace(self, state: WorkerState) -> None:
        if state.is_ready:
            self._start_worker(0.0)
            return
        self._start_worker(min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._failed_starts, 16)))
        self._failed_starts += 1

    def _place(self, chunk: Chunk, *, first: bool = False) -> None:
        """Put a chunk where it waits for a worker or for its function."""
        function = chunk.parcel.message.function
        if function in self._code:
            if first:
                self._waiting.appendleft(chunk)
            else:
                self._waiting.append(chunk)
            return
        if function not in self._blocked:
            self._out.append(SendUpstream(Parcel(NeedFunction(function))))
        self._blocked.setdefault(function, []).append(chunk)

    def _unplace(self, chunk: Chunk) -> None:
        function = chunk.parcel.message.function
        blocked = self._blocked.get(function)
        if blocked is None:
            self._waiting.remove(chunk)
        else:
            # An empty list stays: the function has been asked for.
            blocked.remove(chunk)

    def _dispatch(self) -> None:
        while self._waiting:
            ready = [(s.load, n) for n, s in self._states.items() if s.is_ready and not s.is_killed]
            load, worker = min(ready, default=(WINDOW, 0))
            if load >= WINDOW:
                return
            chunk = self._waiting.popleft()
            state = self._states[worker]
            chunk.worker = worker
            state.chunks.append(chunk)
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

    def _kill_cancelled(self, worker: int, state: WorkerState, seen: Seen) -> None:
        """Kill the worker if what it is at right now belongs to a chunk whose tasks are to be ended."""
        for chunk in state.chunks:
            if chunk.number == seen.chunk and chunk.is_killed and not state.is_killed:
                running = chunk.counter_at(seen.index)
                if running is not None and running not in chunk.done and chunk.number in seen.stopped:
                    state.is_killed = True
                    self._out.append(KillWorker(worker))

    def _kill_overdue(self, worker: int, state: WorkerState, seen: Seen) -> None:
        """Kill the worker if its task runs for longer than it may; that is the task's end, whatever it does."""
        chunk = next((chunk for chunk in state.chunks if chunk.number == seen.chunk), None)
        running = overdue(chunk, seen) if chunk is not None and not state.is_killed else None
        if chunk is not None and running is not None:
            state.is_killed = True
            self._out.append(KillWorker(worker))
            self._answer(chunk, expired_result(chunk, running))

    def _is_any_idle(self) -> bool:
        return any(state.is_idle for state in self._states.values())

    def _move_to_idle(self, worker: int, state: WorkerState, seen: Seen) -> None:
        """Fetch what waits behind a chunk that takes long, if another worker has nothing to do."""
        waiting = state.chunks[1:]
        if not waiting or state.is_killed or seen.chunk != state.chunks[0].number:
            return
        if self._is_any_idle() and waiting[0].number not in seen.stopped:
            self._out.append(StopChunk(worker, waiting[0].number))

    def sanity_check(self) -> None:
        """Check the invariants; for tests and the simulator.

        Raises:
            AssertionError: One of them does not hold.
        """
        places = [*self._waiting]
        for function, chunks in self._blocked.items():
            assert function not in self._code, "a chunk waits for a function that is known"
            places += chunks
        assert all(chunk.worker is None for chunk in places), "a chunk without a worker names one"
        assert all(chunk.parcel.message.function in self._code for chunk in self._waiting)
        for worker, state in self._states.items():
            assert state.load <= WINDOW, "a worker has more chunks than the window"
            assert state.is_ready or not state.chunks, "a worker that is not ready has chunks"
            assert all(chunk.worker == worker for chunk in state.chunks), "a chunk is at another worker"
            assert state.functions <= set(self._code.numbers), "a worker knows a function that was forgotten"
            idle = state.is_ready and not state.is_killed and state.load < WINDOW
            assert not (idle and self._waiting), "a chunk waits although a worker has room"
            places += state.chunks
        numbers = [chunk.number for chunk in places]
        assert sorted(numbers) == sorted(self._chunks), "a chunk is not at exactly one place"
        assert all(len(chunk.done) < chunk.count for chunk in places), "a chunk is over and still here"
        assert len(self._chunks) <= 2 * self.credit, "more chunks than the bound"
        assert len(self._states) == self.workers, "a worker is missing"
