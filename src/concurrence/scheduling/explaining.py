"""How a task or a job is, why it does not go on, and what to do: what ``concurrence explain`` tells. Pure."""

from __future__ import annotations

from msgspec import Struct

from concurrence.errors import NotFound
from concurrence.scheduling import blocking
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.blocking import Ahead, Block
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec, TaskState
from concurrence.scheduling.ledger.story import ENDS, Entry
from concurrence.scheduling.past import EndedJob

MANY_TIMES = 10.0
"""A chunk that is under way for so many times what it should take is worth a word."""


class Step(Struct, frozen=True):
    """A step of a task's story.

    Attributes:
        ago: Seconds since then.
        event: What happened, in words.
        slave: Where; empty if it was at no slave.
        chunk: In which chunk; 0 if in none.
        attempt: Of which attempt; 0 if of none.
        note: What else is to be said.
    """

    ago: float
    event: str
    slave: str = ""
    chunk: int = 0
    attempt: int = 0
    note: str = ""


class Explanation(Struct, frozen=True):
    """How a task or a job is.

    Attributes:
        system: The job.
        counter: The task; None if the job is meant.
        name: What people see: of the task its function, of the job its own.
        client: The name of the client whose it is.
        state: ``queued``, ``delayed``, ``assigned`` or ``ended``; of a job also ``idle``, ``starting`` and
            ``running``.
        text: A sentence of how it is.
        block: What it waits for; None if it does not wait for anything.
        before: Tasks of the same job that go first; None if that means nothing.
        ahead: Jobs of which something goes first.
        fix: What to do about it; empty if there is nothing to do.
        story: What happened to the task, as far as it is kept.
        slave: Where it is.
        chunk: In which chunk it is; 0 if in none.
        attempt: The attempt that is queued or under way; 0 for a job.
    """

    system: int
    counter: int | None
    name: str
    client: str
    state: str
    text: str
    block: Block | None = None
    before: int | None = None
    ahead: list[Ahead] = []
    fix: str = ""
    story: list[Step] = []
    slave: str = ""
    chunk: int = 0
    attempt: int = 0


def explain_job(swarm: SwarmState, job: Job, now: float) -> Explanation:
    """How a job is: what its next task waits for, if it waits.

    Args:
        swarm: The state.
        job: The job.
        now: The time.
    """
    client = _client_name(swarm, job)
    spec = job.queue.head()
    state, text = job_state(swarm, job, now)
    if spec is None:
        return Explanation(job.system, None, job.name, client, state, text)
    block = blocking.of_job(swarm, job, spec)
    ahead = blocking.ahead_of(swarm, job, spec.priority)
    name = swarm.functions.name(spec.function)
    text = f"{text}; next is a task of {name}" if name else text
    return Explanation(job.system, None, job.name, client, state, text, block=block, ahead=ahead, fix=block.fix)


def explain_task(swarm: SwarmState, job: Job, counter: int, now: float) -> Explanation:
    """How a task is, and its story as far as it is kept.

    Args:
        swarm: The state.
        job: Whose task.
        counter: The task.
        now: The time.

    Raises:
        NotFound: The job has not pushed a task with this number.
    """
    if counter >= job.next_counter:
        pushed = "no task yet" if not job.next_counter else f"tasks 0 to {job.next_counter - 1} so far"
        raise NotFound(f"there is no task {counter}: {_of(job)} has pushed {pushed}")
    entries = swarm.ledger.story.of(job.system, counter)
    story = [_step(entry, now) for entry in entries]
    record = job.tasks.get(counter)
    if record is None:
        return _ended_task(swarm, job, counter, entries, story)
    if record.state == TaskState.DELAYED:
        return _delayed_task(swarm, job, record, story, now)
    if record.state == TaskState.ASSIGNED:
        return _assigned_task(swarm, job, record, story, now)
    return _queued_task(swarm, job, record, story)


def explain_ended(swarm: SwarmState, ended: EndedJob, counter: int | None, now: float) -> Explanation:
    """How a job was that is over, or what happened to a task of it.

    Args:
        swarm: The state.
        ended: The job.
        counter: The task; None if the job is meant.
        now: The time.
    """
    text = (
        f"{ended.how}, {_seconds(now - ended.ended)} ago; {ended.finished:,} tasks finished, "
        f"{ended.failed:,} failed, {ended.cancelled:,} cancelled"
    )
    story = []
    if counter is not None:
        story = [_step(entry, now) for entry in swarm.ledger.story.of(ended.system, counter)]
        text = f"as its job is over: {text}"
    return Explanation(ended.system, counter, ended.name, ended.client, "ended", text, story=story)


def job_state(swarm: SwarmState, job: Job, now: float) -> tuple[str, str]:
    """The state of a job, as a word and as a sentence.

    Args:
        swarm: The state.
        job: The job.
        now: The time.
    """
    owner = swarm.registry.owner(job.owner)
    if owner is None:
        return "starting", "its process is being started"
    away = "" if owner.peer is not None else f"; the connection to {owner.label} is broken"
    if job.queued and not job.running:
        return "queued", f"{_tasks(job.queued)} queued, none under way{away}"
    if job.running:
        return "running", f"{_tasks(job.running)} under way, {job.queued:,} queued{away}"
    if job.delayed:
        first = min(each.due for each in job.delayed.values())
        wait = f"the first in {_seconds(max(0.0, first - now))}"
        return "delayed", f"{_tasks(len(job.delayed))} failed and tried again later, {wait}{away}"
    idle = "its task system has pushed nothing that is unfinished" if job.name else "nothing is unfinished"
    return "idle", f"{idle}{away}"


