"""Why tasks wait, in words, for each reason there is, under both policies; and what to do about it."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from swarm_story import SYSTEM, Components, Master, Owner, Slave, each_policy, machine

from concurrence.component import Component
from concurrence.errors import NotFound
from concurrence.scheduling import draining, explaining
from concurrence.scheduling.api import ITaskScheduleStrategy, SlaveView, WorkView
from concurrence.scheduling.blocking import Cause
from concurrence.scheduling.explaining import Explanation
from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.scheduling.job_views import job_views, names_of_all
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec
from concurrence.wire.messages import FAILED, Bye, Cancel

__all__ = ["each_policy"]

pytestmark = pytest.mark.usefixtures("each_policy")
OTHER = 78


def explain(master: Master, counter: int | None = None, system: int = SYSTEM) -> Explanation:
    swarm = master.core.swarm
    job = swarm.ledger.jobs[system]
    if counter is None:
        return explaining.explain_job(swarm, job, master.now)
    return explaining.explain_task(swarm, job, counter, master.now)


def why(master: Master, counter: int) -> str:
    told = explain(master, counter)
    assert told.state == "queued"
    assert told.block is not None
    assert told.fix == told.block.fix
    return told.block.why


def pushed(count: int = 4, **spec: Any) -> tuple[Master, Owner]:
    master = Master()
    client = master.client()
    client.define()
    if count:
        client.push(1, range(count), **spec)
    return master, client


class TestQueued:
    def test_no_slave(self) -> None:
        master, _ = pushed()
        assert why(master, 0) == "no slave is connected"
        assert explain(master, 0).fix == "Start one: concurrence slave --master slave.toml"

    def test_all_drain(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", name="attic")
        drain(master, slave)
        client.push(2, range(2))
        assert why(master, 1) == "all slaves drain: attic"
        assert "concurrence drain attic --resume" in explain(master, 1).fix

    def test_what_nobody_offers_names_the_nearest_slave_and_what_it_lacks(self) -> None:
        master, client = pushed(0)
        master.slave("a", machine(2, 4, gpu=1.0), name="attic")
        master.slave("b", machine(8, 16), name="cellar")
        client.push(2, [0], resources={"cpu": 4.0, "gpu": 1.0})
        assert why(master, 0) == (
            "it needs cpu=4, gpu=1, which no connected slave offers: the nearest, attic, has 2 workers and not 4"
        )
        assert explain(master, 0).fix == (
            "Start a slave that offers it: concurrence slave --workers 4; or let the task need less cpu."
        )
        client.push(3, [1], resources={"gpu": 2.0, "camera": 1.0})
        told = explain(master, 1)
        assert told.block is not None
        assert told.block.cause is Cause.RESOURCES
        assert told.block.why.endswith("the nearest, attic, has no camera and has gpu=1 and not 2")
        assert '--set "slavenode.labels=camera=1,gpu=2"' in told.fix

    def test_what_the_nearest_has_besides_is_kept_in_the_proposal(self) -> None:
        master, client = pushed(0)
        master.slave("a", machine(2, 4, disk=1.0), name="attic")
        client.push(2, [0], resources={"gpu": 1.0})
        assert '--set "slavenode.labels=disk=1,gpu=1"' in explain(master, 0).fix

    def test_only_slaves_that_drain_offer_it(self) -> None:
        master, client = pushed(0)
        drain(master, master.slave("a", machine(2, 4, gpu=1.0), name="attic"))
        master.slave("b", name="cellar")
        client.push(2, [0], resources={"gpu": 1.0})
        assert why(master, 0) == "it needs gpu=1, which only slaves that drain offer: attic"
        assert "concurrence drain attic --resume" in explain(master, 0).fix

    def test_all_workers_are_busy(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", machine(1, 1), name="attic")
        client.push(2, range(10))
        slave.pull()
        told = explain(master, 9)
        assert told.block is not None
        assert (told.block.cause, told.block.why, told.fix) == (Cause.BUSY, "the only worker is busy", "")
        assert told.before == 8
        assert told.text == "8 tasks of its job go before it"
        assert explain(master, 1).text == "next of its job"

    def test_what_it_needs_is_in_use(self) -> None:
        master, client = pushed(0)
        master.slave("a", machine(2, 4, gpu=1.0), name="attic")
        client.push(2, range(3), resources={"gpu": 1.0})
        assert why(master, 2) == "the slave that offers gpu=1 has it in use, or no room: attic"

    def test_priority_and_position(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", machine(1, 1))
        client.push(2, range(3))
        client.push(3, range(3, 6), priority=5)
        slave.pull()
        assert [explain(master, counter).before for counter in (3, 4, 5, 1, 2)] == [0, 1, 2, 3, 4]

    def test_fair_share_names_who_goes_first(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", machine(1, 1))
        client.push(2, range(100))
        for chunk in slave.pull():
            slave.answer(chunk, busy=5.0)
        other = master.client("other", OTHER)
        other.define()
        other.push(1, range(3), system=OTHER)
        slave.pull()
        (ahead,) = explain(master, 50).ahead
        assert (ahead.system, ahead.queued, ahead.why) == (
            OTHER,
            3,
            "its client had less of the swarm: fair share",
        )
        assert not explain(master, 1, OTHER).ahead

    def test_within_a_client_the_system_that_had_less_goes_first(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", machine(1, 1))
        client.push(2, range(3))
        swarm = master.core.swarm
        other = swarm.ledger.open(Job(OTHER, "client", "client", "of the same client"))
        swarm.ledger.accept(other, TaskSpec(1), [TaskRecord(0, b"")])
        slave.pull()
        (ahead,) = explain(master, 2).ahead
        assert (ahead.system, ahead.why) == (OTHER, "it had less of what this client was given")

    def test_a_slave_that_is_kept_free_for_another_task(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", machine(2, 4), name="attic")
        client.push(2, range(20))
        slave.pull()
        record = master.core.swarm.registry.slave("a")
        assert record is not None
        record.kept_for = frozenset({"cpu"})
        assert why(master, 19) == "all 2 workers are busy; attic is kept free for a task that needs much"

    def test_an_owner_that_takes_no_results(self) -> None:
        master = Master(delivery_window=10)
        client, slave = master.client(), master.slave("a", machine(1, 1))
        client.define()
        client.push(1, range(4))
        for chunk in slave.pull():
            slave.answer(chunk)
        text = why(master, 3)
        assert text.startswith("its owner, client the client, has not acknowledged 1 results with ")
        assert "delivery_window" in explain(master, 3).fix
        assert job_views(master.core.swarm, master.now)[0].waits_for == text

    def test_its_turn_comes_next(self) -> None:
        master, client = pushed(0)
        master.slave("a", machine(1, 8), name="attic")
        swarm = master.core.swarm
        swarm.changed = False
        client.say(Cancel(SYSTEM, []), conclude=False)
        client.push(2, range(1))
        assert explain(master, 0).state == "assigned"


class Never(Component, ITaskScheduleStrategy):
    """Wants no slave."""

    def rate(self, slave: SlaveView, work: WorkView) -> float:
        return -inf


def test_a_strategy_that_refuses() -> None:
    components = Components("generictaskscheduler.strategy=Never")
    components.register(Never)
    master = Master(scheduler=GenericTaskScheduler(components))
    client = master.client()
    client.define()
    master.slave("a")
    client.push(1, range(2))
    assert why(master, 1) == "it is refused all 1 slaves that could run it, by the strategy Never"
    assert "[generictaskscheduler] strategy" in explain(master, 1).fix


class TestElsewhere:
    def test_assigned(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", machine(1, 1), name="attic")
        client.push(2, [0], timeout=60.0)
        (chunk,) = slave.pull()
        master.now += 3.0
        told = explain(master, 0)
        assert (told.state, told.slave, told.chunk, told.attempt) == ("assigned", "attic", chunk.message.chunk, 1)
        assert told.text == (
            f"at slave attic for 3 s, running or waiting for a worker, in chunk {chunk.message.chunk}; an attempt "
            "ends after 1 min 0 s"
        )
        slave.vanish()
        assert "the connection to that slave is broken" in explain(master, 0).text

    def test_far_longer_than_others(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", machine(1, 1), name="attic")
        client.push(2, [0])
        slave.work_off(busy=0.5)
        client.push(3, [1])
        slave.pull()
        assert not explain(master, 1).fix
        master.now += 100.0
        told = explain(master, 1)
        assert f"concurrence cancel {SYSTEM:016x}/1" in told.fix
        assert "such a task takes 0.5 s on average" in told.text

    def test_on_the_work_queue(self, each_policy: str) -> None:
        master, client = pushed(0)
        master.slave("a", machine(1, 1), name="attic")
        client.push(2, [0])
        where = "on the work queue" if each_policy == "ZMQTaskScheduler" else "at slave attic"
        assert explain(master, 0).text.startswith(f"{where} for 0 ms, ")

    def test_tried_again_later(self) -> None:
        master = Master(retry_delay=8.0)
        client, slave = master.client(), master.slave("a", machine(1, 1))
        client.define()
        client.push(1, [0], max_retries=2)
        (chunk,) = slave.pull()
        slave.answer(chunk, status=FAILED)
        told = explain(master, 0)
        assert (told.state, told.attempt) == ("delayed", 2)
        assert told.text == "failed once, and is tried again in 6 s; it may fail 1 more time"
        assert explain(master).state == "delayed"
        (view,) = job_views(master.core.swarm, master.now)
        assert (view.delayed, view.queued) == (1, 0)

    def test_ended_with_its_story(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", name="attic")
        client.push(2, [0])
        slave.work_off()
        master.now += 2.0
        told = explain(master, 0)
        assert (told.state, told.text) == ("ended", "finished")
        words = [step.event for step in told.story]
        assert (words[0], words[-1]) == ("accepted", "finished")
        assert all(step.ago == 2.0 for step in told.story)

    def test_never_pushed(self) -> None:
        master, _ = pushed(4)
        with pytest.raises(NotFound, match="there is no task 4: this client has pushed tasks 0 to 3 so far"):
            explain(master, 4)
        empty, _ = pushed(0)
        with pytest.raises(NotFound, match="has pushed no task yet"):
            explain(empty, 0)

    def test_of_a_job_that_is_over(self) -> None:
        master, client = pushed(3)
        client.say(Bye("enough"))
        master.now += 5.0
        swarm = master.core.swarm
        (ended,) = swarm.past.ended
        told = explaining.explain_ended(swarm, ended, None, master.now)
        left = "its client has left: enough, 5 s ago; 0 tasks finished, 0 failed, 3 cancelled"
        assert (told.state, told.text) == ("ended", left)
        told = explaining.explain_ended(swarm, ended, 1, master.now)
        assert told.text == f"as its job is over: {left}"
        assert [step.event for step in told.story] == ["accepted"]


class TestJobs:
    def test_one_that_is_idle(self) -> None:
        master, _ = pushed(0)
        assert (explain(master).state, explain(master).text) == ("idle", "nothing is unfinished")

    def test_a_system_whose_host_starts(self) -> None:
        master = Master()
        client = master.client()
        client.define(9, kind=3)
        client.push_system(1, OTHER)
        told = explain(master, system=OTHER)
        assert (told.state, told.name) == ("starting", f"system {OTHER}")
        (_, view) = job_views(master.core.swarm, master.now)
        assert (view.kind, view.state, view.client) == ("system", "starting", "the client")

    def test_a_few_impossible_tasks_do_not_hide_behind_the_others(self) -> None:
        master, client = pushed(0)
        slave = master.slave("a", machine(1, 1), name="attic")
        client.push(2, range(9))
        client.push(3, range(9, 11), resources={"gpu": 1.0})
        slave.pull()
        (view,) = job_views(master.core.swarm, master.now)
        assert view.blocked
        assert view.waits_for == "2 of its tasks need gpu=1, which no connected slave offers: attic has no gpu"
        told = explain(master)
        assert (told.state, told.text) == ("running", "1 task under way, 10 queued; next is a task of f")
        assert "gpu=1" in told.fix
        client.say(Cancel(SYSTEM, [9, 10]))
        (view,) = job_views(master.core.swarm, master.now)
        assert (view.blocked, view.waits_for) == (False, "the only worker is busy")

    def test_what_has_ended_comes_last_and_only_if_asked_for(self) -> None:
        master, client = pushed(2)
        client.say(Bye("enough"))
        master.client("other", OTHER)
        swarm = master.core.swarm
        assert [view.state for view in job_views(swarm, master.now)] == ["idle"]
        (_, ended) = job_views(swarm, master.now, with_ended=True)
        assert (ended.state, ended.client, ended.cancelled) == ("ended", "the client", 2)


def drain(master: Master, slave: Slave) -> None:
    found = master.core.swarm.registry.slave(slave.origin.key.removeprefix("key of "))
    assert found is not None
    draining.order(master.core.swarm, found, is_on=True, stops=False)
    master.cycle()


def test_plain_tasks_go_by_their_client_and_what_ended_last_has_the_name() -> None:
    def named(name: str) -> list[int]:
        return [system for system, each in names_of_all(master.core.swarm).items() if each == name]

    master = Master()
    for system in (11, 12):
        client = master.client("client", system=system)
        client.define()
        assert system not in named("the client"), "it has pushed nothing"
        client.push(1, [0], system=system)
        assert named("the client") == [system]
        client.say(Bye("done"))
    assert named("the client") == [12], "both have ended"
