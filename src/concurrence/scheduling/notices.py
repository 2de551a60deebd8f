"""What clients are told unasked: how far their work is, and why it does not go on. Pure."""

from __future__ import annotations

from math import inf

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Output, Progress

LONELY_SECONDS = 5.0
"""Tasks that wait for so long without any slave are worth a word to their client."""


def tell_lonely(swarm: SwarmState, since: float | None, now: float) -> float | None:
    """Tell clients whose tasks wait although there is no slave at all, or all of them drain.

    Args:
        swarm: The state.
        since: What this returned last: since when there has been no slave; infinity once clients were told.
        now: The time.
    """
    if len(swarm.roster.connected):
        return None
    waiting = [job for job in swarm.ledger.jobs.values() if job.queued]
    if not waiting:
        return None
    if since is None or now - since < LONELY_SECONDS:
        return now if since is None else since
    why, fix = "no slave is connected", "Start one: concurrence slave"
    slaves = swarm.registry.slaves()
    if slaves:
        why, fix = "all slaves drain", f"Have one work again: concurrence drain {slaves[0].name} --resume"
    for job in waiting:
        tell_client(swarm, job, f"WARNING {why}; {who_waits(job.queued)}. {fix}")
    return inf


def tell_client(swarm: SwarmState, job: Job, text: str) -> None:
    """Tell the client of a job something, as if the master had written it."""
    output = Output(job.system, None, "log", "master", text)
    swarm.past.add(output, swarm.ledger.story.now)
    client = swarm.client_of(job)
    if client is not None:
        swarm.outbox.send(client.peer, Parcel(output))


def who_waits(count: int) -> str:
    """So many tasks, as the end of a sentence."""
    return "1 task waits" if count == 1 else f"{count} tasks wait"


def send_progress(swarm: SwarmState, job: Job) -> None:
    """Tell the client how a job is."""
    job.changed = False
    client = swarm.client_of(job)
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
