"""The circuit breaker: slaves on which everything fails are left alone; and where failed tasks go next."""

from __future__ import annotations

from typing import Any

import pytest
from swarm_story import SYSTEM, Master, Owner, Slave, counters_of, ends, machine
from test_roster import calls_of

from concurrence.scheduling import explaining
from concurrence.scheduling.blocking import Cause
from concurrence.scheduling.circuit import (
    CHUNKS_PER_WORKER,
    FIRST_REST,
    LONGEST_REST,
    WINDOW_SECONDS,
    Circuit,
    CircuitState,
)
from concurrence.testing.histories import finish
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    FAILED,
    FINISHED,
    RETURNED,
    Assign,
    AttemptLost,
    Bye,
    Draining,
    Pause,
    Results,
    Status,
    StatusRequest,
    TakeBack,
)

pytestmark = pytest.mark.usefixtures("each_policy")


def anywhere(function: int) -> bool:
    return True


def fails(circuit: Circuit, now: float, function: int = 1) -> bool:
    circuit.fail(now, function)
    return circuit.judge(now, anywhere)


def broken(workers: int = 1, now: float = 0.0) -> Circuit:
    circuit = Circuit(workers)
    assert [fails(circuit, now) for _ in range(CHUNKS_PER_WORKER * workers)].index(True) == 3 * workers - 1
    return circuit


# --- the circuit alone ---


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_it_breaks_after_three_chunks_a_worker_in_a_row(workers: int) -> None:
    circuit = Circuit(workers)
    needed = CHUNKS_PER_WORKER * max(1, workers)
    for _ in range(needed - 1):
        assert not fails(circuit, 1.0)
    circuit.succeed()
    for _ in range(needed - 1):
        assert not fails(circuit, 1.0)
    assert circuit.is_closed
    assert fails(circuit, 1.0)
    assert circuit.state is CircuitState.OPEN


def test_failures_that_are_far_apart_do_not_count_together() -> None:
    circuit = Circuit(1)
    for n in range(20):
        assert not fails(circuit, n * (WINDOW_SECONDS / 2 + 1))
    assert circuit.is_closed


def test_what_fails_everywhere_does_not_count_and_does_not_hide_what_does() -> None:
    circuit = Circuit(1)
    for _ in range(3):
        circuit.fail(0.0, 1)
        circuit.fail(0.0, 2)
        assert not circuit.judge(0.0, lambda function: False)
    assert circuit.judge(0.0, lambda function: function == 2)
    circuit.tick(circuit.rested_at)
    circuit.fail(circuit.rested_at, 1)
    assert not circuit.judge(circuit.rested_at, lambda function: function == 2)
    assert circuit.state is CircuitState.TRIAL, "a trial that says nothing decides nothing"


def test_it_remembers_a_bounded_number_of_failures() -> None:
    circuit = Circuit(2)
    for n in range(1_000):
        circuit.fail(n / 1_000, n % 7)
    assert sum(circuit.failing.values()) == 4 * CHUNKS_PER_WORKER * 2


def test_it_rests_twice_as_long_each_time_up_to_a_bound_and_begins_anew_after_a_good_while() -> None:
    circuit = broken()
    now, rests = 0.0, list[float]()
    for _ in range(9):
        rests.append(circuit.rested_at - now)
        assert not circuit.tick(circuit.rested_at - 0.01)
        assert circuit.tick(circuit.rested_at)
        now = circuit.rested_at
        assert fails(circuit, now), "one chunk on trial decides"
    assert rests == [FIRST_REST * 2**n for n in range(6)] + [LONGEST_REST] * 3
    circuit.tick(circuit.rested_at)
    assert circuit.succeed()
    now = circuit.rested_at + 2 * LONGEST_REST
    while not fails(circuit, now):
        pass
    assert circuit.rested_at - now == FIRST_REST


def test_what_had_begun_before_it_broke_does_not_close_it() -> None:
    circuit = broken()
    assert not circuit.succeed()
    assert circuit.state is CircuitState.OPEN


