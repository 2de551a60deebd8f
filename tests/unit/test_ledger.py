"""The ledger: stories of tasks, and a state machine that does to it whatever a swarm can do."""

from __future__ import annotations

import itertools
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from concurrence.errors import ProtocolError
from concurrence.scheduling.ledger.jobs import Assignment, Job
from concurrence.scheduling.ledger.ledger import Ledger
from concurrence.scheduling.ledger.records import Ended, TaskRecord, TaskSpec, TaskState
from concurrence.wire.messages import CANCELLED, EXPIRED, FAILED, FINISHED, LOST, REFUSED, RETURNED


def records(*counters: int) -> list[TaskRecord]:
    return [TaskRecord(counter, b"12345") for counter in counters]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(max_attempts=2)


@pytest.fixture
def job(ledger: Ledger) -> Job:
    return ledger.open(Job(7, "client", "client"))


def take(ledger: Ledger, job: Job, limit: int = 512) -> Assignment:
    return ledger.take(job, limit, 0.0)


class Weight(bytearray):
    """A buffer whose end can be seen."""


def test_what_is_cancelled_weighs_nothing_although_it_may_lie_in_the_queue(ledger: Ledger, job: Job) -> None:
    weights = [Weight(b"heavy") for _ in range(3)]
    watched = [weakref.ref(weight) for weight in weights]
    ledger.accept(job, TaskSpec(1), records(0))
    heavy = [TaskRecord(counter, b"", (memoryview(each),)) for counter, each in enumerate(weights, start=1)]
    ledger.accept(job, TaskSpec(1), heavy)
    weights.clear()
    heavy.clear()
    ledger.cancel(job, [1, 2])
    assert [weight() is None for weight in watched] == [True, True, False]
    assert job.bytes_held == 10
    ledger.sanity_check()


class TestAccept:
    def test_what_was_accepted_before_is_recognised(self, ledger: Ledger, job: Job) -> None:
        assert ledger.accept(job, TaskSpec(1), records(0, 1, 2)) == 3
        assert ledger.accept(job, TaskSpec(1), records(1, 2, 3)) == 1
        assert ledger.accept(job, TaskSpec(1), records(0)) == 0
        assert (job.queued, job.bytes_held) == (4, 20)
        ledger.sanity_check()

    def test_counters_must_rise(self, ledger: Ledger, job: Job) -> None:
        with pytest.raises(ProtocolError, match="must rise"):
            ledger.accept(job, TaskSpec(1), records(0, 2, 1))
        assert job.queued == 0
        ledger.sanity_check()

    def test_a_second_job_of_the_same_id_is_the_first(self, ledger: Ledger, job: Job) -> None:
        assert ledger.open(Job(7, "other", "other")) is job

    def test_buffers_count(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), [TaskRecord(0, b"123", (b"45", memoryview(b"678")))])
        assert job.bytes_held == job.moved == 8
        chunk = take(ledger, job)
        ledger.settle(chunk.chunk, [0], b"\0", 0.1)
        assert job.bytes_held == 0


class TestSettle:
    def test_a_whole_chunk(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0, 1))
        settled = ledger.settle(take(ledger, job).chunk, [1, 0], b"\0\0", 0.5)
        assert settled is not None
        assert (settled.ended, settled.done, settled.fresh, settled.ran) == (Ended([1, 0], b"\0\0"), True, 2, 2)
        assert (job.finished, job.running, job.busy) == (2, 0, 0.5)

    def test_late_and_repeated_results_count_for_nothing(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0, 1))
        chunk = take(ledger, job).chunk
        assert ledger.settle(chunk, [0], b"\0", 0.5) is not None
        again = ledger.settle(chunk, [0], b"\0", 0.5)
        assert again is not None
        assert (again.ended, again.done, again.fresh) == (None, False, 0)
        assert (job.finished, job.busy) == (1, 0.5)
        ledger.lose(chunk, None)
        assert ledger.settle(chunk, [1], b"\0", 0.5) is None
        ledger.sanity_check()

    def test_a_counter_twice_in_one_message(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0, 1))
        settled = ledger.settle(take(ledger, job).chunk, [0, 0], b"\0\0", 0.5)
        assert settled is not None
        assert settled.ended == Ended([0], b"\0", whole=False, kept=(0,))
        ledger.sanity_check()

    @pytest.mark.parametrize("status", [FAILED, EXPIRED])
    def test_retries(self, ledger: Ledger, job: Job, status: int) -> None:
        ledger.accept(job, TaskSpec(1, max_retries=1), records(0))
        assert ledger.settle(take(ledger, job).chunk, [0], bytes([status]), 0.5).ended is None  # type: ignore[union-attr]
        second = take(ledger, job)
        assert second.attempt == 2
        settled = ledger.settle(second.chunk, [0], bytes([status]), 0.5)
        assert settled is not None
        assert settled.ended == Ended([0], bytes([status]), kept=(0,))
        assert job.failed == 1

    def test_what_was_refused_is_not_tried_again(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1, max_retries=9), records(0))
        settled = ledger.settle(take(ledger, job).chunk, [0], bytes([REFUSED]), 0.5)
        assert settled is not None
        assert (settled.ended is not None, settled.ran) == (True, 0)

    def test_returned_tasks_say_nothing_about_time_and_keep_their_attempt(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0, 1, 2, 3))
        first = take(ledger, job)
        settled = ledger.settle(first.chunk, [0, 1, 2], bytes([FINISHED, RETURNED, RETURNED]), 0.5)
        assert settled is not None
        assert (settled.ran, settled.done) == (1, False)
        again = take(ledger, job)
        assert (list(again.pending), again.attempt) == ([1, 2], 1)

    def test_not_one_status_per_counter(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0))
        with pytest.raises(ProtocolError, match="1 results have 2 statuses"):
            ledger.settle(take(ledger, job).chunk, [0], b"\0\0", 0.5)


