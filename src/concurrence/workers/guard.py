"""Kills workers that use more than they may, before the system kills something else."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping

from concurrence.transport.api import IReactor, ITimer
from concurrence.workers.handle import WorkerHandle
from concurrence.workers.machine import Machine
from concurrence.workers.slot_state import WorkerState
from concurrence.workers.watching import SHORTEST, Watch

_log = logging.getLogger(__name__)


class Guard:
    """Looks at the workers that have work, for as long as any has.

    Args:
        reactor: The slave's poll loop.
        watch: Says who must not go on, and when to look again.
        machine: Tells whether the system itself killed something.
        kill: Kills a worker with all that its tasks started.
    """

    def __init__(self, reactor: IReactor, watch: Watch, machine: Machine, kill: Callable[[int], None]) -> None:
        self._reactor = reactor
        self._watch = watch
        self._machine = machine
        self._kill = kill
        self._pause = SHORTEST
        self._timer: ITimer | None = None
        self._is_useful = watch.is_useful
        self._oom_kills = 0

    def wake(self, workers: Mapping[int, WorkerHandle], states: Mapping[int, WorkerState]) -> None:
        """There is work: begin to look, unless that is so already.

        Args:
            workers: All workers, as they are then.
            states: What they have to do.
        """
        if self._timer is None and self._is_useful:
            self._oom_kills = self._machine.oom_kills()
            self._timer = self._reactor.call_later(self._pause, lambda: self._look(workers, states))

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._is_useful = False

    def describe(self, worker: WorkerHandle, code: int, text: str) -> str:
        """How a worker ended, and why if that is known here.

        Args:
            worker: The worker.
            code: Its exit code, or minus the signal's number.
            text: The same for people.
        """
        if worker.offence:
            return f"{text}, by this slave: {worker.offence}"
        if code == -signal.SIGKILL and self._machine.oom_kills() > self._oom_kills:
            return f"{text}; at that time the system killed processes for want of memory"
        return text

    def _look(self, workers: Mapping[int, WorkerHandle], states: Mapping[int, WorkerState]) -> None:
        self._timer = None
        busy = {
            number: worker.pid
            for number, worker in workers.items()
            if worker.pid is not None and not worker.offence and (state := states.get(number)) and state.chunks
        }
        if not busy:
            return
        used, offences, self._pause = self._watch.look(busy)
        for number, size in used.items():
            workers[number].note_used(size)
        for offence in offences:
            _log.warning("worker %d is killed: %s", offence.worker, offence.text)
            workers[offence.worker].offence = offence.text
            self._kill(offence.worker)
        self._timer = self._reactor.call_later(self._pause, lambda: self._look(workers, states))