# --- a master with slaves ---


def swarm_of(tasks: int, *, busy: float = 0.5, **spec: Any) -> tuple[Master, Owner, Slave, Slave]:
    """A client with tasks, and two slaves of which each had one and did it well."""
    master = Master()
    good = master.slave("good", machine(1, 2))
    bad = master.slave("bad", machine(1, 2))
    client = master.client()
    client.define()
    client.push(1, range(2))
    for slave in (good, bad):
        for chunk in slave.pull(1):
            slave.answer(chunk, busy=busy)
    good.work_off(busy=busy)
    client.take(Results)
    client.push(2, range(2, 2 + tasks), **spec)
    return master, client, good, bad


def fail_until_broken(bad: Slave, count: int = 3) -> list[Parcel[Assign]]:
    """The slave fails so many chunks in a row, and gives back what is asked back; what it still has."""
    held: list[Parcel[Assign]] = []
    for _ in range(count):
        held += bad.pull(1)
        bad.answer(held.pop(0), status=FAILED)
    asked = {message.chunk for message in bad.messages(TakeBack)}
    held += bad.take(Assign)
    for chunk in held:
        if chunk.message.chunk in asked:
            bad.answer(chunk, status=RETURNED)
    return [chunk for chunk in held if chunk.message.chunk not in asked]


def pulled_by(master: Master, slave: Slave, seconds: float) -> list[Parcel[Assign]]:
    found: list[Parcel[Assign]] = []
    for _ in range(int(seconds * 4)):
        master.wait(0.25, *(peer for peer in master.peers.values()))
        found += slave.take(Assign)
    return found


def is_open(master: Master, slave: Slave) -> bool:
    node = master.core.swarm.registry.slave(slave.origin.key.removeprefix("key of "))
    assert node is not None
    return not node.circuit.is_closed


def test_a_slave_that_fails_everything_is_left_alone_and_tried_again() -> None:
    master, _, _, bad = swarm_of(40)
    fail_until_broken(bad)
    assert is_open(master, bad)
    assert any("slave the bad is given nothing for 5 s" in line for line in master.news)
    pauses = bad.messages(Pause)
    assert [pause.paused for pause in pauses] == [True]
    assert "everything failed there" in pauses[0].reason
    assert pulled_by(master, bad, FIRST_REST - 1) == []
    (trial,) = pulled_by(master, bad, 2.0)
    assert len(counters_of(trial)) == 1
    bad.answer(trial)
    assert not is_open(master, bad)
    assert [pause.paused for pause in bad.messages(Pause)] == [False]
    assert any("did well on trial" in line for line in master.news)
    assert bad.pull(1)


def test_a_trial_that_fails_doubles_the_rest() -> None:
    master, _, _, bad = swarm_of(40)
    fail_until_broken(bad)
    (trial,) = pulled_by(master, bad, FIRST_REST + 1)
    bad.answer(trial, status=FAILED)
    assert pulled_by(master, bad, 2 * FIRST_REST - 1) == []
    assert len(pulled_by(master, bad, 2.0)) == 1
    assert any("given nothing for 10 s" in line for line in master.news)


def test_what_a_slave_on_trial_cannot_run_is_given_to_others() -> None:
    master, client, good, bad = swarm_of(4)
    fail_until_broken(bad)
    good.work_off()
    wide = master.slave("wide", machine(2, 4))
    assert pulled_by(master, good, FIRST_REST + 1) == [], "everything is done, so that there is no trial"
    client.push(3, range(10, 14), resources={"cpu": 2.0})
    done = wide.work_off()
    for _ in range(8):
        master.wait(0.25, *master.peers.values())
        done += wide.work_off()
    assert sorted(done) == [10, 11, 12, 13]


