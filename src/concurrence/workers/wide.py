"""How much a slave takes, and where chunks go whose tasks take several of its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from concurrence.workers.slot_state import Chunk, WorkerState

LONG_SECONDS = 0.25
"""While chunks take so long a slave pulls only what its workers can begin: another may have an idle worker."""

NEW = 0.3
"""What the last chunk counts in how long chunks take."""


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
        ready = [(state.load, number) for number, state in states.items() if state.takes_more]
        load, worker = min(ready, default=(window, 0))
        return (worker if load < window else None), ()
    cores = min(chunk.cores, sum(state.is_lasting for state in states.values()))
    idle = sorted(number for number, state in states.items() if state.is_idle)
    if len(idle) < cores:
        return None, ()
    return idle[0], [states[number] for number in idle[1:cores]]


def is_any_idle(states: Mapping[int, WorkerState]) -> bool:
    """Whether some worker has nothing to do."""
    return any(state.is_idle for state in states.values())


def leave_worker(chunk: Chunk, states: Mapping[int, WorkerState]) -> None:
    """A chunk is not at its worker any more, and takes no other ones either."""
    chunk.worker = None
    if chunk.cores > 1:
        for state in states.values():
            if state.kept_for == chunk.number:
                state.kept_for = None
