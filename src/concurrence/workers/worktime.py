"""Where a worker's time goes: every second of it is in exactly one of a few sums, which leave with results.

Looks at the clock a few times a chunk, and never for each task. What the packing of arguments and results takes is
measured with the last task of a chunk, and taken for as long with each of the others, which are alike: the first
would not do, because the first use of a module or a shared object loads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from concurrence.wire.codec import Frame

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

Unpack = Callable[[bytes, Sequence[Frame]], Any]
Pack = Callable[[Any], tuple[bytes, Sequence[Frame]]]


class Spent(NamedTuple):
    """Seconds since the last message: as :class:`~concurrence.wire.messages.ChunkResults` carries them."""

    packing: float
    handling: float
    sending: float
    waited: float
    cpu: float


def cpu_time() -> float:
    """CPU seconds of all threads of this process, and of the processes that it started and that have ended."""
    if resource is None:
        return time.process_time()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


class WorkTime:
    """A worker's stopwatch.

    Args:
        clock: Tells the time, in seconds.
        cpu_clock: Tells the CPU time, in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = cpu_time,
    ) -> None:
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._cpu_mark = self._cpu = 0.0
        self._mark = clock()
        self._packing = self._handling = self._sending = self._waited = 0.0
        self._busy = 0.0  # in the tasks of the present chunk

    # --- laps: what the time since the last call of any of these was ---

    def waited(self) -> None:
        """It waited for the slave, whose message is here now."""
        self._waited += self._lap()

    def skip(self) -> None:
        """It was no worker: the same thread did something else."""
        self._lap()

    def handled(self) -> None:
        """It was busy with a chunk, but not with the tasks in it."""
        self._handling += self._lap()

    def begin(self) -> None:
        """It begins with the tasks of a chunk: until now it was busy with the chunk itself."""
        self._handling += self._lap()
        self._cpu_mark = self._cpu_clock()

    def sent(self) -> None:
        """It handed a message to the slave; if the chunk goes on, what follows are tasks again."""
        self._sending += self._lap()
        self._cpu_mark = self._cpu_clock()

    def ran(self) -> float:
        """It ran tasks; returns how long."""
        busy = self._lap()
        self._busy += busy
        self._cpu = max(self._cpu_clock() - self._cpu_mark, 0.0)
        return busy

    def _lap(self) -> float:
        now = self._clock()
        lap, self._mark = max(now - self._mark, 0.0), now
        return lap

    # --- packing ---

    def begin_chunk(self) -> None:
        """Another chunk: what is measured of packing is of its tasks."""
        self._busy = self._packing = 0.0

    def timed(self, tasks: int, unpack: Unpack, pack: Pack) -> tuple[Unpack, Pack]:
        """Stand-ins for two functions, whose time counts for as many tasks."""

        def timed_unpack(data: bytes, buffers: Sequence[Frame]) -> Any:
            started = self._clock()
            try:
                return unpack(data, buffers)
            finally:
                self._packing += tasks * (self._clock() - started)

        def timed_pack(value: Any) -> tuple[bytes, Sequence[Frame]]:
            started = self._clock()
            try:
                return pack(value)
            finally:
                self._packing += tasks * (self._clock() - started)

        return timed_unpack, timed_pack

    def take(self) -> Spent:
        """The sums for a message; they begin anew."""
        spent = Spent(min(self._packing, self._busy), self._handling, self._sending, self._waited, self._cpu)
        self._busy -= spent.packing
        self._packing = self._handling = self._sending = self._waited = self._cpu = 0.0
        return spent
