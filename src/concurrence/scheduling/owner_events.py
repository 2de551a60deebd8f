"""What the core does with what owners say of tasks and code. Pure functions of the swarm's state and one event."""

from __future__ import annotations

from collections.abc import Sequence

from concurrence.errors import ProtocolError
from concurrence.journal.api import JournalEntry
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.deliveries import frame_size
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec
from concurrence.scheduling.owners import own_job, reject, tell_forgotten, unknown_function
from concurrence.scheduling.registry import Node, OwnerNode
from concurrence.scheduling.slave_events import tell_fault
from concurrence.scheduling.system_events import end_system
from concurrence.wire import faults
from concurrence.wire.codec import Parcel, decode_tasks, encode_results
from concurrence.wire.messages import (
    LOST,
    Cancel,
    DefineBundle,
    ForgetFunction,
    PackedResult,
    Pong,
    PushAccepted,
    PushTasks,
    TakeBack,
)

_LARGE_BYTES = 1024 * 1024  # of a bundle
_UNHANDLED_WINDOWS = 4  # an owner acknowledges after it has handled what came, which may be several windows


def push_tasks(swarm: SwarmState, owner: OwnerNode, parcel: Parcel[PushTasks]) -> None:
    """An owner pushes a chunk of tasks; a repeated push is recognised and only acknowledged again.

    Raises:
        ProtocolError: The push names a system that is not the owner's, or is malformed.
    """
    message = parcel.message
    if message.push <= owner.accepted_push:
        swarm.outbox.promise(owner.peer, Parcel(PushAccepted(owner.accepted_push)))
        return
    job = own_job(swarm, owner, message.system)
    tasks = decode_tasks(parcel.frames)
    function = swarm.functions.find(owner.id, message.function)
    refusal = (
        _refusal(swarm, owner, job, parcel, len(tasks)) if function is not None else unknown_function(swarm, owner)
    )
    if function is None or refusal:
        reject(swarm, owner, message.push, refusal)
        return
    owner.accepted_push = message.push
    # Each task takes a worker anyway: one that says so is like all others.
    needs = tuple(sorted(need for need in message.resources.items() if need[0] != "cpu" or need[1] > 1))
    spec = TaskSpec(function, message.priority, message.max_retries, message.timeout, needs)
    records: list[TaskRecord] = []
    position = 1
    for task in tasks:
        if task.buffers:
            buffers = tuple(parcel.frames[position : position + task.buffers])
            position += task.buffers
            records.append(TaskRecord(task.counter, task.arguments, buffers))
        else:
            records.append(TaskRecord(task.counter, task.arguments))
    swarm.usages.begin(job.client, swarm.registry, swarm.ledger.story.now)
    swarm.ledger.accept(job, spec, records)
    swarm.outbox.entries.append(JournalEntry(owner.id, parcel))
    swarm.outbox.promise(owner.peer, Parcel(PushAccepted(message.push)))


def cancel(swarm: SwarmState, owner: OwnerNode, parcel: Parcel[Cancel]) -> None:
    """An owner cancels tasks, or a whole system that it pushed; a client also what such a system pushed.

    A cancellation that is repeated is recognised: meanwhile more may have been pushed.
    """
    message = parcel.message
    if message.push:
        if message.push > owner.accepted_push:
            owner.accepted_push = message.push
            swarm.outbox.entries.append(JournalEntry(owner.id, parcel))
            _cancel(swarm, owner, message)
        swarm.outbox.promise(owner.peer, Parcel(PushAccepted(owner.accepted_push)))
    else:
        _cancel(swarm, owner, message)


def _cancel(swarm: SwarmState, owner: OwnerNode, message: Cancel) -> None:
    job = swarm.ledger.jobs.get(message.system)
    if job is None:
        return
    is_client = swarm.client_of(job) is owner
    if not is_client and owner.id not in (job.owner, job.pusher):
        return
    if job.owner != owner.id and message.counters is None:
        who = "its client" if is_client else "the task system that pushed it"
        cancel_system(swarm, job, who)
        return
    if message.counters is None:
        owner.is_cancelled = False
    cancel_tasks(swarm, job, message.counters, "its owner")


