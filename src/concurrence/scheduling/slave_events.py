"""What the core does with what slaves say. Pure functions of the swarm's state and one event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import isfinite

from msgspec import Struct

from concurrence.errors import ProtocolError
from concurrence.journal.api import JournalEntry
from concurrence.scheduling import resting
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.deliveries import frame_size
from concurrence.scheduling.ledger.jobs import Job, Settled
from concurrence.scheduling.ledger.records import Ended
from concurrence.scheduling.ledger.story import Event
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire import faults
from concurrence.wire.codec import Frame, Parcel, decode_results, encode_results
from concurrence.wire.messages import (
    FAILED,
    FINISHED,
    MAX_CHUNK_TASKS,
    REFUSED,
    AttemptLost,
    ChunkResults,
    NeedFunction,
    PackedResult,
    Results,
    TakeBack,
)

MAX_BUSY = 1e6
"""Seconds that a chunk may have taken; a slave that claims more is not believed."""


class RunInfo(Struct, frozen=True):
    """Where tasks ran: the slave's name, the attempt, and the worker's seconds."""

    slave: str = ""
    attempt: int = 0
    busy: float = 0.0


NOT_RUN = RunInfo()


def results(swarm: SwarmState, slave: SlaveNodeRecord, parcel: Parcel[ChunkResults], now: float) -> None:
    """A slave brings results of a chunk: settle them and tell the owner; late ones count for nothing.

    Raises:
        ProtocolError: The body has other entries than the message says; what cannot be told apart has failed.
    """
    message = parcel.message
    if not _holds(swarm, slave, message.chunk):
        return
    busy = min(max(message.busy, 0.0), MAX_BUSY) if isfinite(message.busy) else 0.0
    settled = swarm.ledger.settle(message.chunk, message.counters, message.statuses, busy)
    if settled is None:
        return
    assignment = settled.assignment
    failed = message.statuses.count(FAILED) == len(message.statuses)
    # What failed says nothing of what a task takes: chunks would grow, and all of them might fail.
    if settled.ran and not failed and swarm.functions.is_known(assignment.spec.function):
        swarm.rates.observe(assignment.spec.function, settled.ran, busy, slave.id)
    swarm.measures.ran(assignment, settled.ran, busy, swarm.ledger.story.now, done=settled.done)
    if settled.fresh:
        swarm.usages.ran(slave, message, settled, sum(map(frame_size, parcel.frames)), swarm.ledger.story.now)
    if settled.done:
        swarm.roster.free(slave, message.chunk)
    elif not assignment.pending:
        # Only cancelled tasks are left there: ending them hurts no other.
        swarm.outbox.send(slave.peer, Parcel(TakeBack(message.chunk, kill=True)))
    slave.finished += settled.ran
    if settled.ran:
        _judge(swarm, slave, settled, message, now)
    if settled.ended is not None:
        run = RunInfo(slave.name, assignment.attempt, busy)
        try:
            frames = parcel.frames if settled.ended.whole else _selected(parcel, settled.ended.kept)
        except ProtocolError as error:
            ended = Ended(settled.ended.counters, bytes([REFUSED]) * len(settled.ended.counters))
            fault = faults.Fault(
                faults.KIND_RESULT, f"slave {slave.name} sent a malformed result: {error.message}"
            )
            tell_fault(swarm, assignment.job, ended, fault, run)
            raise
        tell_owner(swarm, assignment.job, settled.ended, frames, run)


def attempt_lost(swarm: SwarmState, slave: SlaveNodeRecord, message: AttemptLost, now: float) -> None:
    """A worker died: its tasks run again, and only the running one is charged."""
    if not _holds(swarm, slave, message.chunk):
        return
    swarm.roster.free(slave, message.chunk)
    settled = swarm.ledger.lose(message.chunk, message.running, message.text)
    if settled is not None and settled.fresh and not (message.begun and message.running is None):
        resting.failed(swarm, slave, settled.assignment.spec.function, now, begun=message.begun)
    if settled is not None:
        _quarantine(swarm, slave, settled, message)


def slave_lost(swarm: SwarmState, slave: SlaveNodeRecord) -> None:
    """A slave is gone: what it had runs elsewhere, and nothing is charged."""
    _lose(swarm, slave, list(slave.chunks), f"slave {slave.name} is gone")
    swarm.rates.forget_slave(slave.id)
    swarm.usages.left(slave, swarm.ledger.story.now)
    swarm.functions.forget_holder(slave.id)
    swarm.asked.pop(slave.id, None)
    resting.lost(swarm, slave)


def need_function(swarm: SwarmState, slave: SlaveNodeRecord, message: NeedFunction) -> None:
    """A slave asks for a function, which may be under way to it: on another link than its tasks.

    The function alone is small and is sent again. It comes after whatever is under way; if bundles are missing
    then, the slave says which.
    """
    if message.missing:
        slave.known.difference_update(message.missing)
    swarm.functions.recall(message.number, slave.known)
    swarm.define(slave, message.number)


def reconcile(
    swarm: SwarmState, slave: SlaveNodeRecord, held: list[int], left: Mapping[int, Sequence[int]]
) -> None:
    """A slave resumed: give out again what got lost on the way to or from it, take back what it should not have.

    Args:
        swarm: The state.
        slave: The slave.
        held: The chunks that it has.
        left: Of those of which results may be lost, the tasks that it will still answer.
    """
    slave.known.clear()
    holding = set(held)
    _lose(swarm, slave, slave.chunks.keys() - holding, f"slave {slave.name} came back without it")
    for chunk in sorted(holding):
        swarm.unclaimed.pop(chunk, None)
        assignment = swarm.ledger.assignments.get(chunk)
        is_own = assignment is not None and assignment.slave in (None, slave.id)
        if is_own and chunk in left:
            swarm.ledger.lose(chunk, None, f"slave {slave.name} came back without its result", but=left[chunk])
            assignment = swarm.ledger.assignments.get(chunk)
        if assignment is None or not is_own:
            swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=True)))
            swarm.roster.free(slave, chunk)
        else:
            swarm.give(assignment, slave)
            swarm.define(slave, assignment.spec.function)  # it may have asked for that on the broken connection
            if assignment.cancelled:
                # Whether it heard of that is not known.
                swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=not assignment.pending)))
    resting.rest_now(swarm, slave)


def tell_owner(swarm: SwarmState, job: Job, ended: Ended, frames: Sequence[Frame], run: RunInfo = NOT_RUN) -> None:
    """Deliver ends of tasks to whoever owns them, as soon as they are durable.

    Args:
        swarm: The state.
        job: Whose tasks.
        ended: Which, and how.
        frames: The results' body, untouched.
        run: Where they ran.
    """
    swarm.measures.ended(job, ended, frames, run.slave, run.attempt, swarm.ledger.story.now)
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


def tell_fault(swarm: SwarmState, job: Job, ended: Ended, fault: faults.Fault, run: RunInfo = NOT_RUN) -> None:
    """Deliver the same fault for all these tasks, in as many messages as it takes."""
    payload = PackedResult(faults.encode_fault(fault))
    for start in range(0, len(ended.counters), MAX_CHUNK_TASKS):
        counters = ended.counters[start : start + MAX_CHUNK_TASKS]
        part = Ended(counters, ended.statuses[start : start + MAX_CHUNK_TASKS])
        tell_owner(swarm, job, part, [encode_results([payload] * len(counters))], run)


def _holds(swarm: SwarmState, slave: SlaveNodeRecord, chunk: int) -> bool:
    """Whether a slave speaks of a chunk that is its own; what it pulled without a word is its own from now on."""
    swarm.unclaimed.pop(chunk, None)
    assignment = swarm.ledger.assignments.get(chunk)
    if assignment is not None and assignment.slave in (None, slave.id):
        if assignment.slave is None:
            swarm.ledger.story.tell(Event.CLAIMED, assignment.job.system, chunk, who=slave.name)
        if chunk not in slave.chunks:
            swarm.give(assignment, slave)
        return True
    if chunk in slave.chunks:
        swarm.roster.free(slave, chunk)
    else:
        swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=True)))
    return False


def _judge(swarm: SwarmState, slave: SlaveNodeRecord, settled: Settled, message: ChunkResults, now: float) -> None:
    """Hold against a slave, or for it, what became of a chunk."""
    function = settled.assignment.spec.function
    if FINISHED in message.statuses:
        resting.succeeded(swarm, slave, function, now)
    elif settled.done:
        resting.failed(swarm, slave, function, now)


def _lose(swarm: SwarmState, slave: SlaveNodeRecord, chunks: Iterable[int], why: str) -> None:
    for chunk in sorted(chunks, reverse=True):  # so that the oldest comes first again
        swarm.roster.free(slave, chunk)
        swarm.ledger.lose(chunk, None, why)


def _quarantine(swarm: SwarmState, slave: SlaveNodeRecord, settled: Settled, message: AttemptLost) -> None:
    assignment = settled.assignment
    if settled.ended is None:
        return
    peak = f", peak memory {message.peak_memory / 1e6:,.0f} MB" if message.peak_memory else ""
    fault = faults.Fault(
        faults.KIND_WORKER,
        f"the task killed {swarm.limits.max_attempts} workers; the last one: {faults.shorten(message.text)}{peak}",
        hint="Its last output is kept with this error." if message.output else "It had written nothing.",
        output=faults.shorten(message.output),
    )
    tell_fault(swarm, assignment.job, settled.ended, fault, RunInfo(slave.name, assignment.attempt))


def _selected(parcel: Parcel[ChunkResults], kept: Sequence[int]) -> list[Frame]:
    """The body with only some of its entries; the price of a mixed chunk, paid only then."""
    entries = decode_results(parcel.frames)
    if len(entries) != len(parcel.message.counters):
        raise ProtocolError(f"{len(entries)} results came for {len(parcel.message.counters)} tasks")
    starts = list(accumulate((entry.buffers for entry in entries), initial=1))
    frames: list[Frame] = [encode_results([entries[position] for position in kept])]
    for position in kept:
        frames.extend(parcel.frames[starts[position] : starts[position + 1]])
    return frames
