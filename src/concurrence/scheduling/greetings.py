"""What a node is told when it comes, and others of it. Pure."""

from __future__ import annotations

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.registry import OwnerNode, SlaveNodeRecord
from concurrence.scheduling.roster import EXACT
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Cancel, Piece, PieceTaken, PushAccepted, Refusal, SlaveEntry, SlaveList

SECONDS_PER_SLAVE = 0.001
"""The list of slaves is sent again after at least so long for each that is on it: otherwise thousands that come
together would each have lists sent of all of them."""


def greet_owner(swarm: SwarmState, owner: OwnerNode, job: Job | None) -> None:
    """An owner was welcomed: it is told everything that it may have missed.

    Args:
        swarm: The state.
        owner: The owner.
        job: If it is a host, that of its task system.
    """
    if job is not None:
        job.owner = owner.id
        swarm.fairness.admit(job.client)
        owner.known.clear()
        swarm.outbox.send(owner.peer, Parcel(_slave_list(swarm)))
        for parcel in swarm.functions.definition(job.function, owner.known):
            swarm.outbox.send(owner.peer, parcel)
    elif owner.hello.kind == "client":
        if owner.hello.system not in swarm.ledger.jobs:
            opened = swarm.ledger.open(Job(owner.hello.system, owner.id, owner.id))
            opened.opened = owner.joined
        owner.systems.add(owner.hello.system)
        swarm.outbox.send(owner.peer, Parcel(_slave_list(swarm)))
    for system in owner.systems:
        swarm.ledger.jobs[system].changed = True
    if owner.is_cancelled:
        swarm.outbox.send(owner.peer, Parcel(Cancel(owner.hello.system)))
    for rejection in owner.rejections:
        swarm.outbox.send(owner.peer, Parcel(rejection))
    if owner.accepted_push:
        swarm.outbox.promise(owner.peer, Parcel(PushAccepted(owner.accepted_push)))
    for parcel in owner.deliveries.unacknowledged():
        swarm.outbox.promise(owner.peer, parcel)


def tell_slaves(swarm: SwarmState, now: float) -> None:
    """Tell all owners which slaves take work, if one came or went; in a large swarm, now and then."""
    count = len(swarm.roster.connected)
    if not swarm.slaves_changed or (count > EXACT and now - swarm.slaves_told < count * SECONDS_PER_SLAVE):
        return
    swarm.slaves_changed = False
    swarm.slaves_told = now
    parcel = Parcel(_slave_list(swarm))
    for node in swarm.registry:
        if node.hello.kind in ("host", "client"):
            swarm.outbox.send(node.peer, parcel)


def _slave_list(swarm: SwarmState) -> SlaveList:
    return SlaveList([SlaveEntry(slave.name, slave.workers) for slave in swarm.registry.working()])


def demand_hello(swarm: SwarmState, peer: bytes) -> None:
    """Somebody spoke who has not introduced itself."""
    text = "the first message on a connection must be a hello"
    swarm.outbox.send(peer, Parcel(Refusal("hello", text, "", retry=True)))


def hears(swarm: SwarmState, peer: bytes, message: Piece | PieceTaken, now: float, *, is_much: bool) -> bool:
    """A piece of a message came, or the answer to one: a sign of life, and more may follow.

    Args:
        swarm: The state.
        peer: Who sent it.
        message: The piece, or the answer.
        now: The time.
        is_much: Whether what it belongs to keeps the line busy.

    Returns:
        Whether the peer has introduced itself; of others no part is taken.
    """
    node = swarm.registry.at(peer)
    if node is None:
        demand_hello(swarm, peer)
        return False
    node.heard = now
    if is_much and isinstance(node, SlaveNodeRecord):
        swarm.moving_at = now
    if isinstance(message, Piece):
        swarm.outbox.send(peer, Parcel(PieceTaken(message.number)))
    return True
