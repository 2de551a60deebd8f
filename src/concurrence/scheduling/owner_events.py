"""What the core does with what clients and hosts say. Pure functions of the swarm's state and one event."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from concurrence.errors import ProtocolError, Refused
from concurrence.journal.api import JournalEntry
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.deliveries import frame_size
from concurrence.scheduling.functions import MAX_FUNCTIONS
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec
from concurrence.scheduling.outbox import HostOrder
from concurrence.scheduling.registry import Node, OwnerNode, SlaveNodeRecord
from concurrence.scheduling.slave_events import tell_fault
from concurrence.wire import faults
from concurrence.wire.codec import Frame, Parcel, decode_tasks, encode_results
from concurrence.wire.messages import (
    LOST,
    Bye,
    Cancel,
    DefineBundle,
    ForgetFunction,
    Hello,
    Output,
    PackedResult,
    Pong,
    Progress,
    PushAccepted,
    PushRejected,
    PushSystem,
    PushTasks,
    ReportProgress,
    SystemEnded,
    SystemResult,
    TakeBack,
)

LONELY_SECONDS = 5.0
"""Tasks that wait for so long without any slave are worth a word to their client."""

_ROOM_HINT = "Drop every Shared that is not used any more, or share less."
_LARGE_BYTES = 1024 * 1024  # of a bundle
_UNHANDLED_WINDOWS = 4  # an owner acknowledges after it has handled what came, which may be several windows


def check_system(swarm: SwarmState, hello: Hello) -> Job | None:
    """Whether whoever says hello may name the system it names, before anything is changed.

    Returns:
        A host's job.

    Raises:
        Refused: The system is not its own; the text says why.
    """
    known = swarm.registry.get(hello.node)
    if known is not None and known.hello.session == hello.session and known.hello.system != hello.system:
        raise Refused(f"a node cannot change its system: {known.name} came with {known.hello.system:x}")
    job = swarm.ledger.jobs.get(hello.system)
    if hello.kind == "client" and job is not None and job.client != hello.node:
        raise Refused(f"the system id {hello.system:x} is taken by another client")
    if hello.kind != "host":
        return None
    if job is None or not job.ticket or job.ticket != hello.ticket:
        raise Refused(f"no task system {hello.system:x} waits for a host with this ticket")
    return job


def push_tasks(swarm: SwarmState, owner: OwnerNode, parcel: Parcel[PushTasks]) -> None:
    """An owner pushes a chunk of tasks; a repeated push is recognised and only acknowledged again.

    Raises:
        ProtocolError: The push names a system that is not the owner's, or is malformed.
    """
    message = parcel.message
    if message.push <= owner.accepted_push:
        swarm.outbox.promise(owner.peer, Parcel(PushAccepted(owner.accepted_push)))
        return
    job = _own_job(swarm, owner, message.system)
    tasks = decode_tasks(parcel.frames)
    function = swarm.functions.find(owner.id, message.function)
    refusal = _refusal(swarm, owner, job, parcel, len(tasks)) if function is not None else _unknown(swarm, owner)
    if function is None or refusal:
        _reject(swarm, owner, message.push, refusal)
        return
    owner.accepted_push = message.push
    spec = TaskSpec(
        function, message.priority, message.max_retries, message.timeout, tuple(sorted(message.resources.items()))
    )
    records: list[TaskRecord] = []
    position = 1
    for task in tasks:
        if task.buffers:
            buffers = tuple(parcel.frames[position : position + task.buffers])
            position += task.buffers
            records.append(TaskRecord(task.counter, task.arguments, buffers))
        else:
            records.append(TaskRecord(task.counter, task.arguments))
    swarm.ledger.accept(job, spec, records)
    swarm.outbox.entries.append(JournalEntry(owner.id, parcel))
    swarm.outbox.promise(owner.peer, Parcel(PushAccepted(message.push)))


def push_system(swarm: SwarmState, owner: OwnerNode, parcel: Parcel[PushSystem]) -> None:
    """A client pushes a task system: a host is started for it.

    Raises:
        ProtocolError: The id is taken, or whoever pushes is no client.
    """
    message = parcel.message
    if message.push <= owner.accepted_push:
        swarm.outbox.promise(owner.peer, Parcel(PushAccepted(owner.accepted_push)))
        return
    if owner.hello.kind != "client":
        raise ProtocolError(f"a {owner.hello.kind} may not push task systems")
    if message.system in swarm.ledger.jobs:
        raise ProtocolError(f"the system id {message.system:x} is taken")
    function = swarm.functions.find(owner.id, message.function)
    if function is None:
        _reject(swarm, owner, message.push, _unknown(swarm, owner))
        return
    if len(owner.systems) > swarm.limits.system_window:
        text = f"{owner.name} has {len(owner.systems) - 1} unfinished task systems, and each takes a process"
        _reject(swarm, owner, message.push, text)
        return
    owner.accepted_push = message.push
    job = swarm.ledger.open(Job(message.system, owner.id, None, message.name))
    job.function = function
    job.ticket = swarm.new_ticket()
    owner.systems.add(message.system)
    swarm.outbox.entries.append(JournalEntry(owner.id, parcel))
    swarm.outbox.promise(owner.peer, Parcel(PushAccepted(message.push)))
    swarm.outbox.hosts.append(HostOrder(job.system, owner.id, job.name, job.ticket))


def cancel(swarm: SwarmState, owner: OwnerNode, message: Cancel) -> None:
    """An owner cancels tasks, or a client a whole system of its own."""
    job = swarm.ledger.jobs.get(message.system)
    if job is None or owner.id not in (job.owner, job.client):
        return
    if job.owner != owner.id and message.counters is None:
        fault = faults.Fault(faults.KIND_CANCELLED, f"the task system {job.name} was cancelled by its client")
        end_system(swarm, job, LOST, [encode_results([PackedResult(faults.encode_fault(fault))])])
        return
    ended, touched = swarm.ledger.cancel(job, message.counters)
    for assignment in touched:
        slave = swarm.registry.slave(assignment.slave)
        if slave is None:
            # It lies on the work queue, where nothing can be taken back: the copy there does not count any more.
            swarm.unclaimed.pop(assignment.chunk, None)
            swarm.ledger.recall(assignment.chunk)
        else:
            # The worker is ended only if that hurts no other task; what waits there is queued again.
            swarm.outbox.send(slave.peer, Parcel(TakeBack(assignment.chunk, kill=not assignment.pending)))
    if ended is not None:
        tell_fault(swarm, job, ended, faults.Fault(faults.KIND_CANCELLED, "the task was cancelled by its owner"))


def system_ended(swarm: SwarmState, owner: OwnerNode, parcel: Parcel[SystemEnded]) -> None:
    """A host hands over its system's one result.

    Raises:
        ProtocolError: It is not that system's host.
    """
    job = _own_job(swarm, owner, parcel.message.system)
    if job.client == owner.id:
        raise ProtocolError(f"{owner.name} ended the system {job.system:x}, which is that of its plain tasks")
    end_system(swarm, job, parcel.message.status, parcel.frames)


def report_progress(swarm: SwarmState, owner: OwnerNode, message: ReportProgress) -> None:
    """A host says how far its system is."""
    job = _own_job(swarm, owner, message.system)
    job.done, job.total, job.text, job.changed = message.done, message.total, message.text, True


def host_exited(swarm: SwarmState, system: int, text: str) -> None:
    """A host ended; if its system did not, the client is told."""
    job = swarm.ledger.jobs.get(system)
    if job is None:
        return
    fault = faults.Fault(
        faults.KIND_SYSTEM,
        f"the process of the task system {job.name} ended before it was complete: {text}",
        hint="Run the application with --inline to see where.",
    )
    end_system(swarm, job, LOST, [encode_results([PackedResult(faults.encode_fault(fault))])])


def end_system(swarm: SwarmState, job: Job, status: int, frames: Sequence[Frame]) -> None:
    """Close a system's job and deliver its one result to its client.

    Args:
        swarm: The state.
        job: The system's job.
        status: ``FINISHED`` or how it failed.
        frames: A results body with one entry.
    """
    send_progress(swarm, job)
    close_job(swarm, job)
    client = swarm.registry.owner(job.client)
    if client is None:
        return
    client.systems.discard(job.system)
    parcel = Parcel(SystemResult(len(frames), client.deliveries.next_number(), job.system, status), tuple(frames))
    client.deliveries.keep(parcel)
    swarm.outbox.entries.append(JournalEntry(client.id, parcel))
    swarm.outbox.promise(client.peer, parcel)


def close_job(swarm: SwarmState, job: Job) -> None:
    """Forget a job: what runs of it is ended, its host is stopped, its host's code is forgotten."""
    for assignment in swarm.ledger.close(job.system):
        swarm.unclaimed.pop(assignment.chunk, None)
        slave = swarm.registry.slave(assignment.slave)
        if slave is not None:
            swarm.outbox.send(slave.peer, Parcel(TakeBack(assignment.chunk, kill=True)))
    others = any(other.client == job.client for other in swarm.ledger.jobs.values())
    swarm.fairness.forget(job, client_too=not others)
    if job.function:
        swarm.outbox.stopped_hosts.append(job.system)
    host = swarm.registry.owner(job.owner)
    if host is not None and host.id != job.client:
        swarm.outbox.send(host.peer, Parcel(Bye("the task system has ended")))
        swarm.registry.remove(host)
        owner_lost(swarm, host, "its task system has ended")