class TestLose:
    def test_only_the_running_task_is_charged_and_goes_alone(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0, 1, 2, 3))
        lost = ledger.lose(take(ledger, job).chunk, 1)
        assert lost is not None
        assert (lost.ended, lost.fresh) == (None, 4)
        suspect, others = take(ledger, job), take(ledger, job)
        assert (list(suspect.pending), list(others.pending)) == ([1], [0, 2, 3])
        assert suspect.attempt == others.attempt == 2
        quarantined = ledger.lose(suspect.chunk, 1)
        assert quarantined is not None
        assert quarantined.ended == Ended([1], bytes([LOST]))
        assert job.failed == 1
        ledger.sanity_check()

    def test_a_task_that_is_not_there_is_not_charged(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0, 1))
        ledger.lose(take(ledger, job).chunk, 99)
        assert [record.deaths for record in job.queue] == [0, 0]

    def test_an_unknown_chunk(self, ledger: Ledger) -> None:
        assert ledger.lose(5, None) is None
        assert ledger.recall(5) is None


class TestCancel:
    def test_a_chunk_stays_until_the_slave_has_answered(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0, 1, 2))
        chunk = take(ledger, job, 2)
        ended, touched = ledger.cancel(job, None)
        assert ended == Ended([2, 0, 1], bytes([CANCELLED]) * 3)
        assert touched == [chunk]
        first = ledger.settle(chunk.chunk, [0], b"\0", 0.1)
        assert first is not None
        assert (first.ended, first.done) == (None, False)
        second = ledger.settle(chunk.chunk, [1], bytes([RETURNED]), 0.1)
        assert second is not None
        assert (second.ended, second.done) == (None, True)
        assert (job.cancelled, job.finished, job.queued) == (3, 0, 0)

    def test_repeated_and_unknown_counters(self, ledger: Ledger, job: Job) -> None:
        ledger.accept(job, TaskSpec(1), records(0, 1))
        assert ledger.cancel(job, [1, 1, 99])[0] == Ended([1], bytes([CANCELLED]))
        assert ledger.cancel(job, [1]) == (None, [])

    def test_one_by_one_costs_no_more_than_all_at_once(self, ledger: Ledger, job: Job) -> None:
        """60,000 of them; with a cost that is quadratic this takes minutes."""
        for start in range(0, 60_000, 2_000):
            ledger.accept(job, TaskSpec(1), records(*range(start, start + 2_000)))
        for counter in range(0, 60_000, 2):
            ledger.cancel(job, [counter])
        for counter in range(59_999, 0, -2):
            ledger.cancel(job, [counter])
        assert (job.queued, job.cancelled) == (0, 60_000)
        assert job.queue.head() is None


def test_a_closed_job_leaves_nothing(ledger: Ledger, job: Job) -> None:
    other = ledger.open(Job(8, "client", "client"))
    for each in (job, other):
        ledger.accept(each, TaskSpec(1), records(0, 1, 2))
    mine, _ = take(ledger, job, 1), take(ledger, other, 1)
    assert ledger.close(7) == [mine]
    assert ledger.close(7) == []
    assert list(ledger.jobs) == [8]
    assert ledger.settle(mine.chunk, [0], b"\0", 0.1) is None
    ledger.sanity_check()


