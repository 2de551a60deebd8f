"""Which slaves have room, as counted; and that what a task costs does not grow with the swarm."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swarm_story import Master, hello, machine

from concurrence.scheduling.load import cores_of
from concurrence.scheduling.members import Members
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.roster import EXACT, SAMPLE, Roster
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.messages import DefineFunction, Results, SlaveList


class Item:
    def __init__(self, number: int) -> None:
        self.number = number


def slave(name: str, workers: int = 2, credit: int = 4, **labels: float) -> SlaveNodeRecord:
    description = machine(workers, credit, **labels)
    return SlaveNodeRecord(hello("slave", name, slave=description), Origin(Role.SLAVE, name, ""), 0.0, description)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12))))
def test_members_are_a_set(steps: list[tuple[bool, int]]) -> None:
    items = {number: Item(number) for number in range(1, 13)}
    members, expected = Members[Item](), set[int]()
    for adds, number in steps:
        (members.add if adds else members.discard)(items[number])
        (expected.add if adds else expected.discard)(number)
        assert len(members) == len(expected)
        assert [each.number for each in members.all()] == sorted(expected)
        assert all((items[each] in members) == (each in expected) for each in items)


def test_some_of_many_are_others_each_time_and_all_in_the_end() -> None:
    members = Members[Item]()
    for number in range(1, 101):
        members.add(Item(number))
    assert [each.number for each in members.some(100)] == list(range(1, 101))
    seen: set[int] = set()
    for _ in range(10):
        found = {each.number for each in members.some(10)}
        assert len(found) == 10
        seen |= found
    assert len(seen) == 100


@pytest.mark.parametrize(
    ("needs", "cores"),
    [((), 1), ((("gpu", 3.0),), 1), ((("cpu", 1.0),), 1), ((("cpu", 0.25),), 1), ((("cpu", 2.5),), 3)],
)
def test_the_workers_that_a_task_takes(needs: tuple[tuple[str, float], ...], cores: int) -> None:
    assert cores_of(needs) == cores


def test_a_chunk_that_takes_several_workers_takes_as_much_of_the_credit() -> None:
    record = slave("a", 4, 8, gpu=1.0)
    record.add(1, (("cpu", 3.0),))
    assert (record.weight, record.idle_workers, record.room) == (6, 1, 2)
    assert not record.has_free((("cpu", 2.0),))
    assert record.has_free((("cpu", 1.0), ("gpu", 1.0)))
    record.add(2, (("gpu", 0.75),))
    assert not record.has_free((("gpu", 0.5),))
    record.discard(1)
    record.discard(2)
    assert (record.weight, record.idle_workers, record.room, record.taken) == (0, 4, 8, {})


STEP = st.tuples(st.sampled_from(["enter", "leave", "give", "give", "free"]), st.integers(0, 4), st.integers(0, 9))
NEEDS = [(), (("cpu", 2.0),), (("gpu", 0.3),), (("cpu", 3.0), ("gpu", 1.0))]


@settings(max_examples=200)
@given(st.lists(STEP, max_size=60))
def test_what_is_counted_is_true_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    roster = Roster()
    slaves = [slave(f"{number}", number, 2 * number, gpu=2.0) for number in range(5)]
    for action, number, chunk in steps:
        each = slaves[number]
        if action == "give":
            roster.give(each, chunk, NEEDS[chunk % 4])
        elif action == "free":
            roster.free(each, chunk)
        else:
            (roster.enter if action == "enter" else roster.leave)(each)
        roster.sanity_check()
        for needs in NEEDS:
            there = [each for each in slaves if each in roster.connected]
            assert roster.able(needs) == sorted(
                (each for each in there if each.room and each.has_free(needs)), key=lambda each: each.number
            )
            assert roster.offers(needs) == any(each.offers(needs) for each in there)


def test_what_is_offered_is_as_slaves_come_and_go() -> None:
    roster = Roster()
    small, large = slave("small", 1), slave("large", 4, gpu=2.0)
    wide, labelled = (("cpu", 4.0),), (("cpu", 1.0), ("gpu", 2.0))
    roster.enter(small)
    assert [roster.offers(needs) for needs in ((), wide, labelled)] == [True, False, False]
    roster.enter(large)
    assert [roster.offers(needs) for needs in (wide, labelled, (("gpu", 3.0),))] == [True, True, False]
    roster.give(large, 1, labelled)
    assert roster.offers(labelled), "if nothing else takes it"
    large.is_draining = True
    roster.enter(large)
    assert [roster.offers(needs) for needs in (wide, labelled)] == [False, False]
    assert calls_of(lambda: [roster.offers(wide) for _ in range(100)]) < 250


def test_of_many_slaves_a_few_are_candidates_idle_ones_among_them() -> None:
    roster = Roster()
    many = [slave(f"{number}", 1, 2, gpu=1.0) for number in range(100)]
    for each in many:
        roster.enter(each)
    for number, each in enumerate(many[:90]):
        roster.give(each, number, ())
    for _ in range(5):
        found = roster.able(())
        assert len(found) == SAMPLE
        assert sum(each.idle_workers for each in found) >= SAMPLE // 2
    assert len(roster.able((("gpu", 1.0),))) == SAMPLE
    assert len(roster.sample()[0]) == EXACT
    assert roster.sample()[1] == 100 / EXACT


def calls_of(function: Callable[[], object]) -> int:
    """How many calls of Python functions something takes: a measure of its cost that no other process disturbs."""
    count = 0

    def on_event(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(on_event)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.usefixtures("each_policy")
class TestCost:
    TASKS = 60

    def cost(self, slaves: int, clients: int = 1) -> float:
        """Calls for one task that goes to a slave and comes back."""
        master = Master()
        master.checked = False
        peers = [master.slave(f"{number}", machine(1, 2)) for number in range(slaves)]
        client, *_ = [master.client(f"client {number}", number + 1) for number in range(clients)]
        client.define()

        def life() -> None:
            client.push(1, range(self.TASKS), system=1)
            for turn in range(self.TASKS):
                if not master.ledger.assignments:
                    return
                first = next(iter(master.ledger.assignments.values()))
                peer = peers[turn % slaves] if first.slave is None else peers[int(first.slave)]
                for chunk in peer.pull(1):
                    peer.answer(chunk, busy=0.01)

        took = calls_of(life)
        ended = sum(len(message.counters) for message in client.messages(Results))
        assert ended == self.TASKS
        return took / ended

    def test_it_hardly_grows_with_the_slaves(self) -> None:
        few = self.cost(10)
        assert self.cost(600) < 2 * few

    def test_it_does_not_grow_with_clients_that_have_nothing_to_do(self) -> None:
        assert self.cost(4, clients=400) < 1.2 * self.cost(4)


class TestSlaveList:
    def test_a_few_slaves_are_told_at_once(self) -> None:
        master = Master()
        client = master.client()
        client.take(SlaveList)
        for number in range(3):
            master.slave(f"{number}")
            assert len(client.one(SlaveList).slaves) == number + 1

    def test_many_that_come_together_are_told_now_and_then(self) -> None:
        master = Master()
        master.checked = False
        client = master.client()
        for number in range(300):
            master.slave(f"{number}")
        lists = client.messages(SlaveList)
        assert len(lists) <= EXACT + 2
        master.wait(1.0, client)
        assert len(client.messages(SlaveList)[-1].slaves) == 300
        master.wait(5.0, client)
        assert not client.messages(SlaveList)


@pytest.mark.usefixtures("each_policy")
def test_a_function_reaches_slaves_however_many_there_are() -> None:
    master = Master()
    master.checked = False
    client = master.client()
    client.define()
    peers = [master.slave(f"{number}", machine(1, 2)) for number in range(EXACT + 8)]
    client.push(1, range(200))
    for peer in peers:
        for chunk in peer.pull(2):
            peer.answer(chunk)
        assert len(peer.take(DefineFunction)) == 1
