"""The jobs of a swarm, a row for each: what ``concurrence jobs`` and ``concurrence top`` show. Pure."""

from __future__ import annotations

from msgspec import Struct

from concurrence.scheduling import blocking
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.explaining import job_state
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.naming import short_ids
from concurrence.scheduling.past import EndedJob

PLAIN_TASKS = "plain tasks"
"""What the plain tasks of a client go by: they have no name of their own."""


class JobView(Struct, frozen=True):
    """A job, as people see it.

    Attributes:
        id: Its system's id, 16 hexadecimal digits.
        short: The first of them, as many as tell it from other jobs.
        kind: ``system`` or ``tasks``.
        name: The task system's name; for plain tasks that.
        client: The name of the client whose it is.
        state: A word: ``starting``, ``queued``, ``running``, ``delayed``, ``idle`` or ``ended``.
        queued: Tasks that could go now.
        delayed: Tasks that failed and are tried again later.
        running: Tasks at slaves.
        finished: Tasks that returned a result.
        failed: Tasks that failed for good.
        cancelled: Tasks that were cancelled.
        done: How far the system says it is, of ``total``.
        total: See ``done``; 0 if it does not say.
        text: What the system says of its progress.
        priority: That of the task that is next; 0 if none is.
        weight: How much more than other systems of its client it may have.
        client_weight: How much more than other clients its client may have.
        age: Seconds since it began.
        busy: Seconds that workers spent in its tasks.
        waits_for: Why the task that is next does not go; empty if nothing waits.
        blocked: Whether that does not end by itself.
        ended: Seconds since it ended; None while it is there.
    """

    id: str
    short: str
    kind: str
    name: str
    client: str
    state: str
    queued: int = 0
    delayed: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    done: float = 0.0
    total: float = 0.0
    text: str = ""
    priority: int = 0
    weight: float = 1.0
    client_weight: float = 1.0
    age: float = 0.0
    busy: float = 0.0
    waits_for: str = ""
    blocked: bool = False
    ended: float | None = None


def names_of_all(swarm: SwarmState) -> dict[int, str]:
    """The names of all jobs that can be meant, those that ended included, by system; empty if they have none.

    Plain tasks go by their client's name. Of the jobs that ended the last one has its name, unless another one
    that has not ended goes by it.
    """
    names: dict[int, str] = {}
    for system, job in swarm.ledger.jobs.items():
        client = swarm.client_of(job) if job.next_counter else None
        names[system] = job.name or (client.name if client is not None else "")
    taken = set(names.values())
    for ended in reversed(swarm.past.ended):
        name = ended.name or ended.client
        names.setdefault(ended.system, "" if name in taken else name)
        taken.add(name)
    return names


MAX_VIEWS = 2_000
"""So many jobs are shown at most: all of them must fit into one answer of the API."""


def job_views(swarm: SwarmState, now: float, *, with_ended: bool = False) -> list[JobView]:
    """The jobs, those with something to do first and those of one client together, and then those that ended.

    Args:
        swarm: The state.
        now: The time.
        with_ended: Whether the jobs that ended last are wanted too.
    """
    shorts = short_ids(names_of_all(swarm))
    jobs = sorted(swarm.ledger.jobs.values(), key=lambda job: (not job.tasks, job.client, job.system))
    seen: blocking.Seen = {}
    views = [_view(swarm, job, shorts[job.system], now, seen) for job in jobs[:MAX_VIEWS]]
    if with_ended:
        views += [_ended_view(job, shorts[job.system], now) for job in reversed(swarm.past.ended)]
    return views


def _view(swarm: SwarmState, job: Job, short: str, now: float, seen: blocking.Seen) -> JobView:
    client = swarm.client_of(job)
    spec = job.queue.head()
    block = blocking.of_job(swarm, job, spec, seen) if spec is not None else None
    return JobView(
        id=f"{job.system:016x}",
        short=short,
        kind="system" if job.function else "tasks",
        name=job.name or PLAIN_TASKS,
        client=client.name if client is not None else "",
        state=job_state(swarm, job, now)[0],
        queued=job.queued,
        delayed=len(job.delayed),
        running=job.running,
        finished=job.finished,
        failed=job.failed,
        cancelled=job.cancelled,
        done=job.done,
        total=job.total,
        text=job.text,
        priority=spec.priority if spec is not None else 0,
        weight=job.weight,
        client_weight=swarm.weight_of(job),
        age=max(0.0, now - job.opened),
        busy=job.busy,
        waits_for=block.why if block is not None else "",
        blocked=block is not None and block.cause in blocking.PERMANENT,
    )


def _ended_view(job: EndedJob, short: str, now: float) -> JobView:
    return JobView(
        id=f"{job.system:016x}",
        short=short,
        kind="system" if job.name else "tasks",
        name=job.name or PLAIN_TASKS,
        client=job.client,
        state="ended",
        finished=job.finished,
        failed=job.failed,
        cancelled=job.cancelled,
        text=job.how,
        age=max(0.0, job.ended - job.began),
        ended=max(0.0, now - job.ended),
    )
