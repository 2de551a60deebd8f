"""What the core does with what slaves say. Pure functions of the swarm's state and one event."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

from concurrence.journal.api import JournalEntry
from concurrence.scheduling.api import Swarm
from concurrence.scheduling.deliveries import frame_size
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.ledger import Settled
from concurrence.scheduling.ledger.records import Ended
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire import faults
from concurrence.wire.codec import Frame, Parcel, decode_results, encode_results
from concurrence.wire.messages import (
    AttemptLost,
    ChunkResults,
    NeedFunction,
    PackedResult,
    Results,
    TakeBack,
)


class RunInfo(Struct, frozen=True):
    """Where tasks ran: the slave's name, the attempt, and the worker's seconds."""

    slave: str = ""
    attempt: int = 0
    busy: float = 0.0


NOT_RUN = RunInfo()


def results(swarm: Swarm, slave: SlaveNodeRecord, parcel: Parcel[ChunkResults]) -> None:
    """A slave brings results of a chunk: settle them and tell the owner; late ones count for nothing."""
    message = parcel.message
    swarm.unclaimed.pop(message.chunk, None)
    settled = swarm.ledger.settle(message.chunk, message.counters, message.statuses, message.busy)
    if settled is None:
        slave.chunks.discard(message.chunk)
        return
    assignment = settled.assignment
    assignment.slave = slave.id
    swarm.rates.observe(assignment.spec.function, len(message.counters), message.busy)
    if settled.done:
        slave.chunks.discard(message.chunk)
    else:
        slave.chunks.add(message.chunk)
    slave.finished += settled.fresh
    if settled.ended is not None:
        frames = parcel.frames if settled.ended.whole else _selected(parcel, settled.ended.kept)
        run = RunInfo(slave.name, assignment.attempt, message.busy)
        tell_owner(swarm, assignment.job, settled.ended, frames, run)


def attempt_lost(swarm: Swarm, slave: SlaveNodeRecord, message: AttemptLost) -> None:
    """A worker died: its tasks run again, and only the running one is charged."""
    slave.chunks.discard(message.chunk)
    settled = swarm.ledger.lose(message.chunk, message.running)
    if settled is not None:
        _quarantine(swarm, slave, settled, message)


def slave_lost(swarm: Swarm, slave: SlaveNodeRecord) -> None:
    """A slave is gone: what it had runs elsewhere, and nothing is charged."""
    for chunk in sorted(slave.chunks):
        swarm.ledger.lose(chunk, None)
    slave.chunks.clear()


def need_function(swarm: Swarm, slave: SlaveNodeRecord, message: NeedFunction) -> None:
    """A slave lacks code that it should have: send it again."""
    slave.known.clear()
    swarm.define(slave, message.number)


def reconcile(swarm: Swarm, slave: SlaveNodeRecord, held: list[int]) -> None:
    """A slave resumed: give out again what got lost on the way to it, take back what it should not have."""
    slave.known.clear()
    holding = set(held)
    for chunk in sorted(slave.chunks - holding):
        swarm.ledger.lose(chunk, None)
    for chunk in sorted(holding):
        swarm.unclaimed.pop(chunk, None)
        assignment = swarm.ledger.assignments.get(chunk)
        if assignment is None or assignment.slave not in (None, slave.id):
            swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=True)))
            holding.discard(chunk)
        else:
            assignment.slave = slave.id
    slave.chunks = holding


def tell_owner(swarm: Swarm, job: Job, ended: Ended, frames: Sequence[Frame], run: RunInfo = NOT_RUN) -> None:
    """Deliver ends of tasks to whoever owns them, as soon as they are durable.

    Args:
        swarm: The state.
        job: Whose tasks.
        ended: Which, and how.
        frames: The results' body, untouched.
        run: Where they ran.
    """
    owner = swarm.registry.owner(job.owner)
    if owner is None:
        return
    message = Results(
        len(frames),
        owner.deliveries.next_number(),
        job.system,
        ended.counters,
        ended.statuses,
        run.busy,
        run.slave,
        run.attempt,
    )
    parcel = Parcel(message, frames)
    job.moved += sum(map(frame_size, frames))
    owner.deliveries.keep(parcel)
    swarm.outbox.entries.append(JournalEntry(owner.id, parcel))
    swarm.outbox.promise(owner.peer, parcel)


def tell_fault(swarm: Swarm, job: Job, ended: Ended, fault: faults.Fault, run: RunInfo = NOT_RUN) -> None:
    """Deliver the same fault for all these tasks."""
    payload = faults.encode_fault(fault)
    tell_owner(swarm, job, ended, [encode_results([PackedResult(payload)] * len(ended.counters))], run)


def _quarantine(swarm: Swarm, slave: SlaveNodeRecord, settled: Settled, message: AttemptLost) -> None:
    assignment = settled.assignment
    if settled.ended is None:
        return
    peak = f", peak memory {message.peak_memory / 1e6:.0f} MB" if message.peak_memory else ""
    fault = faults.Fault(
        faults.KIND_WORKER,
        f"the task killed {swarm.limits.max_attempts} workers; the last one: {message.text}{peak}",
        hint="Run it with --inline, or look at the output below: it is the last that the task wrote.",
        output=message.output,
    )
    tell_fault(swarm, assignment.job, settled.ended, fault, RunInfo(slave.name, assignment.attempt))


def _selected(parcel: Parcel[ChunkResults], kept: Sequence[int]) -> list[Frame]:
    """The body with only some of its entries; the price of a mixed chunk, paid only then."""
    entries = decode_results(parcel.frames)
    starts = list(accumulate((entry.buffers for entry in entries), initial=1))
    frames: list[Frame] = [encode_results([entries[position] for position in kept])]
    for position in kept:
        frames.extend(parcel.frames[starts[position] : starts[position + 1]])
    return frames
