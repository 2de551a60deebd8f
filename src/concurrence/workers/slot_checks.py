"""What always holds for the state machine of a slave's workers; for tests and the simulator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from concurrence.workers.definitions import Definitions
from concurrence.workers.slot_state import Chunk, WorkerState
from concurrence.workers.wide import workers_for


def check_slots(
    states: Mapping[int, WorkerState],
    chunks: Mapping[int, Chunk],
    waiting: Sequence[Chunk],
    blocked: Mapping[int, Sequence[Chunk]],
    code: Definitions,
    window: int,
) -> None:
    """Check the invariants.

    Args:
        states: The workers.
        chunks: All chunks.
        waiting: Those that wait for a worker.
        blocked: Those that wait for their function, by its number.
        code: The functions that are here.
        window: How many chunks a worker has at most.

    Raises:
        AssertionError: One of them does not hold.
    """
    places = [*waiting]
    for function, there in blocked.items():
        assert function not in code, "a chunk waits for a function that is known"
        places += there
    assert all(chunk.worker is None for chunk in places), "a chunk without a worker names one"
    assert all(chunk.parcel.message.function in code for chunk in waiting)
    for state in states.values():
        assert state.load <= window, "a worker has more chunks than the window"
        assert state.functions <= set(code.numbers), "a worker knows a function that was forgotten"
        places += state.chunks
    if waiting:
        assert workers_for(waiting[0], states, window)[0] is None, "a chunk waits although a worker has room"
    _check_workers(states, places)
    numbers = [chunk.number for chunk in places]
    assert sorted(numbers) == sorted(chunks), "a chunk is not at exactly one place"
    assert all(len(chunk.done) < chunk.count for chunk in places), "a chunk is over and still here"


def _check_workers(states: Mapping[int, WorkerState], places: Sequence[Chunk]) -> None:
    for number, state in states.items():
        assert state.is_ready or not state.chunks, "a worker that is not ready has chunks"
        assert all(chunk.worker == number for chunk in state.chunks), "a chunk is at another worker"
        assert len(state.chunks) <= 1 or all(chunk.cores == 1 for chunk in state.chunks), (
            "one waits behind a wide one"
        )
        assert not (state.is_dismissed and state.chunks), "a worker that was told to end has chunks"
        assert state.kept_for is None or state.is_lasting, "a chunk takes a worker that is not there"
        assert state.kept_for is None or not state.chunks, "a worker that another one's chunk takes has chunks"
    lasting = sum(state.is_lasting for state in states.values())
    kept = Counter(state.kept_for for state in states.values() if state.kept_for is not None)
    for chunk in places:
        expected = min(chunk.cores, lasting) - 1 if chunk.worker is not None else 0
        assert kept.pop(chunk.number, 0) == expected, "a chunk takes more or fewer workers than it needs"
    assert not kept, "a worker is kept for a chunk that is over"