def cancel_everything(swarm: SwarmState, job: Job, by: str) -> int:
    """Cancel the plain tasks of a client, those too that it would push from iterables or on behalf of tasks.

    Args:
        swarm: The state.
        job: The client's job.
        by: Who wants that, for people.

    Returns:
        How many were unfinished.
    """
    owner = swarm.registry.owner(job.owner)
    if owner is not None:
        owner.is_cancelled = True
        swarm.outbox.send(owner.peer, Parcel(Cancel(job.system)))
    return cancel_tasks(swarm, job, None, by)


def cancel_system(swarm: SwarmState, job: Job, by: str) -> None:
    """Cancel a task system; its client is told.

    Args:
        swarm: The state.
        job: The system's job.
        by: Who wants that, for people.
    """
    fault = faults.Fault(faults.KIND_CANCELLED, f"the task system {job.name} was cancelled by {by}")
    how = f"cancelled by {by}"
    end_system(swarm, job, LOST, [encode_results([PackedResult(faults.encode_fault(fault))])], how)


def cancel_tasks(swarm: SwarmState, job: Job, counters: Sequence[int] | None, by: str) -> int:
    """Cancel tasks of a job, queued and running; their owner is told.

    Args:
        swarm: The state.
        job: Whose tasks.
        counters: Which; None for all that are unfinished.
        by: Who wants that, for people.

    Returns:
        How many were unfinished.
    """
    ended, touched = swarm.ledger.cancel(job, counters)
    for assignment in touched:
        slave = swarm.registry.slave(assignment.slave)
        if slave is None:
            # It lies on the work queue, where nothing can be taken back: the copy there does not count any more.
            swarm.unclaimed.pop(assignment.chunk, None)
            swarm.ledger.recall(assignment.chunk)
        else:
            # The worker is ended only if that hurts no other task; what waits there is queued again.
            swarm.outbox.send(slave.peer, Parcel(TakeBack(assignment.chunk, kill=not assignment.pending)))
    if ended is None:
        return 0
    tell_fault(swarm, job, ended, faults.Fault(faults.KIND_CANCELLED, f"the task was cancelled by {by}"))
    return len(ended.counters)


def define_bundle(swarm: SwarmState, owner: Node, parcel: Parcel[DefineBundle]) -> None:
    """An owner sends code or a part of a shared object."""
    swarm.functions.define_bundle(owner.id, parcel.message, parcel.frames)
    if sum(map(frame_size, parcel.frames)) > _LARGE_BYTES:
        # Its pings wait behind more of this: without a word it would take the master for dead.
        swarm.outbox.send(owner.peer, Parcel(Pong()))


def forget_function(swarm: SwarmState, owner: OwnerNode, message: ForgetFunction) -> None:
    """An owner does not use a function any more.

    Raises:
        ProtocolError: Tasks or a system of it are unfinished.
    """
    number = swarm.functions.find(owner.id, message.number)
    for job in swarm.ledger.jobs.values():
        if number is None:
            break  # it had no room here
        if (job.owner == owner.id and job.uses(number)) or (job.pusher == owner.id and job.function == number):
            raise ProtocolError(f"function {message.number} is to be forgotten, and tasks of it are unfinished")
    tell_forgotten(swarm, swarm.functions.forget(owner.id, message.number))


def _refusal(swarm: SwarmState, owner: OwnerNode, job: Job, parcel: Parcel[PushTasks], count: int) -> str:
    """Why a push is beyond what an owner may have here; empty if it is not."""
    limits = swarm.limits
    if len(job.tasks) + count > swarm.task_bound:
        return f"{owner.name} pushed more than the {swarm.task_bound} unfinished tasks that it may have"
    if job.bytes_held + sum(map(frame_size, parcel.frames)) > limits.byte_window:
        return f"{owner.name} pushed more than the {limits.byte_window} bytes of unfinished tasks that it may have"
    if owner.deliveries.tasks > _UNHANDLED_WINDOWS * swarm.task_bound:
        return f"{owner.name} did not acknowledge {owner.deliveries.tasks} results"
    return ""
