"""What the master does with 10,000 slaves: hardly an event, and no tick, costs a look at each of them."""

from __future__ import annotations

from math import inf

import pytest
from swarm_story import POLICIES, SYSTEM, Master, hello, machine, make_policy
from test_roster import calls_of

from concurrence.scheduling.api import SlaveView, WorkView
from concurrence.scheduling.owners import tell_forgotten
from concurrence.scheduling.probing import MOST
from concurrence.scheduling.refusals import LOOKED_AT
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.strategies import GenericTaskScheduleStrategy
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import ForgetFunction, Ping

SLAVES = 10_000
FEW = 1_000  # calls of functions


def peer_of(number: int) -> bytes:
    """The connection of a slave."""
    return b"slave %d" % number


class Crowd:
    """A master's core with very many slaves; the outbox is emptied by whoever looks into it."""

    def __init__(self, policy: str = "GenericTaskScheduler", **labels: float) -> None:
        scheduler = make_policy(policy)
        limit = (2 if scheduler.uses_work_queue else 1) * SLAVES + 1_000
        self.master = Master(scheduler=scheduler, max_connections=limit)
        self.labels = labels
        self.master.checked = False
        self.core = self.master.core
        self.client = self.master.client()
        self.client.define()
        for number in range(SLAVES):
            self.join(number)
        self.core.conclude(self.now)
        self.core.outbox.clear()

    @property
    def now(self) -> float:
        return self.master.now

    def join(self, number: int) -> None:
        name = f"{number}"
        message = hello("slave", name, slave=machine(1, 2, **self.labels))
        self.core.receive(peer_of(number), Parcel(message), lambda: Origin(Role.SLAVE, name, "memory"), self.now)

    def slave(self, number: int) -> SlaveNodeRecord:
        found = self.core.swarm.registry.slave(f"{number}")
        assert found is not None
        return found

    def pinged(self, *hung_up: bytes) -> list[bytes]:
        """Who is pinged now; the outbox is emptied."""
        self.core.probe(hung_up, self.now)
        messages = self.core.outbox.messages
        found = [peer for peer, parcels in messages.items() for each in parcels if isinstance(each.message, Ping)]
        self.core.outbox.clear()
        return found

    def tick_calls(self) -> int:
        """What a tick and the cycle that it leads to cost."""
        self.master.now += 0.25

        def tick() -> None:
            self.core.tick(self.now)
            self.core.conclude(self.now)

        return calls_of(tick)


@pytest.fixture(scope="module")
def full() -> Crowd:
    """All slaves are busy for good, and silent from now on."""
    crowd = Crowd()
    for number in range(SLAVES):
        crowd.core.swarm.roster.give(crowd.slave(number), -number - 1, ())
    crowd.master.now += 1.0
    return crowd


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


