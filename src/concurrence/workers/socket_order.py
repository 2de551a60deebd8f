"""How far a worker has come with what lies in its socket, as its slave sees it. Pure."""

from __future__ import annotations

from concurrence.workers.slot_state import Chunk, Seen, WorkerState


def unstarted(state: WorkerState, chunk: Chunk, seen: Seen) -> list[int]:
    """The tasks of a stopped chunk that cannot start any more, for all that is known."""
    order = [each.number for each in state.chunks]
    if seen.chunk not in order or order.index(seen.chunk) < order.index(chunk.number):
        return chunk.counters()  # the worker works them off in order and has not come to it
    if seen.chunk == chunk.number and seen.index is not None:
        return chunk.counters()[seen.index + 1 :]
    return []


def next_behind(state: WorkerState, seen: Seen) -> int | None:
    """The chunk that waits behind what a worker is at, unless it was stopped already; None if there is none."""
    if len(state.chunks) < 2 or state.is_killed or seen.chunk != state.chunks[0].number:
        return None
    number = state.chunks[1].number
    return None if number in seen.stopped else number