def test_what_a_slave_on_trial_cannot_run_does_not_wait_for_it() -> None:
    master, client, good, bad = swarm_of(5)
    fail_until_broken(bad)
    gpu = master.slave("gpu", machine(1, 2, gpu=1.0))
    finish(master, good, gpu, awake=[client])
    master.wait(FIRST_REST + 1, client, good, gpu, bad)
    assert is_open(master, bad), "there was nothing to try it on"
    client.push(3, range(20, 22), resources={"gpu": 1.0})
    assert [counters_of(chunk) for chunk in gpu.take(Assign)] == [[20]]
    client.push(4, [30])
    assert [counters_of(chunk) for chunk in bad.take(Assign)] == [[30]], "its trial, though others are before it"


def test_of_many_on_trial_that_find_nothing_a_few_are_looked_at_in_each_cycle_and_all_in_turn() -> None:
    master = Master()
    client = master.client()
    client.define()
    master.slave("good", machine(1, 2))
    many = [master.slave(f"{number}", machine(1, 2)) for number in range(100)]
    many.append(master.slave("tape", machine(1, 2, tape=1.0)))
    swarm = master.core.swarm
    for slave in swarm.registry.slaves():
        if slave.id != "good":
            slave.circuit.state = CircuitState.TRIAL
            swarm.resting[slave.id] = slave
            swarm.roster.leave(slave)
    for number in range(20):
        client.push(number + 1, [number], resources={"gpu": number + 1.0})

    def cycle() -> None:
        swarm.changed = True
        master.cycle()

    cycle()
    assert calls_of(cycle) < 5_000, "not each of them for each kind of task"
    client.push(21, [20], resources={"tape": 1.0})
    for _ in range(101):
        cycle()
    assert counters_of(*many.pop().take(Assign)) == [20]
    client.push(22, range(21, 200))
    assert all(len(slave.take(Assign)) == 1 for slave in many), "what finds something is not counted"


def test_what_only_a_broken_slave_could_run_is_explained() -> None:
    master, client, _, bad = swarm_of(40)
    fail_until_broken(bad)
    node = master.core.swarm.registry.slave("bad")
    assert node is not None
    node.description.labels["tape"] = 1.0
    client.push(3, [100], resources={"tape": 1.0})
    swarm = master.core.swarm
    told = explaining.explain_task(swarm, swarm.ledger.jobs[SYSTEM], 100, master.now)
    assert told.block is not None
    assert told.block.cause is Cause.RESTING
    assert told.block.why == "of the slaves that could run it, the bad rests for 5 s: everything failed there"
    assert "See what is wrong there" in told.fix


def test_a_slave_that_alone_can_run_what_waits_rests_for_a_short_while_only() -> None:
    master, client, _, bad = swarm_of(60)
    node = master.core.swarm.registry.slave("bad")
    assert node is not None
    fail_until_broken(bad)
    for rest in (FIRST_REST, 2 * FIRST_REST):
        (trial,) = pulled_by(master, bad, rest + 1)
        bad.answer(trial, status=FAILED)
    assert node.circuit.rested_at - master.now == 4 * FIRST_REST
    node.description.labels["tape"] = 1.0
    client.push(3, [100], resources={"tape": 1.0}, priority=1)
    assert pulled_by(master, bad, FIRST_REST - 1) == []
    (trial,) = pulled_by(master, bad, 2.0)
    assert counters_of(trial) == [100]
    assert sum("is tried earlier" in line for line in master.news) == 1


def test_nobody_hurries_for_what_others_can_run_or_nobody() -> None:
    master, client, _, bad = swarm_of(60)
    node = master.core.swarm.registry.slave("bad")
    assert node is not None
    fail_until_broken(bad)
    (trial,) = pulled_by(master, bad, FIRST_REST + 1)
    bad.answer(trial, status=FAILED)
    node.description.labels["tape"] = 1.0
    master.slave("other", machine(1, 2, tape=1.0))
    client.push(3, [100, 101, 102, 103], resources={"tape": 1.0}, priority=1)
    client.push(4, [104], resources={"crane": 1.0}, priority=1)
    assert pulled_by(master, bad, 2 * FIRST_REST - 1) == []


