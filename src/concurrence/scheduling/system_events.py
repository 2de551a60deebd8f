"""What the core does as task systems come and go, and with them their owners. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from concurrence.errors import ProtocolError, Refused
from concurrence.journal.api import JournalEntry
from concurrence.scheduling import attaching
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.notices import send_progress
from concurrence.scheduling.outbox import HostOrder
from concurrence.scheduling.owners import deliver_end, own_job, reject, tell_forgotten, unknown_function
from concurrence.scheduling.past import EndedJob
from concurrence.scheduling.registry import OwnerNode
from concurrence.wire import faults
from concurrence.wire.codec import Frame, Parcel, encode_results
from concurrence.wire.messages import (
    FINISHED,
    LOST,
    Bye,
    Hello,
    PackedResult,
    PushAccepted,
    PushSystem,
    ReportProgress,
    SystemEnded,
    TakeBack,
)


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


def push_system(swarm: SwarmState, owner: OwnerNode, parcel: Parcel[PushSystem]) -> None:
    """A client or another system's host pushes a task system: a host is started for it.

    Raises:
        ProtocolError: The id is taken, or whoever pushes is neither.
    """
    message = parcel.message
    if message.push <= owner.accepted_push:
        swarm.outbox.promise(owner.peer, Parcel(PushAccepted(owner.accepted_push)))
        return
    if message.system in swarm.ledger.jobs:
        raise ProtocolError(f"the system id {message.system:x} is taken")
    parent = _pushing_job(swarm, owner)
    function = swarm.functions.find(owner.id, message.function)
    refusal = _refusal(swarm, parent) if function is not None else unknown_function(swarm, owner)
    if message.detached:
        refusal = refusal or attaching.refusal(swarm, owner)
    if function is None or refusal:
        reject(swarm, owner, message.push, refusal)
        return
    owner.accepted_push = message.push
    job = swarm.ledger.open(Job(message.system, parent.client, None, message.name))
    job.pusher = owner.id
    job.weight = message.weight
    swarm.usages.begin(job.client, swarm.registry, swarm.ledger.story.now)
    job.depth = parent.depth + 1 if parent.function else 0
    job.opened = swarm.ledger.story.now
    job.root = parent.root if parent.function else job.system
    job.function = function
    if message.timeout:
        job.timeout = message.timeout
        heappush(swarm.deadlines, (job.opened + message.timeout, job.system))
    if message.detached:
        attaching.detach(swarm, owner, job)
    job.ticket = swarm.new_ticket()
    owner.systems.add(message.system)
    swarm.outbox.entries.append(JournalEntry(owner.id, parcel))
    swarm.outbox.promise(owner.peer, Parcel(PushAccepted(message.push)))
    swarm.outbox.hosts.append(HostOrder(job.system, job.client, job.name, job.ticket))


def _pushing_job(swarm: SwarmState, owner: OwnerNode) -> Job:
    """The job of whoever pushes: of a client that of its plain tasks, of a host that of its system.

    Raises:
        ProtocolError: It is neither.
    """
    job = swarm.ledger.jobs.get(owner.hello.system)
    if job is None or job.owner != owner.id:
        raise ProtocolError(f"a {owner.hello.kind} may not push task systems")
    return job


def _refusal(swarm: SwarmState, parent: Job) -> str:
    """Why nothing more may be pushed from there; empty if it may."""
    count = sum(job.client == parent.client and job.function != 0 for job in swarm.ledger.jobs.values())
    if count >= swarm.limits.system_window:
        return f"its client has {count} unfinished task systems, and each takes a process"
    if parent.function and parent.depth + 1 >= swarm.limits.system_depth:
        return f"{parent.depth + 1} task systems pushed one another in a row, and no more may"
    return ""


def system_ended(swarm: SwarmState, owner: OwnerNode, parcel: Parcel[SystemEnded]) -> None:
    """A host hands over its system's one result.

    Raises:
        ProtocolError: It is not that system's host.
    """
    job = own_job(swarm, owner, parcel.message.system)
    if not job.function:
        raise ProtocolError(f"{owner.name} ended the system {job.system:x}, which is that of its plain tasks")
    swarm.usages.system_ended(job.client, parcel.message.busy, swarm.ledger.story.now)
    end_system(swarm, job, parcel.message.status, parcel.frames)


def end_overdue(swarm: SwarmState, now: float) -> None:
    """End the task systems that have taken longer than they may."""
    while swarm.deadlines and swarm.deadlines[0][0] <= now:
        due, system = heappop(swarm.deadlines)
        job = swarm.ledger.jobs.get(system)
        if job is None or job.opened + job.timeout != due:
            continue  # it has ended
        text = f"the task system {job.name} took longer than its time-out of {job.timeout:g} s"
        hint = "Raise its timeout, or let it push less."
        fault = faults.Fault(faults.KIND_TIMEOUT, text, hint=hint)
        end_system(swarm, job, LOST, [encode_results([PackedResult(faults.encode_fault(fault))])], "timed out")


def report_progress(swarm: SwarmState, owner: OwnerNode, message: ReportProgress) -> None:
    """A host says how far its system is."""
    job = own_job(swarm, owner, message.system)
    job.done, job.total, job.text, job.changed = message.done, message.total, message.text, True


def host_exited(swarm: SwarmState, system: int, text: str) -> None:
    """A host ended; if its system did not, whoever pushed it is told."""
    job = swarm.ledger.jobs.get(system)
    if job is None:
        return
    fault = faults.Fault(
        faults.KIND_SYSTEM,
        f"the process of the task system {job.name} ended before it was complete: {text}",
        hint="Run the application with --inline to see where.",
    )
    end_system(swarm, job, LOST, [encode_results([PackedResult(faults.encode_fault(fault))])])


def end_system(swarm: SwarmState, job: Job, status: int, frames: Sequence[Frame], how: str = "") -> None:
    """Close a system's job and deliver its one result to whoever pushed it.

    Args:
        swarm: The state.
        job: The system's job.
        status: ``FINISHED`` or how it failed.
        frames: A results body with one entry.
        how: How it ended, in a few words; by default what the status says.
    """
    send_progress(swarm, job)
    close_job(swarm, job, how or ("complete" if status == FINISHED else "failed"))
    if job.system in swarm.detached:
        for lost in swarm.detached.end(job.system, status, frames):
            swarm.outbox.news.append(
                f"the result of the detached task system {lost} had to go: nobody came for it"
            )
    pusher = swarm.registry.owner(job.pusher)
    if pusher is not None:
        deliver_end(swarm, pusher, job.system, status, frames)


def close_job(swarm: SwarmState, job: Job, how: str, client: OwnerNode | None = None) -> None:
    """Forget a job: what runs of it is ended, its host is stopped, and what that pushed is forgotten with it.

    Args:
        swarm: The state.
        job: The job.
        how: How it ended, in a few words.
        client: Its client, if that is gone already.
    """
    _remember(swarm, job, how, client or swarm.client_of(job))
    for assignment in swarm.ledger.close(job.system):
        swarm.unclaimed.pop(assignment.chunk, None)
        slave = swarm.registry.slave(assignment.slave)
        if slave is not None:
            swarm.outbox.send(slave.peer, Parcel(TakeBack(assignment.chunk, kill=True)))
    swarm.fairness.forget(job, client_too=job.client not in swarm.ledger.clients)
    attaching.forget_code(swarm, job)
    if job.function:
        swarm.outbox.stopped_hosts.append(job.system)
    host = swarm.registry.owner(job.owner)
    if host is not None and job.function:
        swarm.outbox.send(host.peer, Parcel(Bye("the task system has ended")))
        swarm.registry.remove(host)
        owner_lost(swarm, host, "its task system has ended")


def _remember(swarm: SwarmState, job: Job, how: str, client: OwnerNode | None) -> None:
    if not job.function and not job.next_counter:
        return  # a client that pushed no plain task
    ended = EndedJob(
        job.system,
        job.name,
        client.name if client is not None else "",
        how,
        job.opened,
        swarm.ledger.story.now,
        job.finished,
        job.failed,
        job.cancelled + len(job.tasks),
    )
    swarm.past.end(ended)
    swarm.measures.closed(job)


def owner_lost(swarm: SwarmState, owner: OwnerNode, reason: str) -> None:
    """An owner is gone for good: what it has is cancelled and forgotten; who pushed a host's system is told."""
    hosted = swarm.ledger.jobs.get(owner.hello.system)
    if hosted is not None and hosted.owner == owner.id and hosted.function:
        host_exited(swarm, hosted.system, reason)
    for system in sorted(owner.systems):
        job = swarm.ledger.jobs.get(system)
        if job is not None and job.pusher == owner.id and not attaching.left(swarm, owner, system):
            is_client = job.client == owner.id
            who = "its client has left" if is_client else "the task system that pushed it has ended"
            close_job(swarm, job, f"{who}: {reason}", owner if is_client else None)
    owner.systems.clear()
    swarm.usages.forget(owner.id)
    tell_forgotten(swarm, swarm.functions.forget_owner(owner.id))
