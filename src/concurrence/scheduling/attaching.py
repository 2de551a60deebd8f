"""What the core does as clients leave their detached task systems, and somebody comes back for them. Pure."""

from __future__ import annotations

from concurrence.errors import ProtocolError
from concurrence.journal.api import JournalEntry
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.detached import MAX_OF_KEY, Detached
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.owners import deliver_end, reject, tell_forgotten
from concurrence.scheduling.registry import OwnerNode
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import AttachSystem, PushAccepted

_MAX_SHOWN = 8


def refusal(swarm: SwarmState, owner: OwnerNode) -> str:
    """Why an owner may not push a detached system; empty if it may."""
    if owner.hello.kind != "client":
        return "only a client can detach a task system: one that a system pushed ends with that"
    if len(swarm.detached.of_key(owner.origin.key)) >= MAX_OF_KEY:
        return f"{MAX_OF_KEY} detached task systems of this key run or wait to be collected"
    return ""


def detach(swarm: SwarmState, owner: OwnerNode, job: Job) -> None:
    """A client pushed a system that is to outlive it."""
    detached = Detached(job.system, job.name, owner.origin.key, owner.id, client=owner.name)
    swarm.detached.open(detached)
    swarm.functions.keep(job.function, detached.keeper)


def forget_code(swarm: SwarmState, job: Job) -> None:
    """A job is closed: if it was detached its code is not kept for it any more."""
    detached = swarm.detached.get(job.system)
    if detached is not None:
        tell_forgotten(swarm, swarm.functions.forget_owner(detached.keeper))


def left(swarm: SwarmState, owner: OwnerNode, system: int) -> bool:
    """A client is gone; whether one of its systems goes on without it."""
    detached = swarm.detached.get(system)
    if detached is None:
        return False
    detached.listener = None
    swarm.outbox.tell(owner, f"leaves the task system {detached} behind")
    return True


def attach(swarm: SwarmState, owner: OwnerNode, parcel: Parcel[AttachSystem]) -> None:
    """A client comes for a detached system: from now on it is told how that goes, and of its end.

    Raises:
        ProtocolError: It is no client.
    """
    message = parcel.message
    if message.push <= owner.accepted_push:
        swarm.outbox.promise(owner.peer, Parcel(PushAccepted(owner.accepted_push)))
        return
    if owner.hello.kind != "client":
        raise ProtocolError(f"a {owner.hello.kind} may not attach to task systems")
    detached = swarm.detached.get(message.system)
    text = _why_not(swarm, owner, message.system, detached)
    if detached is None or text:
        reject(swarm, owner, message.push, text)
        return
    owner.accepted_push = message.push
    detached.listener = owner.id
    swarm.outbox.entries.append(JournalEntry(owner.id, parcel))
    swarm.outbox.promise(owner.peer, Parcel(PushAccepted(message.push)))
    job = swarm.ledger.jobs.get(message.system)
    if job is not None:
        job.pusher = owner.id
        job.changed = True
        owner.systems.add(job.system)
    elif detached.status is not None:
        deliver_end(swarm, owner, detached.system, detached.status, detached.frames)


def _why_not(swarm: SwarmState, owner: OwnerNode, system: int, detached: Detached | None) -> str:
    mine = swarm.detached.of_key(owner.origin.key)
    if detached is None or detached not in mine:  # whose it is otherwise is nobody's business
        there = f"there are {', '.join(map(str, mine[:_MAX_SHOWN]))}" if mine else "there is none"
        more = f" and {len(mine) - _MAX_SHOWN} more" if len(mine) > _MAX_SHOWN else ""
        return f"no detached task system {system:016x} of this key is here; {there}{more}"
    listener = swarm.registry.owner(detached.listener)
    if listener is not None and listener is not owner:
        return (
            f"the client {listener.name} at {listener.origin.address} is attached to {detached.name}; it is given "
            f"up {swarm.limits.lease:g} s after it was heard last"
        )
    return ""
