"""The queue of one job: order, runs, priorities, and what is cancelled in it."""

from __future__ import annotations

import weakref

import pytest

from concurrence.scheduling.ledger.queue import MAX_CHUNK_BYTES, MAX_HELD, MAX_RUN, RUN_SECONDS, RunQueue
from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec

SPEC = TaskSpec(1)


def some(*counters: int, attempt: int = 1, deaths: int = 0) -> list[TaskRecord]:
    return [TaskRecord(counter, b"", attempt=attempt, deaths=deaths) for counter in counters]


def drain(queue: RunQueue, limit: int = 100) -> list[list[int]]:
    taken: list[list[int]] = []
    while queue:
        taken.append([record.counter for record in queue.take(limit)[1]])
    return taken


def test_an_empty_queue() -> None:
    queue = RunQueue()
    assert (len(queue), queue.head(), queue.head_attempt(), list(queue)) == (0, None, 0, [])
    with pytest.raises(IndexError):
        queue.take(1)


def test_alike_tasks_join_and_others_do_not() -> None:
    queue = RunQueue()
    queue.push(SPEC, some(0))
    queue.push(TaskSpec(1), some(1))
    queue.push(TaskSpec(2), some(2))
    queue.push(SPEC, some(3))
    assert drain(queue) == [[0, 1], [2], [3]]


def test_higher_priorities_go_first_and_the_front_before_the_back() -> None:
    queue = RunQueue()
    queue.push(TaskSpec(1, priority=-1), some(0))
    queue.push(TaskSpec(1, priority=5), some(1))
    queue.push(SPEC, some(2))
    queue.push(SPEC, some(3, attempt=2), front=True)
    assert queue.head() == TaskSpec(1, priority=5)
    assert drain(queue) == [[1], [3], [2], [0]]


def test_new_tasks_never_join_ones_that_were_tried() -> None:
    queue = RunQueue()
    queue.push(SPEC, some(0, 1, attempt=2), front=True)
    queue.push(SPEC, some(2))
    assert queue.head_attempt() == 2
    assert drain(queue) == [[0, 1], [2]]
    queue.push(SPEC, some(3, deaths=1), front=True)
    queue.push(SPEC, some(4))
    assert drain(queue) == [[3], [4]]


def test_tasks_that_killed_workers_go_alone() -> None:
    queue = RunQueue()
    queue.push(SPEC, some(0, 1, deaths=1))
    assert drain(queue) == [[0], [1]]


def test_a_run_does_not_grow_for_ever() -> None:
    queue = RunQueue()
    for counter in range(2 * MAX_RUN):
        queue.push(SPEC, some(counter))
    assert [len(run) for run in queue.runs()] == [MAX_RUN, MAX_RUN]


class Weight(bytearray):
    """A buffer whose end can be seen."""


def test_what_comes_later_does_not_go_before_what_waits_because_it_needs_the_same_as_others() -> None:
    queue, gpu = RunQueue(), TaskSpec(1, resources=(("gpu", 1.0),))
    queue.push(SPEC, some(0), now=1.0)
    queue.push(gpu, some(1), now=1.0)
    queue.push(SPEC, some(2), now=1.0 + RUN_SECONDS)  # within a moment they travel together
    for number in range(3, 10):
        queue.push(SPEC, some(number), now=float(number))
    assert drain(queue)[:2] == [[0, 2], [1]]


def test_alike_tasks_alone_make_one_run_however_long_they_wait() -> None:
    queue = RunQueue()
    for number in range(10):
        queue.push(SPEC, some(number), now=10.0 * number)
    assert drain(queue) == [list(range(10))]


def test_what_is_taken_is_freed_when_its_task_ends_and_not_with_the_run() -> None:
    queue = RunQueue()
    weights = [Weight(b"heavy") for _ in range(4)]
    watched = [weakref.ref(weight) for weight in weights]
    queue.push(SPEC, [TaskRecord(counter, b"", (memoryview(each),)) for counter, each in enumerate(weights)])
    weights.clear()
    queue.push(SPEC, some(4))
    assert [record.counter for record in queue.take(3)[1]] == [0, 1, 2]
    assert [weight() is None for weight in watched] == [True, True, True, False]
    assert queue.head_since() == 0.0
    assert drain(queue) == [[3, 4]]


