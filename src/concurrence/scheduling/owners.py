"""What all events of owners have in common. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from concurrence.errors import ProtocolError
from concurrence.journal.api import JournalEntry
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.functions import MAX_FUNCTIONS
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.registry import OwnerNode
from concurrence.wire.codec import Frame, Parcel
from concurrence.wire.messages import ForgetFunction, PushRejected, SystemResult

_ROOM_HINT = "Drop every Shared that is not used any more, or share less."


def own_job(swarm: SwarmState, owner: OwnerNode, system: int) -> Job:
    """The job that an owner names.

    Raises:
        ProtocolError: It is not its own.
    """
    job = swarm.ledger.jobs.get(system)
    if job is None or job.owner != owner.id:
        raise ProtocolError(f"{owner.name} named the system {system:x}, which it does not own")
    return job


def unknown_function(swarm: SwarmState, owner: OwnerNode) -> str:
    """Why a function that a push names is not there."""
    if swarm.functions.is_over(owner.id):
        return (
            f"{owner.name} has {swarm.functions.bytes_of(owner.id):,} bytes of code and shared objects here, and "
            f"with those of this push it would be more than the {swarm.limits.code_window:,} that it may have"
        )
    if swarm.functions.is_full(owner.id):
        return f"{owner.name} defined more than the {MAX_FUNCTIONS} functions that it may have"
    return "its function was not defined first"


def reject(swarm: SwarmState, owner: OwnerNode, push: int, text: str) -> None:
    """Answer a push that is not accepted; kept, because later pushes that are accepted count for it too."""
    owner.accepted_push = push
    rejection = PushRejected(push, text, _ROOM_HINT if swarm.functions.is_over(owner.id) else "")
    owner.rejections.append(rejection)
    swarm.outbox.send(owner.peer, Parcel(rejection))


def deliver_end(swarm: SwarmState, owner: OwnerNode, system: int, status: int, frames: Sequence[Frame]) -> None:
    """Deliver the one result of a task system to whoever pushed it, or attached to it.

    Args:
        swarm: The state.
        owner: Whoever that is.
        system: The system.
        status: ``FINISHED`` or how it failed.
        frames: A results body with one entry.
    """
    owner.systems.discard(system)
    parcel = Parcel(SystemResult(len(frames), owner.deliveries.next_number(), system, status), tuple(frames))
    owner.deliveries.keep(parcel)
    swarm.outbox.entries.append(JournalEntry(owner.id, parcel))
    swarm.outbox.promise(owner.peer, parcel)


def tell_forgotten(swarm: SwarmState, unused: list[tuple[int, bytes]]) -> None:
    """Tell the slaves which functions nobody uses any more."""
    forgotten: dict[str, list[tuple[int, bytes]]] = {}
    for number, digest in unused:
        swarm.forget_function(number)
        for holder in swarm.functions.take_holders(number):
            forgotten.setdefault(holder, []).append((number, digest))
    for holder, functions in forgotten.items():
        slave = swarm.registry.slave(holder)
        known = [each for each in functions if slave is not None and each[1] in slave.known]
        if slave is None or slave.peer is None or not known:
            continue
        slave.known.difference_update(digest for _, digest in known)
        swarm.functions.prune(slave.known)
        for number, _ in known:
            swarm.outbox.send(slave.peer, Parcel(ForgetFunction(number)))
