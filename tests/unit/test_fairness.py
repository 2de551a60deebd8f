"""Fair share between clients, and the size of chunks that follows from measured rates."""

from __future__ import annotations

import math

import pytest
from swarm_story import Master, counters_of, machine

from concurrence.scheduling.fairness import FairShare
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec
from concurrence.scheduling.rates import LONG_TASK_SECONDS, MAX_CHUNK, Rates


def job(system: int, client: str, priority: int = 0, tasks: int = 1_000) -> Job:
    made = Job(system, client, client)
    if tasks:
        made.queue.push(TaskSpec(1, priority), [TaskRecord(counter, b"") for counter in range(tasks)])
    return made


def serve(share: FairShare, jobs: list[Job], rounds: int, seconds: float = 1.0) -> list[int]:
    served: list[int] = []
    for _ in range(rounds):
        share.enter(jobs)
        chosen = share.choose(lambda job: job in jobs)
        assert chosen is not None
        chosen.queue.take(1)
        share.charge(chosen, seconds)
        served.append(chosen.system)
    return served


def test_clients_take_turns_however_many_jobs_they_have() -> None:
    jobs = [job(1, "a"), job(2, "a"), job(3, "a"), job(4, "b")]
    served = serve(FairShare(), jobs, 60)
    assert served.count(4) == 30
    assert served.count(1) == served.count(2) == served.count(3) == 10


def test_priority_counts_within_a_client_only() -> None:
    jobs = [job(1, "a", priority=9), job(2, "a"), job(3, "b", priority=-9)]
    served = serve(FairShare(), jobs, 20)
    assert (served.count(1), served.count(2), served.count(3)) == (10, 0, 10)


def test_who_comes_late_or_paused_has_saved_nothing_up() -> None:
    share = FairShare()
    a, b = job(1, "a"), job(2, "b")
    serve(share, [a, b], 2)
    serve(share, [a], 500)
    assert serve(share, [b], 1) == [2], "alone for a moment"
    assert serve(share, [a, b], 20).count(1) >= 9
    c = job(3, "c")
    served = serve(share, [a, b, c], 30)
    assert 9 <= served.count(3) <= 11


@pytest.mark.usefixtures("each_policy")
@pytest.mark.parametrize("names", ["ab", "ba"])
def test_long_tasks_of_one_client_leave_every_other_turn_to_another(names: str) -> None:
    master = Master()
    slave = master.slave()
    first = master.client(names[0], 70)
    first.define()
    first.push(1, range(4), system=70)
    slave.work_off(busy=10.0)  # long: more than runs at once is not given out
    first.push(2, range(4, 104), system=70)
    late = master.client(names[1], 71)
    late.define()
    late.push(1, range(4), system=71)
    order: list[int] = []
    while chunks := slave.pull(1):
        for chunk in chunks:
            order += [chunk.message.system] * chunk.message.count
            slave.answer(chunk, busy=10.0)
    assert len(order) == 104
    assert max(at for at, system in enumerate(order) if system == 71) <= 12


def test_who_is_not_eligible_is_passed_over_until_admitted() -> None:
    share = FairShare()
    a, b = job(1, "a"), job(2, "b")
    share.enter([a, b])
    assert share.choose(lambda job: job is b) is b
    assert share.choose(lambda job: False) is None
    assert share.choose(lambda job: True) is None, "nobody said that it may be otherwise now"
    share.admit("a")
    assert share.choose(lambda job: True) is a
    share.admit()
    share.charge(a, 1.0)
    assert share.choose(lambda job: True) is b
    empty = FairShare()
    empty.enter([job(3, "c", tasks=0)])
    assert empty.choose(lambda job: True) is None


def test_who_is_set_aside_comes_again_in_the_next_round() -> None:
    share = FairShare()
    a, other, b = job(1, "a", priority=1), job(2, "a"), job(3, "b")
    share.enter([a, other, b])
    assert share.choose(lambda job: True) is a
    share.set_aside(a)
    assert share.choose(lambda job: True) is other
    share.set_aside(other)
    assert share.choose(lambda job: True) is b
    share.set_aside(b)
    assert share.choose(lambda job: True) is None
    share.end_round()
    assert share.choose(lambda job: True) is a


def test_a_client_that_pushes_to_another_job_is_not_barred_for_the_first() -> None:
    share = FairShare()
    a, other = job(1, "a"), job(2, "a")
    share.enter([a])
    assert share.choose(lambda job: job is other) is None
    share.enter([other])
    assert share.choose(lambda job: job is other) is other


def test_what_is_out_of_date_does_not_pile_up() -> None:
    share = FairShare()
    mine = job(1, "a", tasks=10_000)
    serve(share, [mine], 5_000)
    assert len(getattr(share, "_heap")) < 2_000  # noqa: B009  it is nobody else's business


