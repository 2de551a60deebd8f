"""Chunks whose tasks take several workers of a slave: where they go, and what has nothing else to do meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from concurrence.workers.slot_state import Chunk, WorkerState


def weight_of(chunk: Chunk, window: int) -> int:
    """How much of the credit a chunk uses: its share of one worker, or all that the workers have that it takes."""
    return 1 if chunk.cores == 1 else window * chunk.cores


def workers_for(
    chunk: Chunk, states: Mapping[int, WorkerState], window: int
) -> tuple[int | None, Sequence[WorkerState]]:
    """The worker that a chunk may go to now, and the others that it takes.

    Args:
        chunk: A chunk that waits.
        states: The workers by number.
        window: How many chunks a worker has at most.

    Returns:
        A number, None if it has to wait; and those that must have nothing else to do while it runs.
    """
    if chunk.cores == 1:
        ready = [(len(state.chunks), number) for number, state in states.items() if state.takes_more]
        load, worker = min(ready, default=(window, 0))
        return (worker if load < window else None), ()
    cores = min(chunk.cores, sum(state.is_lasting for state in states.values()))
    idle = sorted(number for number, state in states.items() if state.is_idle)
    if len(idle) < cores:
        return None, ()
    return idle[0], [states[number] for number in idle[1:cores]]


def leave_worker(chunk: Chunk, states: Mapping[int, WorkerState]) -> None:
    """A chunk is not at its worker any more, and takes no other ones either."""
    chunk.worker = None
    if chunk.cores > 1:
        for state in states.values():
            if state.kept_for == chunk.number:
                state.kept_for = None
