"""What the state machine of a slave's workers keeps, sees and says; see :mod:`concurrence.workers.slots`."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Parcel, decode_tasks
from concurrence.wire.messages import (
    CANCELLED,
    EXPIRED,
    Assign,
    AttemptLost,
    FromSlave,
    ToWorker,
)

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 10.0
"""Seconds before a worker is started when the ones before it died before they were ready."""

HOPELESS_STARTS: Final = 3
"""After so many of them, and with no other worker, what waits is given back: another slave may do better."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a worker is at, as its cell tells.

    Attributes:
        chunk: The chunk that it began last.
        index: The task that runs; None between tasks.
        started: When that task started, in seconds of the monotonic clock; 0 between tasks.
    """

    chunk: int
    index: int | None
    started: float


class Recorded(NamedTuple):
    """One result that was found in a cell."""

    counter: int
    status: int
    payload: bytes


class Drained(NamedTuple):
    """Results found in a cell, and the chunk they belong to; None if the worker never began one."""

    chunk: int | None
    results: list[Recorded]


@dataclass(frozen=True, slots=True)
class SendToWorker:
    """Send these to a worker, in this order."""

    worker: int
    parcels: Sequence[Parcel[ToWorker]]


@dataclass(frozen=True, slots=True)
class SendUpstream:
    """Send this to the master."""

    parcel: Parcel[FromSlave]


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a worker process under this number, after so many seconds."""

    worker: int
    delay: float


@dataclass(frozen=True, slots=True)
class KillWorker:
    """Kill a worker; its end is an event like any other."""

    worker: int


@dataclass(frozen=True, slots=True)
class DismissWorker:
    """Tell a worker that has nothing to do to end, and see that it does."""

    worker: int


@dataclass(frozen=True, slots=True)
class InterruptTask:
    """Ask a worker to end the task at an index of a chunk; repeated until the worker was seen to do so.

    Attributes:
        worker: The worker.
        chunk: The chunk.
        index: The index in it.
        status: With which the task is to end.
    """

    worker: int
    chunk: int
    index: int
    status: int


@dataclass(frozen=True, slots=True)
class StopChunk:
    """Let the worker start no further task of the chunk, then look at the worker."""

    worker: int
    chunk: int