class TestPings:
    def test_few_at_a_time_and_all_in_the_end(self, full: Crowd) -> None:
        rounds = [full.pinged() for _ in range(SLAVES // MOST + 1)]
        assert all(len(each) == MOST for each in rounds)
        assert len({peer for each in rounds for peer in each}) == SLAVES

    def test_nobody_who_spoke_a_moment_ago(self, full: Crowd) -> None:
        silent = {peer_of(number) for number in range(0, SLAVES, 500)}
        for number in range(SLAVES):
            full.slave(number).heard = full.now if number % 500 else 0.0
        assert set(full.pinged()) == silent

    def test_who_hung_up_at_once_and_as_long_as_it_may_have_to_be_read(self, full: Crowd) -> None:
        for number in range(SLAVES):
            full.slave(number).heard = full.now
        assert full.pinged(peer_of(7_777), b"nobody") == [peer_of(7_777)]
        assert full.pinged() == [peer_of(7_777)]
        assert len([again for _ in range(20) for again in full.pinged()]) < 5, "it is there after all"
        assert not full.pinged()

    def test_all_of_a_small_swarm_that_have_work(self) -> None:
        master = Master(scheduler=make_policy("GenericTaskScheduler"))
        client, *slaves = master.client(), master.slave("a", machine(1, 2)), master.slave("b", machine(1, 2))
        client.define()
        client.push(1, [0])
        master.wait(1.0, client)
        for _ in range(3):
            master.core.probe((), master.now)
            master.cycle()
        assert sorted(len(slave.take(Ping)) for slave in slaves) == [0, 3]


class TestWalks:
    def test_a_tick_with_nothing_to_do(self, crowd: Crowd) -> None:
        crowd.tick_calls()
        assert crowd.tick_calls() < FEW

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize(
        ("needs", "labels"),
        [({"tape": 1.0}, {}), ({"cpu": 2.0}, {}), ({"gpu": 2.0}, {"gpu": 1.0})],
        ids=["a label that none has", "more workers than any has", "more of a label than any has"],
    )
    def test_a_tick_while_a_task_waits_that_no_slave_can_run(
        self, policy: str, needs: dict[str, float], labels: dict[str, float]
    ) -> None:
        crowd = Crowd(policy, **labels)
        crowd.client.push(1, [0], resources=needs)
        for _ in range(8):
            crowd.tick_calls()
        assert crowd.core.swarm.ledger.jobs[SYSTEM].queued == 1
        assert not crowd.core.rejected
        assert max(crowd.tick_calls() for _ in range(4)) < FEW

    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_tick_while_a_wide_task_waits_for_busy_slaves(self, policy: str) -> None:
        crowd = Crowd(policy, gpu=2.0)
        for number in range(SLAVES):
            crowd.core.swarm.roster.give(crowd.slave(number), -number - 1, (("gpu", 1.0),))
        crowd.client.push(1, [0], resources={"gpu": 2.0})
        for _ in range(8):
            crowd.tick_calls()
        assert crowd.core.swarm.ledger.jobs[SYSTEM].queued == 1
        assert len(crowd.core.swarm.reservations) == 1
        assert max(crowd.tick_calls() for _ in range(4)) < 2 * FEW, "some are looked at, in turn"

    def test_a_strategy_that_refuses_all_is_asked_of_some_and_explained_in_the_end(
        self, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(_strategy: GenericTaskScheduleStrategy, _slave: SlaveView, _work: WorkView) -> float:
            return -inf

        monkeypatch.setattr(GenericTaskScheduleStrategy, "rate", never)
        crowd.client.push(1, [0])
        job = crowd.core.swarm.ledger.jobs[SYSTEM]
        assert crowd.tick_calls() < SLAVES / 2
        assert not job.refusal
        for _ in range(SLAVES // LOOKED_AT + 1):
            crowd.tick_calls()
        assert job.refusal.startswith(f"is refused all {SLAVES} slaves that could run it"), job.refusal
        for _ in range(3):
            crowd.tick_calls()
        assert job.refusal, "it stays while they are looked at again"

    def test_one_more_slave_where_open_files_are_limited(self, crowd: Crowd) -> None:
        assert calls_of(lambda: [crowd.join(SLAVES + number) for number in range(3)]) < FEW

    def test_a_function_that_few_slaves_have_is_forgotten(self, crowd: Crowd) -> None:
        swarm = crowd.core.swarm
        number = swarm.functions.find("client", 1)
        assert number is not None
        for each in (17, 4_711):
            swarm.define(crowd.slave(each), number)
        swarm.define(crowd.slave(5), number)
        swarm.registry.disconnect(peer_of(5))
        crowd.core.outbox.clear()
        unused = swarm.functions.forget("client", 1)
        assert calls_of(lambda: tell_forgotten(swarm, unused)) < 100
        told = {
            peer: [parcel.message for parcel in parcels] for peer, parcels in crowd.core.outbox.messages.items()
        }
        assert told == {peer: [ForgetFunction(number)] for peer in (peer_of(17), peer_of(4_711))}
        assert not crowd.slave(17).known