def test_clients_that_left_are_forgotten() -> None:
    share = FairShare()
    for number in range(100):
        each = job(number, f"client {number}")
        serve(share, [each], 3)
        share.forget(each, client_too=True)
    assert all(not getattr(share, name) for name in ("_served", "_turn"))


def test_a_million_tasks_do_not_delay_ten() -> None:
    master = Master()
    crowd, few = master.client("crowd", 1), master.client("few", 2)
    slave = master.slave(description=machine(2, 4))
    crowd.define()
    few.define(1, b"another function")
    master.checked = False  # it costs as much as there is
    for push in range(30):
        crowd.push(push + 1, range(push * 4_000, push * 4_000 + 4_000), system=1)
    for _ in range(10):
        for chunk in slave.pull():
            slave.answer(chunk, busy=len(counters_of(chunk)) * 1e-5)
    few.push(1, range(10), system=2)
    chunks_before = 0
    waiting = set(range(10))
    while waiting:
        (chunk,) = slave.pull(1)
        if chunk.message.system == 2:
            waiting -= set(counters_of(chunk))
        else:
            chunks_before += 1
        slave.answer(chunk, busy=len(counters_of(chunk)) * 1e-5)
    assert chunks_before <= 4 + 10 + 1, "what was under way, and then one each in turn"


@pytest.mark.parametrize(
    ("seconds", "queued", "windows", "size"),
    [
        (None, 1_000, 4, 1),
        (0.001, 1_000, 4, 2),
        (0.000_01, 100_000, 4, 200),
        (0.000_000_1, 100_000, 4, MAX_CHUNK),
        (0.000_01, 40, 4, 10),
        (0.000_01, 3, 4, 1),
        (0.000_01, 100, 0, 100),
        (5.0, 100, 4, 1),
        (1e-308, 100_000, 4, MAX_CHUNK),
    ],
)
def test_chunk_sizes(seconds: float | None, queued: int, windows: int, size: int) -> None:
    rates = Rates()
    if seconds is not None:
        rates.observe(1, 1, seconds, "slave")
    assert rates.chunk_size(1, queued, windows) == size


def test_rates_fade_and_are_forgotten() -> None:
    rates = Rates()
    rates.observe(1, 10, 10.0, "slave")
    assert rates.is_long(1)
    for _ in range(20):
        rates.observe(1, 10, 0.01, "slave")
    assert rates.mean(1) == pytest.approx(0.001, rel=1)
    assert not rates.is_long(1)
    rates.forget(1)
    assert rates.mean(1) is None
    assert not rates.is_long(1)
    assert LONG_TASK_SECONDS > 0


@pytest.mark.parametrize(("tasks", "seconds"), [(0, 1.0), (5, 0.0), (5, -1.0), (5, math.inf), (5, math.nan)])
def test_what_is_no_measurement_changes_nothing(tasks: int, seconds: float) -> None:
    rates = Rates()
    rates.observe(1, 1, 0.001, "slave")
    rates.observe(1, tasks, seconds, "slave")
    assert rates.mean(1) == 0.001


def test_a_client_of_twice_the_weight_gets_twice_as_much() -> None:
    share = FairShare()
    jobs = [job(1, "a"), job(2, "b")]
    share.enter(jobs)
    served: list[int] = []
    for _ in range(90):
        chosen = share.choose(lambda job: True)
        assert chosen is not None
        chosen.queue.take(1)
        share.charge(chosen, 1.0, 2.0 if chosen.client == "a" else 1.0)
        served.append(chosen.system)
    assert 58 <= served.count(1) <= 62


def test_systems_of_a_client_share_by_weight_and_seconds_where_priorities_are_equal() -> None:
    share = FairShare()
    heavy, light, urgent = job(1, "a"), job(2, "a"), job(3, "a", priority=1, tasks=10)
    heavy.weight = 3.0
    assert serve(share, [heavy, light, urgent], 10) == [3] * 10, "priority first"
    served = serve(share, [heavy, light], 80)
    assert 58 <= served.count(1) <= 62
    late = job(4, "a")
    served = serve(share, [heavy, light, late], 50)
    assert 8 <= served.count(4) <= 12, "who comes late has saved nothing up"


@pytest.mark.usefixtures("each_policy")
def test_the_master_weighs_clients_by_name() -> None:
    master = Master(weights={"the a": 3.0})
    slave = master.slave()
    for node, system in (("a", 70), ("b", 71)):
        client = master.client(node, system)
        client.define()
        client.push(1, range(400), system=system)
    order: list[int] = []
    while len(order) < 200:
        for chunk in slave.pull(1):
            order += [chunk.message.system] * chunk.message.count
            slave.answer(chunk, busy=0.002 * chunk.message.count)
    assert 0.65 <= order.count(70) / len(order) <= 0.85
