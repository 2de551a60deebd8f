"""What a run took, and where the time of the swarm's workers went: the speed-up report. Pure.

Every second of every worker is in exactly one part: workers x wall time is the sum of compute, serialise,
transfer, starved and idle.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from msgspec import Struct

from concurrence.nodes.display import RunSummary
from concurrence.wire.messages import SlaveUsage, Usage

MIN_WORKERS = 1.01
"""With fewer, nothing can be said of what is serial."""

MIN_CPU_SHARE = 0.8
"""Tasks that had a core for less of their time waited: how fast one worker would be is not known then."""


class Split(Struct, frozen=True):
    """Where time went, in seconds of workers, added up.

    Attributes:
        compute: In the author's code.
        serialise: In packing and unpacking arguments and results, reading chunks, and loading code.
        transfer: In sending results, and in waiting while the next chunk or the last result was on its way.
        starved: In waiting because there was no task for the worker, before the first one or between two.
        idle: All that is left: before a worker was up, and after its last task, when others still had some.
    """

    compute: float = 0.0
    serialise: float = 0.0
    transfer: float = 0.0
    starved: float = 0.0
    idle: float = 0.0

    @property
    def total(self) -> float:
        """All of it: workers x wall."""
        return self.compute + self.serialise + self.transfer + self.starved + self.idle

    def share(self, *parts: str) -> float:
        """What share of all these parts are, from 0 to 1.

        Args:
            parts: Names of attributes.
        """
        return sum(getattr(self, part) for part in parts) / self.total if self.total > 0 else 0.0


class SlaveShare(Struct, frozen=True):
    """One slave's part in a run.

    Attributes:
        name: What people see.
        workers: How many it has.
        present: Seconds of the run in which it was connected.
        tasks: Tasks that ran there.
        split: Where the time of its workers went.
        sent: Bytes of tasks that went there.
        received: Bytes of results that came back.
        late: Seconds after the first push until it was connected, as far as they count as idle.
        cpu: CPU seconds of its tasks.
    """

    name: str
    workers: int
    present: float
    tasks: int
    split: Split
    sent: int = 0
    received: int = 0
    late: float = 0.0
    cpu: float = 0.0

    @property
    def utilisation(self) -> float:
        """What share of its workers' time went into the author's code, from 0 to 1."""
        return self.split.share("compute")


class RunReport(Struct, frozen=True):
    """A run, measured.

    Attributes:
        wall: Seconds from the first push until the last end arrived; until now, if something is unfinished.
        finished: Tasks that returned a result.
        failed: Tasks that failed for good.
        cancelled: Tasks that were cancelled.
        moved: Bytes of tasks and results, each counted once.
        split: Where the time of all workers went.
        slaves: Each slave's part in it.
        ran: Tasks that ran, with those that ran again.
        queued: Mean seconds that a task waited at the master for its turn.
        owner: Seconds of the wall time in which whoever owns the tasks was at work itself: the client's handlers
            and iterables, or the task systems.
        after: Seconds since then, in which no task was left and the client had still to do; no part of ``wall``.
        cpu: CPU seconds of all tasks, with those of packing; None if nobody told.
        cpu_share: For what part of their time tasks had a core, from 0 to 1; the rest they waited, for a core or
            for something else. Of tasks with several threads or processes no more than 1.
    """

    wall: float
    finished: int
    failed: int
    cancelled: int
    moved: int
    split: Split = Split()
    slaves: tuple[SlaveShare, ...] = ()
    ran: int = 0
    queued: float = 0.0
    owner: float = 0.0
    after: float = 0.0
    cpu: float | None = None
    cpu_share: float = 1.0

    @property
    def workers(self) -> float:
        """How many workers there were, on average over the run."""
        return self.split.total / self.wall if self.wall > 0 else 0.0

    @property
    def busy(self) -> float:
        """Seconds that workers spent for tasks, all together: computing, and packing what travels."""
        return self.split.compute + self.split.serialise

    @property
    def parallelism(self) -> float:
        """How many workers' worth of computing went on at once, on average."""
        return self.split.compute / self.wall if self.wall > 0 else 0.0

    @property
    def task_seconds(self) -> float:
        """Mean seconds that a task computed; 0 if none ran."""
        return self.split.compute / self.ran if self.ran else 0.0

    @property
    def work(self) -> float | None:
        """Seconds that one core that is free would compute for the tasks.

        None if they had none for more than a fifth of their time: more workers than cores, other programs, or
        waiting for a disk or a network look alike then, and nothing can be told of what one worker would take.
        """
        return self.split.compute * self.cpu_share if self.cpu_share >= MIN_CPU_SHARE else None

    @property
    def speed_up(self) -> float | None:
        """How many times as fast as one core without a swarm: :attr:`work` by :attr:`wall`; None if not known."""
        work = self.work
        return None if work is None or work <= 0 or self.wall <= 0 else work / self.wall

    @property
    def serial_seconds(self) -> float | None:
        """Seconds of the wall time that no number of workers would make shorter, by Amdahl's law; None if that is
        not known: all that keeps the run from being as many times as fast as there are workers.
        """
        work, workers = self.work, self.workers
        if workers < MIN_WORKERS or work is None or work <= 0:
            return None
        return max(0.0, self.wall - work / workers)

    @property
    def limit(self) -> float | None:
        """The :attr:`speed_up` that no number of workers exceeds, by Amdahl's law; None if that is not known."""
        serial, work = self.serial_seconds, self.work
        if serial is None or work is None:
            return None
        return work / serial if serial > 0 else inf

    def speed_up_at(self, workers: float) -> float | None:
        """The :attr:`speed_up` with so many workers, by Amdahl's law; None if that is not known.

        Args:
            workers: How many; with as many as there were it is the speed-up of this run.
        """
        serial, work = self.serial_seconds, self.work
        return None if serial is None or work is None else work / (serial + work / workers)

    @property
    def serial_fraction(self) -> float | None:
        """What part of the whole work would have to be serial to explain this wall time, from 0 to 1.

        The fraction that Karp and Flatt ("Measuring Parallel Processor Performance", 1990) determine from a
        measurement, with the time of one worker taken as the serial seconds and those of computing: whatever keeps
        the run from being ``workers`` times as fast counts as serial, overhead and the wait for the last task too.
        None if there was but one worker, nothing was computed, or :attr:`work` is not known.
        """
        serial, work = self.serial_seconds, self.work
        return None if serial is None or work is None else serial / (serial + work)


