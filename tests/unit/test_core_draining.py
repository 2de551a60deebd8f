"""Slaves that drain, under both policies: they get nothing more, and nothing is lost."""

from __future__ import annotations

import pytest
from swarm_story import SYSTEM, Master, Owner, Slave, counters_of, each_policy, ends, hello, machine

from concurrence.scheduling import draining
from concurrence.scheduling.notices import LONELY_SECONDS
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire.messages import (
    RETURNED,
    Assign,
    Drain,
    Draining,
    Output,
    Results,
    SlaveList,
    Status,
    StatusRequest,
)

__all__ = ["each_policy"]

pytestmark = pytest.mark.usefixtures("each_policy")


def order(master: Master, slave: Slave, *, is_on: bool = True, stops: bool = False) -> None:
    draining.order(master.core.swarm, record(master, slave), is_on=is_on, stops=stops)
    master.cycle()


def record(master: Master, slave: Slave) -> SlaveNodeRecord:
    found = master.core.swarm.registry.at(slave.name)
    assert isinstance(found, SlaveNodeRecord)
    return found


def swarm_of_two() -> tuple[Master, Owner, Slave, Slave]:
    master = Master()
    client, a, b = master.client(), master.slave("a"), master.slave("b")
    client.define()
    return master, client, a, b


def test_it_is_told_and_gets_no_more_work() -> None:
    master, client, a, b = swarm_of_two()
    order(master, a)
    assert a.one(Drain) == Drain(is_on=True)
    a.say(Draining(is_on=True))
    assert record(master, a).room == 0
    client.push(1, range(20))
    assert not a.take(Assign)
    assert len(master.work) <= record(master, b).description.credit
    assert sorted(b.work_off()) == list(range(20))
    assert ends(client.messages(Results)) == dict.fromkeys(range(20), 0)


def test_what_it_gives_back_runs_elsewhere_uncharged() -> None:
    master, client, a, b = swarm_of_two()
    client.push(1, range(4))
    held = a.pull()
    assert held
    order(master, a)
    running, *waiting = held
    for chunk in waiting:
        a.answer(chunk, status=RETURNED)
    b.work_off()
    a.answer(running)
    told = client.messages(Results)
    assert ends(told) == dict.fromkeys(range(4), 0)
    assert {message.attempt for message in told} == {1}
    assert not record(master, a).chunks


def test_it_works_again_when_it_is_told_so() -> None:
    master, client, a, b = swarm_of_two()
    order(master, a)
    order(master, b)
    client.push(1, range(8))
    assert not master.work
    assert not a.take(Assign)
    order(master, a, is_on=False)
    assert a.messages(Drain) == [Drain(is_on=True), Drain(is_on=False)]
    assert sorted(a.work_off()) == list(range(8))


def test_a_late_answer_to_the_order_before_changes_nothing() -> None:
    master, client, a, _ = swarm_of_two()
    order(master, a)
    order(master, a, is_on=False)
    a.say(Draining(is_on=True))
    assert not record(master, a).is_draining
    a.say(Draining(is_on=False))
    assert record(master, a).order is None
    client.push(1, range(4))
    assert a.pull()


def test_an_order_survives_a_reconnect() -> None:
    master, client, a, b = swarm_of_two()
    a.vanish()
    order_while_away = master.core.swarm.registry.slave("a")
    assert order_while_away is not None
    draining.order(master.core.swarm, order_while_away, is_on=True, stops=True)
    again = master.slave("a", resumes=True)
    assert again.one(Drain) == Drain(is_on=True, stops=True)
    again.say(Draining(is_on=True, stops=True))
    again.vanish()
    last = master.slave("a", resumes=True, drains=True)
    assert not last.take(Drain), "it has confirmed that"
    client.push(1, range(8))
    assert not last.pull(0)
    assert sorted(b.work_off()) == list(range(8))


def test_a_slave_that_drains_says_so_to_a_master_that_does_not_know_it() -> None:
    master = Master()
    client = master.client()
    client.define()
    a = master.slave("a", resumes=True, drains=True)
    client.push(1, range(4))
    assert not master.work
    assert not a.take(Assign)


def test_what_one_decides_by_itself_counts() -> None:
    master, client, a, b = swarm_of_two()
    a.say(Draining(is_on=True, stops=True, by_itself=True))
    assert record(master, a).leaves_by_itself
    client.push(1, range(8))
    assert not a.take(Assign)
    assert sorted(b.work_off()) == list(range(8))


def test_what_lies_on_the_work_queue_is_taken_back_if_all_drain() -> None:
    master, client, a, b = swarm_of_two()
    client.push(1, range(4))
    order(master, a)
    order(master, b)
    for slave in (a, b):
        for chunk in slave.take(Assign):
            slave.answer(chunk, status=RETURNED)
    master.wait(1.0, client, a, b)
    job = master.ledger.jobs[SYSTEM]
    assert (job.queued, job.running) == (4, 0)


def test_clients_hear_of_it_as_of_slaves_that_go() -> None:
    master, client, a, b = swarm_of_two()
    client.take(SlaveList)
    order(master, a)
    assert [entry.name for entry in client.one(SlaveList).slaves] == ["the b"]
    order(master, a)
    assert not client.take(SlaveList), "nothing new"
    order(master, b)
    client.push(1, range(3))
    client.take(Output)
    master.wait(LONELY_SECONDS + 1, client, a, b)
    text = "WARNING all slaves drain; 3 tasks wait. Have one work again: concurrence drain the a --resume"
    assert [output.text for output in client.messages(Output)] == [text]


def test_the_status_tells() -> None:
    master, client, a, _ = swarm_of_two()
    order(master, a)
    client.say(StatusRequest(1))
    nodes = client.one(Status).nodes
    assert {node.name: node.drains for node in nodes if node.kind == "slave"} == {"the a": True, "the b": False}


def test_tasks_with_resources_wait_for_a_slave_that_works() -> None:
    master = Master()
    client = master.client()
    client.define()
    gpu = master.connect(hello("slave", "gpu", slave=machine(2, 4, gpu=1.0)))
    plain = master.slave("plain")
    order(master, gpu)
    client.push(1, [0], resources={"gpu": 1.0})
    client.push(2, [1])
    assert [counters_of(chunk) for chunk in plain.pull()] == [[1]]
    order(master, gpu, is_on=False)
    assert [counters_of(chunk) for chunk in gpu.take(Assign)] == [[0]]


def test_one_that_is_kept_free_for_a_large_task_is_so_no_more() -> None:
    master = Master()
    client = master.client()
    client.define()
    a, b = (master.slave(name, machine(2, 4, gpu=1.0)) for name in "ab")
    client.push(1, range(4), resources={"gpu": 0.5})
    held = {slave: slave.take(Assign) for slave in (a, b)}
    client.push(2, [4], resources={"gpu": 1.0})
    master.wait(2.0, client, a, b)
    (kept,) = [slave for slave in (a, b) if record(master, slave).kept_for]
    order(master, kept)
    for chunk in held[kept]:
        kept.answer(chunk)
    master.wait(1.0, client, a, b)
    assert not kept.take(Assign), "it would give it back, again and again"
    (other,) = {a, b} - {kept}
    for chunk in held[other]:
        other.answer(chunk)
    master.wait(1.0, client, a, b)
    assert [counters_of(chunk) for chunk in other.take(Assign)] == [[4]]
