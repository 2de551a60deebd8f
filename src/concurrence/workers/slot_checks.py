"""What must hold of the chunks and workers of a slave after every event; for tests and the simulator."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from concurrence.workers.slot_state import Chunk, WorkerState


class Places(NamedTuple):
    """Where the chunks of a slave are.

    Attributes:
        states: Its workers, by number.
        chunks: All its chunks, by number.
        waiting: Those that wait for a worker.
        blocked: Those that wait for a function, by its number.
    """

    states: Mapping[int, WorkerState]
    chunks: Mapping[int, Chunk]
    waiting: Collection[Chunk]
    blocked: Mapping[int, list[Chunk]]


def check_places(places: Places, known: Collection[int], window: int) -> None:
    """Check that each chunk is at exactly one place, and none waits without need.

    Args:
        places: Where they are.
        known: The functions that are known here.
        window: How many chunks one worker may have.

    Raises:
        AssertionError: That does not hold.
    """
    found = [*places.waiting]
    for function, chunks in places.blocked.items():
        assert function not in known, "a chunk waits for a function that is known"
        found += chunks
    assert all(chunk.worker is None for chunk in found), "a chunk without a worker names one"
    assert all(chunk.parcel.message.function in known for chunk in places.waiting)
    for worker, state in places.states.items():
        assert len(state.chunks) <= window, "a worker has more chunks than the window"
        assert state.is_ready or not state.chunks, "a worker that is not ready has chunks"
        assert all(chunk.worker == worker for chunk in state.chunks), "a chunk is at another worker"
        assert state.functions <= set(known), "a worker knows a function that was forgotten"
        has_room = state.takes_work and len(state.chunks) < window
        assert not (has_room and places.waiting), "a chunk waits although a worker has room"
        assert not (state.is_dismissed and state.chunks), "a worker that was told to end has chunks"
        found += state.chunks
    numbers = [chunk.number for chunk in found]
    assert sorted(numbers) == sorted(places.chunks), "a chunk is not at exactly one place"
    assert all(len(chunk.done) < chunk.count for chunk in found), "a chunk is over and still here"