def make_report(
    summary: RunSummary,
    usage: Usage | None,
    *,
    owner: float = 0.0,
    after: float = 0.0,
    is_private: bool = False,
) -> RunReport:
    """The report of a run.

    Args:
        summary: What it came to.
        usage: What its tasks took of the swarm; None if nobody told, and then only the rest is known.
        owner: Seconds that the client's own thread was at work.
        after: Seconds that the client went on when the last end was there.
        is_private: Whether the swarm was started for this run: that it was not up yet is then time lost too.
    """
    ends = (summary.wall, summary.finished, summary.failed, summary.cancelled, summary.moved)
    if usage is None:
        return RunReport(*ends, owner=owner, after=after)
    busy, cpu = sum(row.busy for row in usage.slaves), sum(row.cpu for row in usage.slaves)
    slaves = tuple(_share(row, summary.wall, usage.seconds, is_private) for row in usage.slaves)
    return RunReport(
        *ends,
        split=_sum(slave.split for slave in slaves),
        slaves=slaves,
        ran=sum(slave.tasks for slave in slaves),
        queued=usage.queued / usage.queued_tasks if usage.queued_tasks else 0.0,
        owner=min(max(owner, usage.systems), summary.wall),
        after=after,
        cpu=cpu,
        cpu_share=min(1.0, cpu / busy) if busy > 0 else 1.0,
    )


def _share(row: SlaveUsage, wall: float, seconds: float, is_private: bool) -> SlaveShare:
    """One slave's part: the master's clock ran for ``seconds``, from the first push that it saw."""
    absent = min(wall, max(0.0, seconds - row.present))
    present, late = (wall, absent) if is_private else (wall - absent, 0.0)
    packing = min(row.packing, row.busy)
    known = Split(row.busy - packing, packing + row.handling, row.sending + row.transfer, row.starved)
    idle = max(0.0, row.workers * present - known.total)
    split = Split(known.compute, known.serialise, known.transfer, known.starved, idle)
    return SlaveShare(row.name, row.workers, present, row.tasks, split, row.sent, row.received, late, row.cpu)


def _sum(splits: Iterable[Split]) -> Split:
    sums = [0.0] * len(Split.__struct_fields__)
    for split in splits:
        for place, name in enumerate(Split.__struct_fields__):
            sums[place] += getattr(split, name)
    return Split(*sums)