def test_what_waits_at_a_broken_slave_is_taken_back() -> None:
    _, _, good, bad = swarm_of(40, busy=0.01)
    held = fail_until_broken(bad, 2)
    held += bad.pull(2 - len(held))
    bad.answer(held.pop(0), status=FAILED)
    backs = bad.messages(TakeBack)
    assert held
    assert {back.chunk for back in backs} == {chunk.message.chunk for chunk in held}
    assert not any(back.kill for back in backs)
    for chunk in held:
        bad.answer(chunk, status=RETURNED)
    assert bad.take(Assign) == []
    assert good.pull()


def test_what_a_broken_slave_pulled_before_it_heard_is_taken_back() -> None:
    master, _, _, bad = swarm_of(40)
    if master.policy == "GenericTaskScheduler":
        return  # nothing is pulled there
    fail_until_broken(bad)
    (late,) = bad.pull(1)
    assert [(back.chunk, back.kill) for back in bad.messages(TakeBack)] == [(late.message.chunk, False)]


def test_what_fails_everywhere_is_nobodys_fault() -> None:
    master = Master()
    slaves = [master.slave(name, machine(1, 2)) for name in ("first", "second")]
    client = master.client()
    client.define()
    client.push(1, range(40))
    while any(chunk for slave in slaves for chunk in _answered(slave, FAILED)):
        assert not any(is_open(master, slave) for slave in slaves)
    assert len(ends(client.messages(Results))) == 40


def _answered(slave: Slave, status: int) -> list[Parcel[Assign]]:
    chunks = slave.pull(1)
    for chunk in chunks:
        slave.answer(chunk, status=status)
    return chunks


def test_failures_count_as_soon_as_another_slave_has_shown_how_it_is_done() -> None:
    master = Master()
    good, bad = (master.slave(name, machine(1, 2)) for name in ("good", "bad"))
    client = master.client()
    client.define()
    client.push(1, range(40), max_retries=9)
    chunk = good.pull(1)[0]
    for _ in range(5):
        _answered(bad, FAILED)
    assert not is_open(master, bad)
    good.answer(chunk)
    assert is_open(master, bad)


def test_chunks_do_not_grow_because_their_tasks_fail_quickly() -> None:
    master = Master()
    slave, client = master.slave("only", machine(1, 2)), master.client()
    client.define()
    client.push(1, range(30))
    sizes = [len(counters_of(chunk)) for _ in range(15) for chunk in _answered(slave, FAILED)]
    assert sizes == [1] * len(sizes)


def test_the_last_slave_is_never_given_up() -> None:
    master, _, good, bad = swarm_of(40)
    fail_until_broken(bad)
    assert is_open(master, bad)
    good.say(Bye())
    master.wait(0.5, bad)
    assert not is_open(master, bad)
    assert any("because there is no other slave" in line for line in master.news)
    assert [pause.paused for pause in bad.messages(Pause)] == [True, False]


def test_nor_is_one_that_drains_given_work_because_it_is_the_last() -> None:
    master, _, good, bad = swarm_of(40)
    fail_until_broken(bad)
    bad.say(Draining(is_on=True))
    good.say(Bye())
    master.wait(0.5, bad)
    assert is_open(master, bad)
    assert [pause.paused for pause in bad.messages(Pause)] == [True]
    bad.say(Draining(is_on=False))
    master.wait(0.5, bad)
    assert not is_open(master, bad)


def test_of_several_that_rest_one_is_given_work_again_when_no_other_is_left() -> None:
    master, _, good, bad = swarm_of(40)
    worse = master.slave("worse", machine(1, 2))
    fail_until_broken(bad)
    fail_until_broken(worse)
    assert is_open(master, bad)
    assert is_open(master, worse)
    good.say(Bye())
    master.wait(0.5, bad, worse)
    assert (is_open(master, bad), is_open(master, worse)) == (False, True)