Instruction: TypeAlias = (
    SendToWorker | SendUpstream | StartWorker | KillWorker | DismissWorker | InterruptTask | StopChunk
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the slave saw in a worker's cell, after it had read everything that the worker sent before.

    Attributes:
        chunk: The chunk that the worker began last; None if it never began one.
        index: The task that runs; None if none does, or if that cannot be told.
        drained: Results that were in the cell.
        stopped: Chunks that were stopped in the cell so long ago that the worker has taken notice.
        elapsed: Seconds that the task has been running.
    """

    chunk: int | None = None
    index: int | None = None
    drained: Drained = field(default_factory=lambda: Drained(None, []))
    stopped: AbstractSet[int] = frozenset()
    elapsed: float = 0.0


class Chunk:
    """A chunk that is at this slave.

    Args:
        parcel: The assignment as it came; kept until the chunk is over, to run it elsewhere.

    Raises:
        ProtocolError: Its body is malformed. That is seen here, where it enters the slave, and nowhere later.
    """

    __slots__ = (
        "_counters",
        "count",
        "done",
        "is_killed",
        "is_relocated",
        "is_stopping",
        "number",
        "parcel",
        "worker",
    )

    def __init__(self, parcel: Parcel[Assign]) -> None:
        self.parcel = parcel
        self.number = parcel.message.chunk
        self.count = parcel.message.count
        self._counters = [task.counter for task in decode_tasks(parcel.frames)]
        if len(self._counters) != self.count:
            raise ProtocolError(f"chunk {self.number} brings {len(self._counters)} tasks instead of {self.count}")
        self.worker: int | None = None
        self.done: set[int] = set()  # the tasks that were answered; empty if all are answered at once
        self.is_stopping = False
        self.is_killed = False
        self.is_relocated = False

    def __repr__(self) -> str:
        return f"<chunk {self.number} of {self.count}, {len(self.done)} done, worker {self.worker}>"

    @property
    def cores(self) -> int:
        """How many workers it takes."""
        return self.parcel.message.cores

    @property
    def has_timeout(self) -> bool:
        """Whether its tasks may take only so long."""
        return self.parcel.message.timeout > 0

    def counters(self) -> list[int]:
        """The numbers of its tasks, in order; for reading."""
        return self._counters

    @property
    def left(self) -> list[int]:
        """Those of them that were not answered yet."""
        return [counter for counter in self._counters if counter not in self.done]

    def counter_at(self, index: int | None) -> int | None:
        """The number of the task at an index; None if there is none."""
        counters = self.counters()
        return counters[index] if index is not None and index < len(counters) else None


class Asked(NamedTuple):
    """Which task a worker was asked to end, and how long it had been running then, in seconds."""

    chunk: int
    position: int
    elapsed: float


class WorkerState:
    """A worker that runs or is to be started."""

    __slots__ = (
        "asked",
        "bundles",
        "chunks",
        "functions",
        "is_dismissed",
        "is_killed",
        "is_ready",
        "is_retired",
        "is_worn",
        "kept_for",
        "ran",
        "replaces",
        "skipped",
    )

    def __init__(self, kept_for: int | None = None) -> None:
        self.kept_for = kept_for  # the chunk at another worker that takes this one too
        self.is_ready = False
        self.is_killed = False
        self.is_worn = False  # it is to be replaced between two chunks
        self.is_retired = False  # its successor is up: it gets no more chunks
        self.is_dismissed = False  # it was told to end
        self.replaces: int | None = None  # the worker whose successor it is, until that has nothing to do
        self.ran = 0  # how many tasks it has answered
        self.asked: Asked | None = None
        self.chunks: list[Chunk] = []  # in the order in which it works them off
        self.skipped: set[int] = set()  # taken away, and still in its socket: it has to pass them by
        self.functions: set[int] = set()
        self.bundles: set[bytes] = set()

    @property
    def is_idle(self) -> bool:
        """Whether it could start a chunk at once."""
        return self._is_free and not self.load

    @property
    def takes_more(self) -> bool:
        """Whether a chunk may be sent to it, to start at once or behind what it is at."""
        return self._is_free and all(chunk.cores == 1 for chunk in self.chunks)

    @property
    def is_lasting(self) -> bool:
        """Whether it is one of those that a slave is to have: no successor that waits, none that was dismissed."""
        return self.replaces is None and not self.is_dismissed

    @property
    def _is_free(self) -> bool:
        if not self.is_ready or self.is_killed or self.is_retired:
            return False
        return self.replaces is None and self.kept_for is None

    @property
    def load(self) -> int:
        """How many chunks are in its hands or its socket."""
        return len(self.chunks) + len(self.skipped)

    def __repr__(self) -> str:
        return f"<worker, ready {self.is_ready}, killed {self.is_killed}, {self.chunks}>"


def charged(state: WorkerState, chunk: Chunk, seen: Seen) -> int | None:
    """The task of a dead worker's current chunk that has to answer for it."""
    if state.is_killed and not chunk.is_killed:
        return None
    if seen.index is None:
        # It died between tasks; if there was none yet, then over preparing the first one: loading its function.
        return None if chunk.done else chunk.counter_at(0)
    running = chunk.counter_at(seen.index)
    return None if running in chunk.done else running


def overdue(chunk: Chunk, seen: Seen) -> int | None:
    """The task of the worker's current chunk that runs for longer than it may; None if it may go on."""
    if not chunk.has_timeout or seen.elapsed <= chunk.parcel.message.timeout:
        return None
    running = chunk.counter_at(seen.index)
    return None if running in chunk.done else running


def unwanted(chunk: Chunk, seen: Seen) -> int | None:
    """With which status the task of the worker's current chunk is to end now; None if it may go on."""
    running = chunk.counter_at(seen.index)
    if running is None or running in chunk.done:
        return None
    if chunk.is_killed and chunk.number in seen.stopped:
        return CANCELLED
    return EXPIRED if overdue(chunk, seen) is not None else None


def lost(chunk: Chunk, state: WorkerState, seen: Seen, text: str, peak: int, output: str) -> SendUpstream:
    """What the master is told of a chunk whose worker died, or for which none comes up."""
    begun = seen.chunk == chunk.number
    running = charged(state, chunk, seen) if begun else None
    message = AttemptLost(chunk.number, running, text, peak, output if begun else "", begun or bool(chunk.done))
    return SendUpstream(Parcel(message))


def start_delay(failures: int) -> float:
    """Seconds before a worker is started when so many before it died before they were ready."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 16))
