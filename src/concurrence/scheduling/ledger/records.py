"""What the ledger keeps: tasks and what they have in common, as small as can be."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from concurrence.wire.codec import Frame


class TaskState(IntEnum):
    """Where an unfinished task is. A task that ended is not in the ledger: its end waits for its owner."""

    QUEUED = 0
    ASSIGNED = 1
    CANCELLED = 2  # not in the ledger any more; marks what still lies in a queue
    DELAYED = 3  # failed, and is tried again later


class TaskRecord(Struct, gc=False):
    """One unfinished task. The ledger keeps one per task, so it has no field that is not needed.

    Attributes:
        counter: Its number in its system.
        arguments: Pickled; opaque.
        buffers: Its out-of-band buffers.
        state: A :class:`TaskState`.
        attempt: The attempt that is queued or under way, from 1.
        retries: How often it was tried again because its code raised.
        deaths: How many workers died while it was running.
    """

    counter: int
    arguments: bytes
    buffers: tuple[Frame, ...] = ()
    state: int = 0
    attempt: int = 1
    retries: int = 0
    deaths: int = 0

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return len(self.arguments) + sum(len(buffer) for buffer in self.buffers)


class TaskSpec(Struct, frozen=True):
    """What all tasks of a chunk have in common.

    Attributes:
        function: The master's number of the function.
        priority: Higher first, within a client.
        max_retries: How often a task that raised is tried again.
        timeout: Seconds of one attempt; 0 for no limit.
        resources: What a slave must offer, sorted by name.
    """

    function: int
    priority: int = 0
    max_retries: int = 0
    timeout: float = 0.0
    resources: tuple[tuple[str, float], ...] = ()


class Delayed(Struct, frozen=True, gc=False):
    """A task that failed and waits before it is tried again.

    Attributes:
        due: When, in seconds of the master's clock.
        spec: What it has in common with others.
        record: The task.
    """

    due: float
    spec: TaskSpec
    record: TaskRecord


class Backoff(Struct, frozen=True):
    """How long a task that failed waits before it is tried again.

    Attributes:
        first: Seconds after the first failure; doubled with each further one.
        longest: Never more seconds than this.
    """

    first: float = 0.0
    longest: float = 30.0

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait: half of the time is fixed, half is left to chance, so that what failed together
        does not come again together ("equal jitter" in Brooker, "Exponential Backoff And Jitter", AWS 2015).

        Args:
            failures: How often the task failed, from 1.
            chance: From 0 to below 1.
        """
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
        return whole * (0.5 + 0.5 * chance)


class Ended(Struct, frozen=True):
    """Tasks that ended together and are to be told to their owner.

    Attributes:
        counters: The tasks.
        statuses: One byte a task.
        whole: Whether these are all entries of the message that told of them, in the same order, so that its
            body can be forwarded untouched.
        kept: Otherwise the positions of these entries in that message.
    """

    counters: list[int]
    statuses: bytes
    whole: bool = True
    kept: tuple[int, ...] = ()