def test_workers_that_die_before_they_begin_break_it_without_a_success_elsewhere() -> None:
    master = Master()
    _, bad = master.slave("good", machine(1, 2)), master.slave("bad", machine(1, 2))
    client = master.client()
    client.define()
    client.push(1, range(20))
    for _ in range(3):
        chunk = bad.pull(1)[0]
        bad.say(AttemptLost(chunk.message.chunk, None, "killed by signal 9", begun=False))
    assert is_open(master, bad)
    assert any("its workers die before they begin" in line for line in master.news)


def test_a_worker_that_died_between_two_tasks_proves_nothing() -> None:
    master, _, _, bad = swarm_of(20)
    for _ in range(6):
        for chunk in bad.pull(1)[:1]:
            bad.lose(chunk, None)
    assert not is_open(master, bad)


def test_a_broken_slave_that_reconnects_is_still_broken() -> None:
    master, _, _, bad = swarm_of(40)
    fail_until_broken(bad)
    bad.vanish()
    again = master.slave("bad", machine(1, 2), resumes=True, chunks=[])
    assert [pause.paused for pause in again.messages(Pause)] == [True]
    assert again.take(Assign) == []


def test_the_status_says_why_a_slave_is_given_nothing() -> None:
    _, client, _, bad = swarm_of(40)
    fail_until_broken(bad)
    client.say(StatusRequest(1))
    notes = {node.name: node.note for node in client.one(Status).nodes}
    assert "rests for 5 s: everything failed there" in notes["the bad"]
    assert notes["the good"] == ""


# --- where a task that failed is tried again ---


def test_a_retry_goes_to_another_slave() -> None:
    master, client, good, bad = swarm_of(1, max_retries=3)
    chunk = (bad.pull(1) or good.pull(1))[0]
    first, second = (bad, good) if chunk.message.chunk in _chunks(master, "bad") else (good, bad)
    first.answer(chunk, status=FAILED)
    assert first.take(Assign) == []
    (again,) = second.take(Assign)
    second.answer(again, status=FINISHED)
    assert ends(client.messages(Results)) == {2: FINISHED}
    assert not next(iter(master.ledger.jobs.values())).failed_on


def test_a_task_that_killed_a_worker_goes_to_another_slave() -> None:
    master, _, good, bad = swarm_of(1)
    chunk = (bad.pull(1) or good.pull(1))[0]
    first, second = (bad, good) if chunk.message.chunk in _chunks(master, "bad") else (good, bad)
    first.lose(chunk, 2)
    assert first.take(Assign) == []
    assert len(second.take(Assign)) == 1


def test_a_retry_waits_a_moment_for_another_slave_and_no_longer_and_holds_up_nothing() -> None:
    master, _, good, bad = swarm_of(8, busy=0.01, max_retries=3)
    held = good.pull(2)
    chunk = bad.pull(1)[0]
    (counter,) = counters_of(chunk)
    bad.answer(chunk, status=FAILED)
    fresh = bad.pull()
    assert fresh, "what is behind it goes on"
    for each in fresh:
        assert counter not in counters_of(each)
        bad.answer(each)
    while chunks := bad.pull():
        assert counter not in [each for chunk in chunks for each in counters_of(chunk)]
        for chunk in chunks:
            bad.answer(chunk)
    taken = pulled_by(master, bad, 2.0)
    assert [counter] in [counters_of(each) for each in taken]
    assert held


def test_a_retry_stays_where_it_was_if_there_is_no_other_slave() -> None:
    master = Master()
    slave, client = master.slave("only"), master.client()
    client.define()
    client.push(1, [0], max_retries=1)
    slave.answer(slave.pull()[0], status=FAILED)
    (again,) = slave.take(Assign)
    slave.answer(again)
    assert ends(client.messages(Results)) == {0: FINISHED}


def _chunks(master: Master, node: str) -> set[int]:
    slave = master.core.swarm.registry.slave(node)
    return set(slave.chunks) if slave is not None else set()
