"""Whole conversations with a master whose policy aims: what only it does, and what holds under both policies."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from swarm_story import POLICIES, SYSTEM, Components, Master, Owner, Slave, counters_of, ends, machine, make_policy
from timed_story import TimedSwarm

from concurrence.component import Component
from concurrence.scheduling.api import ITaskScheduleStrategy, SlaveView, WorkView
from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.scheduling.notices import LONELY_SECONDS
from concurrence.testing.simulation.workload import SlavePlan
from concurrence.wire.messages import (
    CANCELLED,
    FAILED,
    FINISHED,
    LOST,
    RETURNED,
    Assign,
    Cancel,
    Claimed,
    Output,
    Results,
    TakeBack,
    Welcome,
)


class ByName(Component, ITaskScheduleStrategy):
    """Rates by what the test says."""

    ratings: dict[str, float] = {}  # noqa: RUF012  set by each test
    seen: list[tuple[SlaveView, WorkView]] = []  # noqa: RUF012

    def rate(self, slave: SlaveView, work: WorkView) -> float:
        self.seen.append((slave, work))
        return self.ratings[slave.name]


def generic(strategy: str = "GenericTaskScheduleStrategy") -> Master:
    components = Components(f"generictaskscheduler.strategy={strategy}")
    components.register(ByName)
    return Master(scheduler=GenericTaskScheduler(components))


def given_to(slave: Slave) -> list[int]:
    return [counter for chunk in slave.take(Assign) for counter in counters_of(chunk)]


class TestStrategy:
    @pytest.fixture(autouse=True)
    def ratings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ByName, "ratings", {"the a": 1.0, "the b": 2.0})
        monkeypatch.setattr(ByName, "seen", [])

    def test_the_best_rated_gets_it_until_it_is_full(self) -> None:
        master = generic("ByName")
        client, a, b = master.client(), master.slave("a"), master.slave("b")
        client.define()
        client.push(1, range(6))
        assert (given_to(b), given_to(a)) == ([0, 1, 2, 3], [4, 5])
        assert not master.work
        assert not a.one(Welcome).work_address

    @pytest.mark.parametrize("never", [-inf, nan])
    def test_work_waits_for_a_slave_that_is_rated(self, never: float) -> None:
        master = generic("ByName")
        client, a = master.client(), master.slave("a")
        client.define()
        ByName.ratings["the a"] = never
        client.push(1, range(2))
        assert not a.take(Assign)
        b = master.slave("b")
        assert given_to(b) == [0, 1]

    def test_work_that_the_strategy_refuses_all_slaves_is_explained_once(self) -> None:
        master = generic("ByName")
        ByName.ratings = {"the a": -inf, "the b": nan}
        client = master.client()
        a, b = master.slave("a"), master.slave("b")
        client.define()
        client.push(1, range(3))
        for _ in range(3):
            master.wait(LONELY_SECONDS / 2 + 1, client, a, b)
        (warning,) = client.take(Output)
        why = "f is refused all 2 slaves that could run it, by the strategy ByName"
        assert warning.message.text == f"WARNING {why}; 3 tasks wait"
        ByName.ratings = {"the a": 1.0, "the b": 1.0}
        master.wait(LONELY_SECONDS, client, a, b)
        assert not client.take(Output)

    def test_what_it_is_told(self) -> None:
        master = generic("ByName")
        client, a = master.client(), master.slave("a", machine(2, 4, gpu=1.0))
        client.define()
        client.push(1, range(6), priority=3, resources={"gpu": 0.25})
        (chunk, *_) = a.take(Assign)
        a.answer(chunk, busy=0.1)
        slave, work = ByName.seen[0]
        assert (slave.name, slave.workers, slave.chunks, slave.backlog) == ("the a", 2, 0, 0.0)
        assert (slave.labels, slave.speed, slave.task_seconds) == ({"gpu": 1.0}, 1.0, None)
        assert (work.name, work.tasks, work.priority, work.resources) == ("f", 6, 3, (("gpu", 0.25),))
        assert (work.task_seconds, work.speed) == (None, 0.0)
        slave, work = ByName.seen[-1]
        assert (slave.chunks, slave.last_turn) == (3, 4)
        assert slave.task_seconds == work.task_seconds == pytest.approx(0.1)
        assert slave.backlog == pytest.approx(0.3)
        assert work.speed == 1.0

    def test_one_that_fails_costs_its_ratings_only_and_is_told_once(self) -> None:
        master = generic("ByName")
        client, c = master.client(), master.slave("c")
        client.define()
        client.push(1, range(4))
        assert sorted(c.work_off()) == [0, 1, 2, 3]
        assert [text for text in master.news if "strategy" in text] == [
            "the strategy ByName failed, and slaves are rated by their load instead: KeyError: 'the c'"
        ]


class TestTakingBack:
    def test_what_waits_goes_to_a_slave_that_runs_dry(self) -> None:
        master = generic()
        client, slow = master.client(), master.slave("slow", machine(1, 2))
        client.define()
        client.push(1, range(2))
        first, second = slow.take(Assign)
        fast = master.slave("fast", machine(1, 2))
        assert not slow.take(TakeBack), "it may be over in a moment"
        master.wait(1.0, client, slow, fast)
        assert slow.one(TakeBack) == TakeBack(second.message.chunk, kill=False)
        slow.answer(second, status=RETURNED, busy=0.0)
        (again,) = fast.take(Assign)
        assert (counters_of(again), again.message.attempt) == ([1], 1)
        fast.answer(again)
        slow.answer(first)
        assert ends(client.messages(Results)) == {0: FINISHED, 1: FINISHED}
        assert [slave.finished for slave in master.core.swarm.registry.slaves()] == [1, 1]

    def test_a_slave_with_the_labels_is_needed(self) -> None:
        master = generic()
        client, slow = master.client(), master.slave("slow", machine(1, 2, gpu=2.0))
        client.define()
        client.push(1, range(2), resources={"gpu": 1.0})
        assert given_to(slow) == [0, 1]
        plain = master.slave("plain", machine(1, 2))
        master.wait(5.0, client, slow, plain)
        assert not slow.take(TakeBack)

    def test_a_chunk_of_many_tasks_that_turn_out_long_is_divided(self) -> None:
        master = generic()
        client, one = master.client(), master.slave("one", machine(1, 1))
        client.define()
        client.push(1, range(101))
        one.answer(*one.take(Assign), busy=0.000_01)
        (chunk,) = one.take(Assign)
        assert counters_of(chunk) == list(range(1, 101))
        two = master.slave("two", machine(1, 1))
        master.wait(1.0, client, one, two)
        assert one.one(TakeBack).chunk == chunk.message.chunk
        one.answer(chunk, only=range(2, 101), status=RETURNED, busy=0.0)
        assert given_to(two) == list(range(2, 52)), "its share"

    def test_a_slow_slave_is_left_out_at_the_end_but_not_for_ever(self) -> None:
        master, client, slow, fast = self.measured()
        client.push(2, [10, 11])
        assert (given_to(fast), given_to(slow)) == ([10], [])
        master.wait(2.5, client, slow, fast)
        assert not slow.take(Assign), "the fast one will have done both long before"
        master.wait(1.0, client, slow, fast)
        assert given_to(slow) == [11], "but it did not"

    def test_the_fast_slave_takes_what_the_slow_one_was_spared(self) -> None:
        master, client, slow, fast = self.measured()
        client.push(2, [10, 11])
        (chunk,) = fast.take(Assign)
        master.wait(0.25, client, slow, fast)
        fast.answer(chunk, busy=0.3)
        assert (given_to(fast), given_to(slow)) == ([11], [])

    def test_a_slow_slave_takes_its_part_of_much(self) -> None:
        _, client, slow, fast = self.measured()
        client.push(2, range(10, 40))
        assert (given_to(fast), given_to(slow)) == ([10], [11])

    def test_a_slave_without_a_measurement_is_judged_by_its_speed_score(self) -> None:
        master = generic()
        client, fast = master.client(), master.slave("fast", machine(1, 2))
        client.define()
        client.push(1, [0])
        fast.answer(*fast.take(Assign), busy=0.3)
        weak = master.slave("weak", replace(machine(1, 2), speed=0.1))
        equal = master.slave("equal", machine(1, 2))
        client.push(2, range(1, 4))
        assert [given_to(each) for each in (fast, equal, weak)] == [[1], [2], []]

    def test_what_waits_moves_only_to_where_it_is_complete_clearly_earlier(self) -> None:
        master = generic()
        client, busy = master.client(), master.slave("busy", machine(1, 2))
        client.define()
        client.push(1, [0])
        busy.answer(*busy.take(Assign), busy=0.1)
        client.push(2, [1, 2])
        _, second = busy.take(Assign)
        # It is to be complete in 0.2 s there, and here in 0.16 s, or in 0.1 s.
        master.slave("hardly earlier", replace(machine(1, 2), speed=1 / 1.6))
        assert not busy.take(TakeBack)
        master.slave("clearly earlier", machine(1, 2))
        assert busy.one(TakeBack) == TakeBack(second.message.chunk, kill=False)

    def test_a_slave_is_not_left_out_for_one_that_is_hardly_faster(self) -> None:
        master = generic()
        client = master.client()
        slow, fast = (master.slave(f"{workers}", machine(workers, 2 * workers, gpu=1.0)) for workers in (1, 8))
        client.define()
        client.push(1, range(9))
        for slave, seconds in ((slow, 1.1), (fast, 0.8)):
            for chunk in slave.take(Assign):
                slave.answer(chunk, busy=seconds)
        client.push(2, [10, 11], resources={"gpu": 1.0})
        # Its eight workers are expected to have done this in 1 s, were it not for the GPU.
        assert (given_to(fast), given_to(slow)) == ([10], [11])

    @staticmethod
    def measured() -> tuple[Master, Owner, Slave, Slave]:
        """Two slaves of one worker; a task takes 3 seconds on the one, and 0.3 on the other."""
        master = generic()
        client = master.client()
        slow, fast = master.slave("slow", machine(1, 2)), master.slave("fast", machine(1, 2))
        client.define()
        client.push(1, range(2))
        slow.answer(*slow.take(Assign), busy=3.0)
        fast.answer(*fast.take(Assign), busy=0.3)
        return master, client, slow, fast

    def test_claims_of_what_is_anothers_are_refused(self) -> None:
        master = generic()
        client, a, b = master.client(), master.slave("a"), master.slave("b")
        client.define()
        client.push(1, [0])
        (chunk,) = a.take(Assign) or b.take(Assign)
        holder = a if master.ledger.assignments[chunk.message.chunk].slave == "a" else b
        holder.say(Claimed([chunk.message.chunk]))
        assert not holder.take(TakeBack)
        other = b if holder is a else a
        other.say(Claimed([chunk.message.chunk, 99]))
        assert [message.chunk for message in other.messages(TakeBack)] == [chunk.message.chunk, 99]
        holder.answer(chunk)
        assert ends(client.messages(Results)) == {0: FINISHED}


@pytest.mark.usefixtures("each_policy")
class TestBothPolicies:
    def test_clients_share_fairly_whatever_they_push_first(self, each_policy: str) -> None:
        swarm = TimedSwarm(each_policy, [SlavePlan(2, 1.0, 0.0)] * 2)
        early = swarm.push([0.01] * 300)
        swarm.let_pass(0.1)
        late = swarm.push([0.01] * 100)
        assert swarm.wait(late) == pytest.approx(0.5, rel=0.25), "half of the swarm, from the beginning"
        assert early.work.left > 50

    def test_priority_within_a_client(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, [0])
        client.push(2, [1, 2], priority=1)
        client.push(3, [3], priority=2)
        assert slave.work_off() == [0, 3, 1, 2]

    @pytest.mark.parametrize(
        ("stream", "needs"),
        [({}, {"gpu": 1.0}), ({"gpu": 1.0}, {"gpu": 2.0}), ({"gpu": 1.0}, {}), ({}, {"cpu": 2.0})],
    )
    def test_an_endless_stream_of_tasks_passes_none_that_came_before(
        self, each_policy: str, stream: dict[str, float], needs: dict[str, float]
    ) -> None:
        master = Master()
        client, slave = master.client(), master.slave("s", machine(2, 2, gpu=2.0))
        client.define()
        client.push(1, range(10), resources=stream)
        running = slave.pull()
        client.push(2, [10], resources=needs)
        for number in range(11, 80):
            client.push(number, [number], resources=stream)  # so that some always wait
            master.wait(0.5, client, slave)
            if running:
                slave.answer(running.pop(0), busy=1.0)
            came = slave.pull()
            running += came
            if 10 in [counter for chunk in came for counter in counters_of(chunk)]:
                break
        else:
            pytest.fail(f"it never began under {each_policy}")
        assert master.ledger.jobs[SYSTEM].queued

    def test_labels_lead_to_the_slave_that_has_them(self, each_policy: str) -> None:
        swarm = TimedSwarm(each_policy, [SlavePlan(2, 1.0, 0.0), SlavePlan(2, 1.0, 0.0, {"gpu": 1.0})])
        swarm.wait(swarm.push([0.1] * 10, [0.1] * 20, resources={"gpu": 1.0}))
        plain, gpu = swarm.slaves
        assert set(range(10)).isdisjoint(plain.executed)
        assert plain.executed.total() + gpu.executed.total() == 30
        least = 10 if each_policy == "ZMQTaskScheduler" else 11  # of 20: the work queue hands out in turn
        assert plain.executed.total() >= least, "it does most of the others"

    def test_the_cores_that_a_task_takes(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(4, 8))
        client.define()
        client.push(1, range(4), resources={"cpu": 2.0})
        assert len(slave.take(Assign)) == 2

    def test_no_more_is_under_way_than_there_is_credit(self) -> None:
        master = Master()
        client = master.client()
        slaves = [master.slave("a", machine(1, 2)), master.slave("b", machine(2, 4))]
        client.define()
        client.push(1, range(500))
        assert len(master.ledger.assignments) == 6
        for slave in slaves:
            for chunk in slave.pull(2):
                slave.answer(chunk, busy=1.0)
        assert len(master.ledger.assignments) <= 6


STEP = st.tuples(
    st.sampled_from(["push", "push", "work", "work", "work", "fail", "lose", "vanish", "join", "cancel", "wait"]),
    st.integers(0, 3),
    st.integers(1, 12),
)


class Story:
    """A client and up to four slaves to which all sorts of things happen."""

    def __init__(self, policy: str) -> None:
        self.master = Master(scheduler=make_policy(policy))
        self.client = self.master.client()
        self.client.define()
        self.slaves: dict[int, Slave] = {}
        self.pushed = self.pushes = self.joined = 0

    def step(self, action: str, number: int, count: int) -> None:
        slave = self.slaves.get(number)
        if action == "push":
            self.pushes += 1
            needs = {"gpu": 1.0} if number == 3 else {}
            counters = range(self.pushed, self.pushed + count)
            self.client.push(self.pushes, counters, max_retries=1, resources=needs)
            self.pushed += count
        elif action == "cancel":
            self.client.say(Cancel(SYSTEM, list(range(number, self.pushed, count))))
        elif action == "wait":
            self.master.wait(count / 4, self.client, *self.slaves.values())
        elif slave is None:
            self.joined += 1
            description = machine(1 + number % 2, 2 + 2 * (number % 2), gpu=2.0)
            self.slaves[number] = self.master.slave(f"slave {self.joined}", description)
        elif action == "vanish":
            del self.slaves[number]
            slave.vanish()
        else:
            self.work(slave, action, count)

    def work(self, slave: Slave, action: str, count: int) -> None:
        taken_back = {message.chunk for message in slave.messages(TakeBack)}
        for chunk in slave.pull(count):
            if chunk.message.chunk in taken_back and count % 2:
                slave.answer(chunk, status=RETURNED, busy=0.0)
            elif action == "lose":
                slave.lose(chunk, counters_of(chunk)[0])
            else:
                slave.answer(chunk, status=FAILED if action == "fail" else FINISHED, busy=0.01 * count)

    def finish(self) -> dict[int, int]:
        """Slaves that behave do the rest; how each task ended."""
        last = self.master.slave("last", machine(2, 4, gpu=2.0))
        for slave in [*self.slaves.values()]:
            slave.vanish()
        for _ in range(40):
            last.work_off()
            self.master.wait(0.5, self.client, last)
        return ends(self.client.messages(Results))


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=40))
def test_every_accepted_task_ends_exactly_once(policy: str, steps: list[tuple[str, int, int]]) -> None:
    story = Story(policy)
    for step in steps:
        story.step(*step)
    ended = story.finish()
    assert sorted(ended) == list(range(story.pushed))
    assert set(ended.values()) <= {FINISHED, FAILED, CANCELLED, LOST}
    assert not story.master.ledger.assignments