def owner_lost(swarm: SwarmState, owner: OwnerNode, reason: str) -> None:
    """An owner is gone for good: what it has is cancelled and forgotten, and a host's client is told."""
    hosted = swarm.ledger.jobs.get(owner.hello.system)
    if hosted is not None and hosted.owner == owner.id and hosted.client != owner.id:
        host_exited(swarm, hosted.system, reason)
    for system in sorted(owner.systems):
        job = swarm.ledger.jobs.get(system)
        if job is not None and job.client == owner.id:
            close_job(swarm, job)
    owner.systems.clear()
    _tell_forgotten(swarm, swarm.functions.forget_owner(owner.id))


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
        if (job.owner == owner.id and job.uses(number)) or (job.client == owner.id and job.function == number):
            raise ProtocolError(f"function {message.number} is to be forgotten, and tasks of it are unfinished")
    _tell_forgotten(swarm, swarm.functions.forget(owner.id, message.number))


def _tell_forgotten(swarm: SwarmState, unused: list[tuple[int, bytes]]) -> None:
    """Tell the slaves which functions nobody uses any more."""
    for number, _ in unused:
        swarm.rates.forget(number)
    digests = {digest for _, digest in unused}
    for slave in swarm.registry.slaves():
        forgotten = [number for number, digest in unused if digest in slave.known]
        if forgotten:
            slave.known -= digests
            swarm.functions.prune(slave.known)
        for number in forgotten:
            swarm.outbox.send(slave.peer, Parcel(ForgetFunction(number)))


