"""A slave that drains gives back what has not started and takes nothing, until it works again."""

from __future__ import annotations

from test_slots import assign, define, only, results, started, upstream

from concurrence.wire.messages import RETURNED, NeedFunction
from concurrence.workers.slot_state import KillWorker, Seen, SendToWorker, StopChunk


def test_what_has_not_started_is_given_back_and_what_runs_goes_on() -> None:
    slots = started()
    for number in range(4):
        slots.assign(assign(number))
    out = slots.drain(is_on=True)
    assert [message.chunk for message in upstream(out)] == [2, 3]
    assert {status for message in upstream(out) for status in message.statuses} == {RETURNED}
    assert only(out, StopChunk) == [StopChunk(1, 0), StopChunk(1, 1)]
    seen = upstream(slots.worker_seen(1, Seen(0, 0, stopped={0, 1})))
    assert [message.counters for message in seen] == [[1], [100, 101]]
    (last,) = upstream(slots.worker_results(1, results(0, [0])))
    assert (last.counters, slots.held) == ([0], 0)
    slots.sanity_check()


def test_what_comes_nevertheless_is_given_back_at_once() -> None:
    slots = started()
    slots.drain(is_on=True)
    (returned,) = upstream(slots.assign(assign(7)))
    assert (returned.chunk, returned.statuses) == (7, bytes([RETURNED] * 2))
    assert slots.held == 0
    slots.sanity_check()


def test_what_waits_for_its_function_is_given_back() -> None:
    slots = started()
    assert upstream(slots.assign(assign(1, function=5))) == [NeedFunction(5)]
    (returned,) = upstream(slots.drain(is_on=True))
    assert returned.chunk == 1
    assert not only(slots.define(define(5)), SendToWorker)
    slots.sanity_check()


def test_it_works_again() -> None:
    slots = started()
    slots.drain(is_on=True)
    assert slots.drain(is_on=False) == []
    assert only(slots.assign(assign(1)), SendToWorker)


def test_what_was_cancelled_before_is_ended_all_the_same() -> None:
    slots = started()
    slots.assign(assign(1, count=1))
    slots.take_back(1, kill=True)
    slots.drain(is_on=True)
    out = slots.worker_seen(1, Seen(1, 0, stopped={1}))
    assert only(out, KillWorker) == [KillWorker(1)]