class LedgerMachine(RuleBasedStateMachine):
    """Two jobs, and everything that can happen to their tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(max_attempts=2)
        self.accepted: set[tuple[int, int]] = set()
        self.ended: dict[tuple[int, int], int] = {}
        self.closed: set[int] = set()
        self.chunks: dict[int, tuple[int, list[int]]] = {}
        self.next_counter: dict[int, int] = {1: 0, 2: 0}
        self.systems = itertools.count(3)
        for system in (1, 2):
            self.ledger.open(Job(system, "client", "client"))

    def note(self, system: int, ended: Ended | None) -> None:
        for counter, status in zip(ended.counters, ended.statuses, strict=True) if ended else ():
            assert (system, counter) in self.accepted
            assert (system, counter) not in self.ended, "a task ended twice"
            self.ended[system, counter] = status

    def job(self, index: int) -> Job:
        jobs = list(self.ledger.jobs.values())
        return jobs[index % len(jobs)]

    @rule(
        index=st.integers(0, 1), count=st.integers(1, 9), overlap=st.integers(0, 3),
        priority=st.integers(0, 1), retries=st.integers(0, 1),
    )  # fmt: skip
    def accept(self, index: int, count: int, overlap: int, priority: int, retries: int) -> None:
        job = self.job(index)
        start = max(0, self.next_counter[job.system] - overlap)
        counters = range(start, start + count)
        self.ledger.accept(job, TaskSpec(1, priority, retries), records(*counters))
        self.accepted.update((job.system, counter) for counter in counters)
        self.next_counter[job.system] = max(self.next_counter[job.system], start + count)

    @rule(index=st.integers(0, 1), limit=st.integers(1, 6))
    def take(self, index: int, limit: int) -> None:
        job = self.job(index)
        if job.queued:
            assignment = self.ledger.take(job, limit, 0.0)
            assert 1 <= len(assignment.pending) <= limit
            self.chunks[assignment.chunk] = (job.system, list(assignment.pending))

    @precondition(lambda self: bool(self.chunks))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        chunk, (system, counters) = data.draw(st.sampled_from(sorted(self.chunks.items())))
        some = data.draw(st.lists(st.sampled_from([*counters, 10_000]), max_size=8) | st.just(counters))
        statuses = data.draw(
            st.lists(st.integers(0, 7), min_size=len(some), max_size=len(some)) | st.just([0] * len(some))
        )
        settled = self.ledger.settle(chunk, some, bytes(statuses), 0.1)
        if settled is not None:
            self.note(system, settled.ended)
            assert settled.done == (chunk not in self.ledger.assignments)
            if settled.ended is not None:
                kept = range(len(some)) if settled.ended.whole else settled.ended.kept
                assert [some[position] for position in kept] == settled.ended.counters

    @precondition(lambda self: bool(self.chunks))
    @rule(data=st.data(), recall=st.booleans())
    def lose(self, data: st.DataObject, recall: bool) -> None:
        chunk, (system, counters) = data.draw(st.sampled_from(sorted(self.chunks.items())))
        if recall:
            self.ledger.recall(chunk)
        else:
            lost = self.ledger.lose(chunk, data.draw(st.sampled_from([None, *counters])))
            self.note(system, lost.ended if lost else None)
        assert chunk not in self.ledger.assignments

    @rule(index=st.integers(0, 1), counters=st.none() | st.lists(st.integers(0, 40), max_size=9))
    def cancel(self, index: int, counters: list[int] | None) -> None:
        job = self.job(index)
        ended, touched = self.ledger.cancel(job, counters)
        self.note(job.system, ended)
        assert len({each.chunk for each in touched}) == len(touched)
        if counters is None:
            assert not job.tasks

    @rule(index=st.integers(0, 1))
    def close(self, index: int) -> None:
        job = self.job(index)
        self.ledger.close(job.system)
        self.closed.add(job.system)
        system = next(self.systems)
        self.next_counter[system] = 0
        self.ledger.open(Job(system, "client", "client"))

    @invariant()
    def each_task_ended_once_or_is_still_here(self) -> None:
        self.ledger.sanity_check()
        for system, job in self.ledger.jobs.items():
            here = {(system, counter) for counter in job.tasks}
            ended = {key for key in self.ended if key[0] == system}
            assert here.isdisjoint(ended)
            assert here | ended == {key for key in self.accepted if key[0] == system}
            assert job.finished + job.failed + job.cancelled == len(ended)
            assert all(record.state in (TaskState.QUEUED, TaskState.ASSIGNED) for record in job.tasks.values())


TestMachine = LedgerMachine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