def send_progress(swarm: SwarmState, job: Job) -> None:
    """Tell the client how a job is."""
    job.changed = False
    client = swarm.registry.owner(job.client)
    if client is not None:
        swarm.outbox.send(client.peer, Parcel(progress_of(job)))


def tell_lonely(swarm: SwarmState, since: float | None, now: float) -> float | None:
    """Tell clients whose tasks wait although there is no slave at all.

    Args:
        swarm: The state.
        since: What this returned last: since when there has been no slave; infinity once clients were told.
        now: The time.
    """
    waiting = [job for job in swarm.ledger.jobs.values() if job.queued]
    if not waiting or swarm.registry.slaves():
        return None
    if since is None or now - since < LONELY_SECONDS:
        return now if since is None else since
    for job in waiting:
        client = swarm.registry.owner(job.client)
        text = f"WARNING no slave is connected; {_who_waits(job.queued)}. Start one: concurrence slave"
        if client is not None:
            swarm.outbox.send(client.peer, Parcel(Output(job.system, None, "log", "master", text)))
    return inf


def _who_waits(count: int) -> str:
    return "1 task waits" if count == 1 else f"{count} tasks wait"


def tell_impossible(swarm: SwarmState, now: float) -> None:
    """Tell clients whose next task no slave will ever get, and why; once until that changes."""
    slaves = swarm.registry.slaves()
    for job in swarm.ledger.jobs.values():
        why = _why_impossible(job, slaves) if slaves else None
        if why is None:
            job.impossible = None
        elif job.impossible is None or job.impossible[0] != why:
            job.impossible = (why, now)
        elif now - job.impossible[1] >= LONELY_SECONDS:
            job.impossible = (why, inf)
            spec = job.queue.head()
            name = swarm.functions.name(spec.function) if spec is not None else ""
            text = f"WARNING {name} {why}; {_who_waits(job.queued)}"
            client = swarm.registry.owner(job.client)
            if client is not None:
                swarm.outbox.send(client.peer, Parcel(Output(job.system, None, "log", "master", text)))


def _why_impossible(job: Job, slaves: Sequence[SlaveNodeRecord]) -> str | None:
    """Why no connected slave will run a job's next task; None if one will, or nothing waits."""
    spec = job.queue.head()
    if spec is None:
        return None
    if any(slave.offers(spec.resources) for slave in slaves):
        return job.refusal or None
    needs = ", ".join(f"{name}={amount:g}" for name, amount in spec.resources)
    return f"needs {needs}, which no connected slave offers"


def progress_of(job: Job) -> Progress:
    """The state of a job as a message."""
    return Progress(
        system=job.system,
        queued=job.queued,
        running=job.running,
        finished=job.finished,
        failed=job.failed,
        cancelled=job.cancelled,
        busy=min(job.busy, 1e15),
        moved=job.moved,
        done=job.done,
        total=job.total,
        text=job.text,
    )


def _unknown(swarm: SwarmState, owner: OwnerNode) -> str:
    """Why a function that a push names is not there."""
    if swarm.functions.is_over(owner.id):
        return (
            f"{owner.name} has {swarm.functions.bytes_of(owner.id):,} bytes of code and shared objects here, and "
            f"with those of this push it would be more than the {swarm.limits.code_window:,} that it may have"
        )
    if swarm.functions.is_full(owner.id):
        return f"{owner.name} defined more than the {MAX_FUNCTIONS} functions that it may have"
    return "its function was not defined first"


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


def _reject(swarm: SwarmState, owner: OwnerNode, push: int, text: str) -> None:
    """Answer a push that is not accepted; kept, because later pushes that are accepted count for it too."""
    owner.accepted_push = push
    rejection = PushRejected(push, text, _ROOM_HINT if swarm.functions.is_over(owner.id) else "")
    owner.rejections.append(rejection)
    swarm.outbox.send(owner.peer, Parcel(rejection))


def _own_job(swarm: SwarmState, owner: OwnerNode, system: int) -> Job:
    job = swarm.ledger.jobs.get(system)
    if job is None or job.owner != owner.id:
        raise ProtocolError(f"{owner.name} named the system {system:x}, which it does not own")
    return job
