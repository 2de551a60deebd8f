"""What queued tasks wait for: the constraint that blocks them, and the nearest fix. Pure.

Nothing of this is kept while tasks are scheduled: it is worked out from the state when somebody asks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from concurrence.scheduling import needs
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.queue import Run
from concurrence.scheduling.ledger.records import TaskSpec, TaskState
from concurrence.scheduling.needs import Needs
from concurrence.scheduling.registry import OwnerNode, SlaveNodeRecord


class Cause(StrEnum):
    """What blocks a task, as programs read it."""

    NO_SLAVE = "no slave"
    ALL_DRAIN = "all slaves drain"
    RESOURCES = "resources"
    ONLY_DRAINING = "only draining slaves"
    OWNER = "owner takes no results"
    STRATEGY = "strategy"
    RESTING = "slaves rest"
    BUSY = "busy"
    TURN = "turn"


PERMANENT = frozenset({Cause.NO_SLAVE, Cause.ALL_DRAIN, Cause.RESOURCES, Cause.ONLY_DRAINING, Cause.STRATEGY})
"""What does not end by itself: somebody has to do something."""


class Block(Struct, frozen=True):
    """Why tasks wait.

    Attributes:
        cause: Which constraint.
        why: The same in words, as the end of a sentence that begins with the task.
        fix: What to do about it; empty if it ends by itself.
    """

    cause: Cause
    why: str
    fix: str = ""


class Ahead(Struct, frozen=True):
    """A job of which something goes before a task.

    Attributes:
        system: The job.
        queued: Tasks of it that could go now.
        why: What puts it before the others.
    """

    system: int
    queued: int
    why: str


Seen: TypeAlias = dict[tuple[Needs, bool], tuple[Block | None, Block | None]]
"""What was found out of all slaves already, by what tasks need and whether these are long: there may be many."""


def blocking(swarm: SwarmState, job: Job, spec: TaskSpec, seen: Seen | None = None) -> Block:
    """What queued tasks of a job wait for.

    Args:
        swarm: The state.
        job: Whose tasks.
        spec: What they have in common.
        seen: Kept by whoever asks for many jobs at one moment.
    """
    lacking, room = _of_slaves(swarm, spec, {} if seen is None else seen)
    found = lacking or _by_owner(swarm, job) or _by_strategy(job, spec) or room
    assert found is not None, "what is possible waits for room at least"
    return found


def _of_slaves(swarm: SwarmState, spec: TaskSpec, seen: Seen) -> tuple[Block | None, Block | None]:
    """Why no slave would ever run them; and if one would, whether one has room."""
    key = (spec.resources, swarm.rates.is_long(spec.function))
    found = seen.get(key)
    if found is None:
        lacking = _by_slaves(swarm, spec)
        found = seen[key] = (lacking, None if lacking is not None else _by_room(swarm, spec))
    return found


def of_job(swarm: SwarmState, job: Job, head: TaskSpec, seen: Seen | None = None) -> Block:
    """What a job waits for: what blocks its next task, or if that only waits for its turn, others for good.

    Args:
        swarm: The state.
        job: The job.
        head: What is next of it.
        seen: Kept by whoever asks for many jobs at one moment.
    """
    seen = {} if seen is None else seen
    block = blocking(swarm, job, head, seen)
    if block.cause in PERMANENT:
        return block
    for what in sorted(job.queue.needs()):
        other, _ = _of_slaves(swarm, TaskSpec(0, resources=what), seen)
        if other is None:
            continue
        waiting = sum(_count(run) for run in job.queue.runs() if run.spec.resources == what)
        if waiting:
            text = other.why.removeprefix("it needs ")
            why = f"{waiting:,} of its tasks need {text}" if waiting > 1 else f"one of its tasks needs {text}"
            return Block(other.cause, why, other.fix)
    return block


def _count(run: Run) -> int:
    return sum(record.state == TaskState.QUEUED for record in run.records)


def _by_slaves(swarm: SwarmState, spec: TaskSpec) -> Block | None:
    """Whether there is a slave that would ever run them."""
    slaves = swarm.registry.slaves()
    if not slaves:
        return Block(Cause.NO_SLAVE, "no slave is connected", "Start one: concurrence slave --master slave.toml")
    working = swarm.registry.working()
    if not working:
        names = needs.names_of(slaves)
        return Block(Cause.ALL_DRAIN, f"all slaves drain: {names}", _resume(slaves[0]))
    if any(slave.offers(spec.resources) for slave in working):
        return None
    able = [slave for slave in slaves if slave.offers(spec.resources)]
    if able:
        what = needs.needs_text(spec.resources)
        why = f"it needs {what}, which only slaves that drain offer: {needs.names_of(able)}"
        return Block(Cause.ONLY_DRAINING, why, _resume(able[0]))
    why = needs.why_nobody(slaves, spec.resources)
    return Block(Cause.RESOURCES, f"it {why}", needs.fix_for(slaves, spec.resources, swarm.limits.alone))


def _by_owner(swarm: SwarmState, job: Job) -> Block | None:
    """Whether their owner takes results."""
    owner = swarm.registry.owner(job.owner)
    if owner is None or swarm.eligible(job):
        return None
    return Block(Cause.OWNER, _untaken(swarm, owner), _OWNER_FIX)


_REST_FIX = (
    "See what is wrong there: the errors of the tasks that failed name the slave. It is tried again by itself; or "
    "start another one that offers the same."
)


_OWNER_FIX = (
    "Its handlers take longer than the tasks: let them do less, or raise [masternode] delivery_window and "
    "task_window."
)


def _untaken(swarm: SwarmState, owner: OwnerNode) -> str:
    kept, limits = owner.deliveries, swarm.limits
    held = f"{kept.tasks:,} results with {kept.bytes:,} bytes"
    return (
        f"its owner, {owner.label}, has not acknowledged {held}; it may have {limits.task_window:,} results and "
        f"{limits.delivery_window:,} bytes"
    )


def _by_strategy(job: Job, spec: TaskSpec) -> Block | None:
    """Whether the strategy refuses all slaves; known of what is next only."""
    head = job.queue.head()
    if not job.refusal or head is None or head.function != spec.function:
        return None
    return Block(
        Cause.STRATEGY,
        f"it {job.refusal}",
        "Start a slave that it rates, or choose another: [generictaskscheduler] strategy.",
    )


def _by_room(swarm: SwarmState, spec: TaskSpec) -> Block:
    """Whether a slave has room now."""
    able = [slave for slave in swarm.registry.working() if slave.offers(spec.resources)]
    resting = [slave for slave in able if not slave.circuit.is_closed]
    able = [slave for slave in able if slave.circuit.is_closed]
    if not able:
        how = resting[0].circuit.describe(swarm.ledger.story.now)
        return Block(Cause.RESTING, f"of the slaves that could run it, {needs.names_of(resting)} {how}", _REST_FIX)
    free = [slave for slave in able if _has_room(swarm, slave, spec)]
    if free:
        return Block(Cause.TURN, f"nothing but its turn: {needs.names_of(free)} has room")
    kept = [slave for slave in able if slave.kept_for]
    text = f"; {needs.names_of(kept)} is kept free for a task that needs much" if kept else ""
    workers = sum(slave.workers for slave in able)
    if not spec.resources:
        busy = f"all {workers} workers are busy" if workers != 1 else "the only worker is busy"
        return Block(Cause.BUSY, busy + text)
    what, names = needs.needs_text(spec.resources), needs.names_of(able)
    if len(able) == 1:
        return Block(Cause.BUSY, f"the slave that offers {what} has it in use, or no room: {names}{text}")
    return Block(Cause.BUSY, f"the slaves that offer {what} have it in use, or no room: {names}{text}")


def _has_room(swarm: SwarmState, slave: SlaveNodeRecord, spec: TaskSpec) -> bool:
    room = slave.room
    if swarm.rates.is_long(spec.function):  # nothing waits behind long tasks
        room = min(room, slave.idle_workers)
    return room > 0 and "cpu" not in slave.kept_for and slave.has_free(spec.resources)


def _resume(slave: SlaveNodeRecord) -> str:
    return f"Have one work again: concurrence drain {slave.name} --resume; or start another: concurrence slave"


def ahead_of(swarm: SwarmState, job: Job, priority: int) -> list[Ahead]:
    """The jobs of which something goes before tasks of a job with this priority, those of other clients first.

    Args:
        swarm: The state.
        job: Whose tasks.
        priority: Theirs.
    """
    others: list[Ahead] = []
    mine: list[Ahead] = []
    served = swarm.fairness.served(job.client)
    for other in swarm.ledger.jobs.values():
        head = other.queue.head()
        if other is job or head is None or not swarm.eligible(other):
            continue
        if other.client != job.client:
            theirs = swarm.fairness.served(other.client)
            if (theirs, other.client) < (served, job.client):
                others.append(Ahead(other.system, other.queued, "its client had less of the swarm: fair share"))
        elif head.priority > priority:
            mine.append(Ahead(other.system, other.queued, f"its priority is {head.priority}"))
        elif head.priority == priority and swarm.fairness.served_system(other) < swarm.fairness.served_system(job):
            mine.append(Ahead(other.system, other.queued, "it had less of what this client was given"))
    return others + mine


class Queued(NamedTuple):
    """Where a queued task is.

    Attributes:
        spec: What it has in common with others.
        before: How many tasks of its job go before it, roughly: what is cancelled there counts until its turn.
    """

    spec: TaskSpec
    before: int


def find_queued(job: Job, counter: int) -> Queued | None:
    """Where a queued task is; None if it is not queued.

    Args:
        job: Whose task.
        counter: The task.
    """
    runs = sorted(job.queue.runs(), key=lambda run: (-run.spec.priority, run.order))
    before = 0
    for run in runs:
        for position, record in enumerate(run.records):
            if record.counter == counter and record.state == TaskState.QUEUED:
                return Queued(run.spec, before + position)
        before += len(run)
    return None
