"""Which workers a slave has, and which follows which: when one dies, and when one is worn. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from concurrence.workers.slot_state import (
    HOPELESS_STARTS,
    DismissWorker,
    Instruction,
    StartWorker,
    WorkerState,
    start_delay,
)


class Succession:
    """Starts workers, replaces those that died, and renews those that are worn.

    Args:
        instruct: Takes what is to be done.
        max_tasks: After how many tasks a worker is worn; 0 for never.

    Attributes:
        states: The workers that run or are to be started, by number.
    """

    def __init__(self, instruct: Callable[[Instruction], None], max_tasks: int) -> None:
        self.states: dict[int, WorkerState] = {}
        self._instruct = instruct
        self._max_tasks = max_tasks
        self._worn: deque[int] = deque()
        self._next = 1
        self._failed_starts = 0

    def start(self, delay: float = 0.0, *, kept_for: int | None = None, replaces: int | None = None) -> None:
        """Start a worker.

        Args:
            delay: After so many seconds.
            kept_for: The chunk that takes it, at another worker.
            replaces: The worker that goes on until this one is ready; None if there is none.
        """
        state = self.states[self._next] = WorkerState(kept_for)
        state.replaces = replaces
        self._instruct(StartWorker(self._next, delay))
        self._next += 1

    def ready(self, state: WorkerState) -> None:
        """A worker is ready: the one that it replaces, if any, gets no more chunks.

        Itself gets none before that one has ended its last: so there are never more workers at work than there
        should be, and never fewer.
        """
        state.is_ready = True
        self._failed_starts = 0
        if state.replaces is not None:
            old = self.states[state.replaces]
            old.is_retired = True
            self.dismiss(state.replaces, old)

    def ran(self, worker: int, state: WorkerState, tasks: int) -> None:
        """A worker has answered so many tasks."""
        state.ran += tasks
        if self._max_tasks and state.ran >= self._max_tasks:
            self.wear(worker, state)
        self.dismiss(worker, state)

    def wear(self, worker: int, state: WorkerState) -> None:
        """A worker is to be replaced between two of its chunks."""
        if not state.is_worn:
            state.is_worn = True
            self._worn.append(worker)
            self._renew()

    def dismiss(self, worker: int, state: WorkerState) -> None:
        """Tell a retired worker to end, once it has nothing left to do."""
        if state.is_retired and not state.chunks and not state.is_dismissed:
            state.is_dismissed = True
            self._instruct(DismissWorker(worker))
            self._hand_over(worker, state)
            self._renew()

    @property
    def is_hopeless(self) -> bool:
        """Whether no worker is ready, and the last ones died before they were."""
        return self._failed_starts >= HOPELESS_STARTS and not any(state.is_ready for state in self.states.values())

    def replace(self, worker: int, state: WorkerState) -> None:
        """A worker ended, and is not among the states any more: start another unless there is one."""
        if state.replaces is not None:
            self.states[state.replaces].is_retired = False  # it goes on for so much longer
        if not self._hand_over(worker, state) and not state.is_dismissed:
            delay = 0.0
            if not state.is_ready:
                delay = start_delay(self._failed_starts)
                self._failed_starts += 1
            self.start(delay, kept_for=state.kept_for, replaces=state.replaces)
        self._renew()

    def check(self, workers: int) -> None:
        """Check that there are as many workers as there should be.

        Raises:
            AssertionError: There are not.
        """
        assert sum(state.is_lasting for state in self.states.values()) == workers, "a worker is missing"
        assert sum(state.replaces is not None for state in self.states.values()) <= 1, "two workers are renewed"

    def _hand_over(self, worker: int, state: WorkerState) -> bool:
        """Let the successor of a worker that ends take its place; False if none is under way."""
        for successor in self.states.values():
            if successor.replaces == worker:
                successor.replaces = None
                successor.kept_for, state.kept_for = state.kept_for, None
                return True
        return False

    def _renew(self) -> None:
        """Start the successor of a worn worker: one at a time, since for a while there is a worker more."""
        while self._worn and all(state.replaces is None for state in self.states.values()):
            worker = self._worn.popleft()
            if worker in self.states:
                self.start(replaces=worker)