def test_since_when_what_is_next_waits_is_known_after_some_were_taken() -> None:
    queue = RunQueue()
    queue.push(SPEC, some(0, 1, 2), now=1.0)
    queue.push(SPEC, some(3, 4), now=2.0)
    queue.take(2)
    assert queue.head_since() == 1.0
    queue.take(1)
    assert queue.head_since() == 2.0
    queue.push(SPEC, some(5), now=3.0)
    queue.take(2)
    assert queue.head_since() == 3.0


def test_what_is_discarded_is_skipped() -> None:
    queue = RunQueue()
    records = some(*range(10))
    queue.push(SPEC, records)
    low = some(10)
    queue.push(TaskSpec(1, priority=-1), low)
    for counter in (0, 1, 4, 9):
        queue.discard(records[counter])
    assert (len(queue), [record.counter for record in queue]) == (7, [2, 3, 5, 6, 7, 8, 10])
    assert [record.counter for record in queue.take(4)[1]] == [2, 3, 5], "of four, one was cancelled"
    for record in records[6:9]:
        queue.discard(record)
    assert queue.head() == TaskSpec(1, priority=-1)
    queue.discard(low[0])
    assert (len(queue), queue.head()) == (0, None)


def test_what_is_discarded_does_not_pile_up() -> None:
    queue = RunQueue()
    queue.push(SPEC, some(0))
    for start in range(1, 50_001, 100):
        records = some(*range(start, start + 100))
        queue.push(TaskSpec(start), records)
        for record in records:
            queue.discard(record)
    assert sum(len(run) for run in queue.runs()) < 2_100
    assert drain(queue) == [[0]]


def test_clear_returns_what_waits() -> None:
    queue = RunQueue()
    records = some(*range(5))
    queue.push(SPEC, records)
    queue.take(1)
    queue.discard(records[2])
    assert [record.counter for record in queue.clear()] == [1, 3, 4]
    assert (len(queue), queue.head(), list(queue.runs())) == (0, None, [])


def test_large_tasks_come_in_small_numbers() -> None:
    queue = RunQueue()
    third = bytes(MAX_CHUNK_BYTES // 3)
    sizes = [third, third, third, third, bytes(2 * MAX_CHUNK_BYTES), b""]
    queue.push(TaskSpec(1), [TaskRecord(counter, size) for counter, size in enumerate(sizes)])
    taken: list[list[int]] = []
    while len(queue):
        taken.append([record.counter for record in queue.take(100)[1]])
    assert taken == [[0, 1, 2], [3], [4], [5]]


GPU = TaskSpec(1, resources=(("gpu", 1.0),))


def test_what_is_on_hold_is_looked_past_and_keeps_its_turn() -> None:
    queue = RunQueue()
    queue.push(GPU, some(0))
    queue.push(SPEC, some(1, 2))
    queue.push(GPU, some(3))
    queue.push(TaskSpec(1, priority=1, resources=GPU.resources), some(4))
    assert queue.head() == TaskSpec(1, priority=1, resources=GPU.resources)
    queue.hold(GPU.resources)
    assert queue.head() == SPEC
    assert [record.counter for record in queue.take(1)[1]] == [1]
    queue.push(GPU, some(5, deaths=1), front=True)
    assert drain_some(queue, 1) == [[2]]
    assert (len(queue), queue.head(), queue.head_attempt()) == (4, None, 0)
    queue.release()
    assert drain(queue) == [[4], [5], [0, 3]]


def test_only_so_many_groups_are_looked_past() -> None:
    queue = RunQueue()
    for number in range(MAX_HELD + 1):
        queue.push(TaskSpec(1, resources=(("gpu", float(number)),)), some(number))
        queue.hold((("gpu", float(number)),))
    queue.push(SPEC, some(1_000))
    assert queue.head() is None
    queue.release()
    assert len(drain(queue)) == MAX_HELD + 2


def drain_some(queue: RunQueue, count: int) -> list[list[int]]:
    return [[record.counter for record in queue.take(100)[1]] for _ in range(count)]