def _queued_task(swarm: SwarmState, job: Job, record: TaskRecord, story: list[Step]) -> Explanation:
    found = blocking.find_queued(job, record.counter)
    assert found is not None, f"{record} is queued and in no queue"
    block = blocking.blocking(swarm, job, found.spec)
    ahead = blocking.ahead_of(swarm, job, found.spec.priority)
    return Explanation(
        job.system,
        record.counter,
        swarm.functions.name(found.spec.function),
        _client_name(swarm, job),
        "queued",
        f"{_tasks(found.before)} of its job go before it" if found.before else "next of its job",
        block=block,
        before=found.before,
        ahead=ahead,
        fix=block.fix,
        story=story,
        attempt=record.attempt,
    )


def _delayed_task(swarm: SwarmState, job: Job, record: TaskRecord, story: list[Step], now: float) -> Explanation:
    delayed = job.delayed[record.counter]
    failures = "once" if record.retries == 1 else f"{record.retries} times"
    left = delayed.spec.max_retries - record.retries
    more = (
        f"it may fail {left} more time{'s' if left != 1 else ''}"
        if left > 0
        else "if it fails again that is final"
    )
    return Explanation(
        job.system,
        record.counter,
        swarm.functions.name(delayed.spec.function),
        _client_name(swarm, job),
        "delayed",
        f"failed {failures}, and is tried again in {_seconds(max(0.0, delayed.due - now))}; {more}",
        story=story,
        attempt=record.attempt,
    )


def _assigned_task(swarm: SwarmState, job: Job, record: TaskRecord, story: list[Step], now: float) -> Explanation:
    assignment = next(each for each in job.assignments.values() if record.counter in each.pending)
    slave = swarm.registry.slave(assignment.slave)
    spec = assignment.spec
    text = _under_way(swarm, assignment, now)
    fix = _fix_of_long(swarm, job, record, assignment, now) if slave is not None else ""
    return Explanation(
        job.system,
        record.counter,
        swarm.functions.name(spec.function),
        _client_name(swarm, job),
        "assigned",
        text,
        fix=fix,
        story=story,
        slave=slave.name if slave is not None else "",
        chunk=assignment.chunk,
        attempt=record.attempt,
    )


def _under_way(swarm: SwarmState, assignment: Assignment, now: float) -> str:
    """Where a chunk is, and for how long."""
    since = _seconds(now - assignment.at)
    others = len(assignment.pending) - 1
    chunk = f"chunk {assignment.chunk}"
    if others:
        chunk = f"{chunk} with {others:,} more task{'s' if others != 1 else ''}"
    slave = swarm.registry.slave(assignment.slave)
    if slave is None:
        return f"on the work queue for {since}, in {chunk}; no slave has taken it yet"
    text = f"at slave {slave.name} for {since}, running or waiting for a worker, in {chunk}"
    if slave.peer is None:
        return f"{text}; the connection to that slave is broken: if it does not come back, others run it"
    return text + _usual(swarm, assignment.spec)


def _usual(swarm: SwarmState, spec: TaskSpec) -> str:
    mean = swarm.rates.mean(spec.function)
    usual = f"; such a task takes {_seconds(mean)} on average" if mean is not None else ""
    return f"{usual}; an attempt ends after {_seconds(spec.timeout)}" if spec.timeout else usual


def _fix_of_long(swarm: SwarmState, job: Job, record: TaskRecord, assignment: Assignment, now: float) -> str:
    """What to do about a task that takes far longer than others of its function."""
    mean = swarm.rates.mean(assignment.spec.function)
    took = now - assignment.at
    if mean is None or assignment.spec.timeout or took < max(1.0, MANY_TIMES * mean * len(assignment.pending)):
        return ""
    return (
        f"It takes far longer than others: concurrence cancel {job.system:016x}/{record.counter}; or give such "
        "tasks a time-out (timeout=...)."
    )


def _ended_task(swarm: SwarmState, job: Job, counter: int, entries: list[Entry], story: list[Step]) -> Explanation:
    ends = [entry for entry in entries if entry.event in ENDS]
    if ends:
        text = str(ends[-1].event)
    elif entries:
        text = "over; how it ended is not kept"
    else:
        text = "over, or never pushed; its story is not kept any more"
    return Explanation(job.system, counter, "", _client_name(swarm, job), "ended", text, story=story)


def _step(entry: Entry, now: float) -> Step:
    return Step(max(0.0, now - entry.at), entry.event.value, entry.who, entry.chunk, entry.attempt, entry.note)


def _client_name(swarm: SwarmState, job: Job) -> str:
    client = swarm.client_of(job)
    return client.name if client is not None else ""


def _of(job: Job) -> str:
    return f"the task system {job.name}" if job.name else "this client"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count:,} tasks"


def _seconds(seconds: float) -> str:
    """A duration in words that a sentence can have: ``3 ms``, ``0.2 s``, ``2 min 5 s``."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.2g} ms"
    if seconds < 59.95:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
