"""Messages that carry results, progress and output towards owners."""

from __future__ import annotations

from msgspec import Struct

from concurrence.wire.fields import (
    RETURNED,
    Bodied,
    Counters,
    Frames,
    Message,
    Name,
    Number,
    Seconds,
    Statuses,
    Text,
)


class PackedResult(Struct, frozen=True, array_like=True, gc=False):
    """One entry of a result chunk's first body frame: pickled value, or an encoded Fault."""

    payload: bytes
    buffers: Frames = 0


class ChunkResults(Bodied, frozen=True, array_like=True, gc=False, tag=30):
    """Results of some or all tasks of a chunk, in the order of ``counters``.

    Attributes:
        chunk: The assignment they belong to.
        counters: The tasks.
        statuses: One byte a task: ``FINISHED`` and so on.
        busy: Seconds that the worker spent in these tasks.
        packing: The part of it that went into their arguments and results, as far as that was measured.
        handling: Seconds since its last message that it spent between tasks: reading chunks, loading code.
        sending: Seconds that it took until its last message had left.
        waited: Seconds since then in which it had nothing to do.
        cpu: CPU seconds that these tasks used, in all threads of the worker and in processes that ended; None if
            that was not measured.
    """

    chunk: Number
    counters: Counters
    statuses: Statuses
    busy: Seconds
    packing: Seconds = 0.0
    handling: Seconds = 0.0
    sending: Seconds = 0.0
    waited: Seconds = 0.0
    cpu: Seconds | None = None

    @property
    def ended(self) -> int:
        """How many of these tasks came to an end; the others were taken back before they began."""
        return len(self.counters) - self.statuses.count(RETURNED)


class AttemptLost(Message, frozen=True, array_like=True, gc=False, tag=31):
    """A worker died; what it had of the chunk and did not finish is to be run again.

    Attributes:
        chunk: The assignment.
        running: The counter of the task that was running, which is charged; None if none was.
        text: How the worker ended: signal or exit code.
        peak_memory: The worker's largest resident size, in bytes.
        output: The last lines that the running task wrote.
        begun: Whether a worker had begun with the chunk; if not, it is the slave where workers die.
    """

    chunk: Number
    running: Number | None
    text: Text
    peak_memory: Number = 0
    output: Text = ""
    begun: bool = True


class Claimed(Message, frozen=True, array_like=True, gc=False, tag=32):
    """A slave pulled these chunks from the work queue."""

    chunks: Counters


class Results(Bodied, frozen=True, array_like=True, gc=False, tag=33):
    """Ends of tasks for their owner, kept by the master until :class:`Delivered`.

    Attributes:
        delivery: Number of this delivery in the owner's session, from 1.
        system: Whose tasks these are.
        counters: The tasks.
        statuses: One byte a task.
        busy: Seconds that the worker spent in these tasks.
        slave: The name of the slave that ran them; empty if none did.
        attempt: The attempt that counts.
    """

    delivery: Number
    system: Number
    counters: Counters
    statuses: Statuses
    busy: Seconds
    slave: Name = ""
    attempt: Number = 0


class Delivered(Message, frozen=True, array_like=True, gc=False, tag=34):
    """The owner has handled all deliveries up to this one."""

    delivery: Number


class SystemEnded(Bodied, frozen=True, array_like=True, gc=False, tag=40):
    """From a host: its system is complete; the body is a results frame with one entry.

    Attributes:
        system: Which one.
        status: ``FINISHED``, or how it failed.
        text: For people; mostly empty.
        busy: Seconds in which the host was at work, and did not wait for news.
    """

    system: Number
    status: Number
    text: Text = ""
    busy: Seconds = 0.0


class SystemResult(Bodied, frozen=True, array_like=True, gc=False, tag=41):
    """To the client that pushed it: the system's one result; kept until :class:`Delivered`."""

    delivery: Number
    system: Number
    status: Number


class ReportProgress(Message, frozen=True, array_like=True, gc=False, tag=42):
    """From a host: how far its system says it is."""

    system: Number
    done: Seconds
    total: Seconds
    text: Text = ""


class Progress(Message, frozen=True, array_like=True, gc=False, tag=43):
    """The state of one system, sent a few times a second while it changes.

    Attributes:
        system: Which one.
        queued: Tasks that wait.
        running: Tasks at slaves.
        finished: Tasks that returned a result.
        failed: Tasks that failed for good.
        cancelled: Tasks that were cancelled.
        busy: Seconds that workers spent in its tasks.
        moved: Bytes of tasks and results between owner, master and slaves.
        done: What the system itself reported, if ``total`` is not 0.
        total: See ``done``.
        text: See ``done``.
    """

    system: Number
    queued: Number = 0
    running: Number = 0
    finished: Number = 0
    failed: Number = 0
    cancelled: Number = 0
    busy: Seconds = 0.0
    moved: Number = 0
    done: Seconds = 0.0
    total: Seconds = 0.0
    text: Text = ""


class Output(Message, frozen=True, array_like=True, gc=False, tag=44):
    """What a task or task system printed or logged.

    Attributes:
        system: Whose.
        counter: The task; None for the task system itself.
        stream: ``stdout``, ``stderr`` or ``log``.
        source: The slave's name.
        text: Whole lines, without the last newline.
        name: The task's name; empty where nobody knows it.
    """

    system: Number
    counter: Number | None
    stream: Name
    source: Name
    text: Text
    name: Name = ""


class SlaveEntry(Struct, frozen=True, array_like=True, gc=False):
    """A connected slave, as a task system is told of it."""

    name: Name
    workers: Number


class SlaveList(Message, frozen=True, array_like=True, gc=False, tag=45):
    """To hosts and clients: the connected slaves, whenever one comes or goes."""

    slaves: list[SlaveEntry]
