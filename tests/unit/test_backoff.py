"""Tasks that raised wait before they are tried again: longer each time, and not all together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm_story import SYSTEM, Master, Owner, Slave

from concurrence.scheduling.ledger.records import Backoff
from concurrence.wire.messages import FAILED, Cancel, ForgetFunction, Progress, Refusal, Results


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_delays_double_up_to_a_bound_and_half_is_left_to_chance(failures: int, chance: float) -> None:
    backoff = Backoff(0.1, 30.0)
    whole = min(30.0, 0.1 * 2.0 ** min(failures - 1, 60))
    assert whole / 2 <= backoff.delay(failures, chance) <= whole


def test_without_a_first_delay_there_is_none() -> None:
    assert Backoff().delay(5, 0.9) == 0.0


def failing(retries: int = 3) -> tuple[Master, Owner, Slave]:
    master = Master(retry_delay=1.0, longest_retry_delay=3.0)
    client, slave = master.client(), master.slave()
    client.define()
    client.push(1, range(2), max_retries=retries)
    for chunk in slave.pull():
        slave.answer(chunk, status=lambda counter: FAILED if counter == 0 else 0)
    return master, client, slave


@pytest.mark.usefixtures("each_policy")
def test_a_task_that_raised_is_not_given_out_before_its_time() -> None:
    master, client, slave = failing()
    begun = master.now
    assert not slave.pull()
    times: list[float] = []
    for _ in range(3):
        while not (chunks := slave.pull()):
            master.wait(0.25, client, slave)
        times.append(master.now - begun)
        begun = master.now
        slave.answer(chunks[0], status=FAILED)
    assert 0.5 <= times[0] <= 1.25
    assert 1.0 <= times[1] <= 2.25
    assert 1.5 <= times[2] <= 3.25
    ended = [counter for message in client.messages(Results) for counter in message.counters]
    assert sorted(ended) == [0, 1]


def test_who_waits_counts_as_queued_and_its_function_is_needed() -> None:
    master, client, slave = failing()
    master.wait(0.3, client, slave)
    assert client.messages(Progress)[-1].queued == 1
    client.say(ForgetFunction(1))
    assert "unfinished" in client.one(Refusal).text


@pytest.mark.parametrize("counters", [None, [0], [0, 0]])
def test_who_waits_can_be_cancelled(counters: list[int] | None) -> None:
    master, client, slave = failing()
    client.say(Cancel(SYSTEM, counters))
    ended = [counter for message in client.messages(Results) for counter in message.counters]
    assert sorted(ended) == [0, 1]
    master.wait(5.0, client, slave)
    assert not slave.pull()
    assert master.ledger.delays.next_due is None


def test_a_job_that_was_closed_is_not_woken() -> None:
    master, client, slave = failing()
    client.vanish()
    master.wait(15.0, slave)
    assert not master.ledger.jobs
    assert master.ledger.delays.next_due is None
