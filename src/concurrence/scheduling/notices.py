"""What clients are told unasked: how far their work is, and why it does not go on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Output, Progress

LONELY_SECONDS = 5.0
"""Tasks that wait for so long without any slave are worth a word to their client."""


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


def send_progress(swarm: SwarmState, job: Job) -> None:
    """Tell the client how a job is."""
    job.changed = False
    client = swarm.registry.owner(job.client)
    if client is not None:
        swarm.outbox.send(client.peer, Parcel(progress_of(job)))


def progress_of(job: Job) -> Progress:
    """The state of a job as a message."""
    return Progress(
        system=job.system,
        queued=job.waiting,
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
