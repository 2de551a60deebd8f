"""The invariants of the ledger: every task is in exactly one place, and every counter counts. For tests.

All of it is checked by :func:`check_everything`, at a price that grows with the number of tasks; what the latest
events touched by :class:`SanityCheck`, at a price that grows with the chunks under way in the jobs concerned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.ledger.records import TaskRecord, TaskState
from concurrence.scheduling.ledger.story import ENDS, Entry, Event, Story

FULL_EVERY = 1_000
"""After so many entries of the story everything is checked."""


class SanityCheck:
    """Checks what changed since it was called last, and now and then everything.

    Args:
        jobs: All jobs, as the ledger has them.
        assignments: All chunks under way.
        story: What happened; it tells what is to be checked.
    """

    def __init__(self, jobs: Mapping[int, Job], assignments: Mapping[int, Assignment], story: Story) -> None:
        self._jobs = jobs
        self._assignments = assignments
        self._story = story
        self._seen = self._checked = story.count

    def __call__(self) -> None:
        """Check what the events since the last call touched.

        Raises:
            AssertionError: An invariant is broken; the text names it.
        """
        entries = self._story.since(self._seen)
        self._seen = self._story.count
        if self._seen - self._checked >= FULL_EVERY:
            self._checked = self._seen
            check_everything(self._jobs, self._assignments)
            return
        for system in sorted({entry.system for entry in entries}):
            job = self._jobs.get(system)
            if job is not None:
                _check_sums(job)
        for chunk in sorted({entry.chunk for entry in entries if entry.chunk in self._assignments}):
            _check_assignment(self._jobs, self._assignments[chunk])
        for entry in _of_open_jobs(entries):
            self._check_entry(entry)

    def _check_entry(self, entry: Entry) -> None:
        job = self._jobs.get(entry.system)
        if job is None:
            return
        for counter in entry.counters:
            record = job.tasks.get(counter)
            if record is None:
                assert counter not in job.delayed, f"{job} delays {counter}, which has ended"
            else:
                assert entry.event not in ENDS, f"{record} of {job} has ended ({entry.event}) and is still there"
                assert record.state != TaskState.CANCELLED, f"{record} of {job} is cancelled and still there"
                assert (record.state == TaskState.DELAYED) == (counter in job.delayed), f"{record} is not delayed"


def _of_open_jobs(entries: Sequence[Entry]) -> list[Entry]:
    """What was told of a system before its job was closed says nothing of a new one with its number."""
    closed = {entry.system: position for position, entry in enumerate(entries) if entry.event is Event.CLOSED}
    return [entry for position, entry in enumerate(entries) if position > closed.get(entry.system, -1)]


def check_everything(jobs: Mapping[int, Job], assignments: Mapping[int, Assignment]) -> None:
    """Check all jobs and chunks.

    Args:
        jobs: All jobs, by system.
        assignments: All chunks under way, by number.

    Raises:
        AssertionError: An invariant is broken; the text names it.
    """
    under_way: dict[int, set[int]] = {system: set() for system in jobs}
    for assignment in assignments.values():
        _check_assignment(jobs, assignment)
        there = under_way[assignment.job.system]
        for counter, record in assignment.pending.items():
            assert counter not in there, f"{record} is in two chunks"
            there.add(counter)
    known = sum(len(job.assignments) for job in jobs.values())
    assert known == len(assignments), "a job has a chunk that is not under way"
    for job in jobs.values():
        _check_sums(job)
        _check_job(job, under_way[job.system])


def _check_assignment(jobs: Mapping[int, Job], assignment: Assignment) -> None:
    job = assignment.job
    assert jobs.get(job.system) is job, f"{assignment} belongs to a closed job"
    assert job.assignments.get(assignment.chunk) is assignment, f"{job} does not know {assignment}"
    assert assignment.pending or assignment.cancelled, f"{assignment} is over and still here"
    assert assignment.cancelled.isdisjoint(job.tasks), f"{assignment} has unfinished tasks as cancelled"
    for counter, record in assignment.pending.items():
        assert job.tasks.get(counter) is record, f"{record} is under way and not of {job}"
        assert record.state == TaskState.ASSIGNED, f"{record} is under way but not assigned"
        assert record.attempt == assignment.attempt, f"{record} has another attempt than {assignment}"


def _check_sums(job: Job) -> None:
    running = sum(len(assignment.pending) for assignment in job.assignments.values())
    assert running == job.running, f"{job} counts its running tasks wrongly: {running}"
    everywhere = job.queued + running + len(job.delayed)
    assert everywhere == len(job.tasks), f"{job} has {len(job.tasks)} tasks, and {everywhere} are somewhere"
    ended = job.finished + job.failed + job.cancelled
    assert ended + len(job.tasks) <= job.next_counter, f"{job} ended more tasks than it accepted"
    assert job.bytes_held >= 0, f"{job} holds {job.bytes_held} bytes"


def _check_job(job: Job, under_way: set[int]) -> None:
    for run in job.queue.runs():
        waiting = [record for record in run.records if record.state == TaskState.QUEUED]
        assert len({record.attempt for record in waiting}) <= 1, f"{job} queues a run of several attempts"
    queued = [record.counter for record in job.queue]
    assert len(queued) == len(set(queued)) == job.queued, f"{job} counts its queue wrongly"
    assert all(record.state == TaskState.QUEUED for record in job.queue), f"{job} queues assigned tasks"
    delayed = {counter: each.record for counter, each in job.delayed.items()}
    assert all(_is_delayed(record) for record in delayed.values()), f"{job} delays other tasks"
    places = (set(queued), under_way, set(delayed))
    together = {counter for place in places for counter in place}
    assert sum(map(len, places)) == len(together), f"{job} has a task in two places"
    assert together == set(job.tasks), f"{job} lost or invented tasks"
    held = sum(record.size for record in job.tasks.values())
    assert held == job.bytes_held, f"{job} holds {held} bytes and counts {job.bytes_held}"


def _is_delayed(record: TaskRecord) -> bool:
    return record.state == TaskState.DELAYED
