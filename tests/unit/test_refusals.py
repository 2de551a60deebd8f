"""Work that a strategy refuses all slaves: found out a part at a time, and forgotten when it is over."""

from __future__ import annotations

from math import inf

import pytest
from swarm_story import SYSTEM, Master, machine, make_policy
from test_roster import slave

from concurrence.scheduling import generic
from concurrence.scheduling.api import SlaveView, WorkView
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.refusals import LOOKED_AT, Refusals
from concurrence.scheduling.roster import Roster
from concurrence.scheduling.strategies import GenericTaskScheduleStrategy
from concurrence.wire.messages import Cancel

JOB = Job(77, "client", "client")


def roster_of(count: int) -> Roster:
    roster = Roster()
    for number in range(count):
        roster.enter(slave(f"{number}", workers=number % 2 + 1))
    return roster


def test_few_slaves_are_looked_at_at_once() -> None:
    refusals, roster = Refusals(), roster_of(4)
    assert refusals.look(roster, JOB, WorkView(1), lambda _: True, 1.0) == 4
    assert refusals.look(roster, JOB, WorkView(1, resources=(("cpu", 2.0),)), lambda _: True, 1.0) == 2
    assert refusals.look(roster, JOB, WorkView(1, resources=(("cpu", 3.0),)), lambda _: True, 1.0) == 0
    assert refusals.look(roster, JOB, WorkView(1), lambda each: each.id != "3", 1.0) == 0
    assert not len(refusals)


def test_of_many_a_part_each_time_each_work_by_itself() -> None:
    refusals, roster = Refusals(), roster_of(2 * LOOKED_AT + 10)
    one, other = WorkView(1), WorkView(2)
    seen: set[str] = set()
    for found in (None, None, 2 * LOOKED_AT + 10):
        assert refusals.look(roster, JOB, one, lambda each: not seen.add(each.id), 1.0) == found
        assert refusals.look(roster, JOB, other, lambda each: each.workers == 2, 1.0) == 0
    assert len(seen) == len(roster.connected)


def test_what_waits_no_more_is_forgotten() -> None:
    refusals, roster = Refusals(), roster_of(2 * LOOKED_AT)
    refusals.look(roster, JOB, WorkView(1), lambda _: True, 1.0)
    refusals.look(roster, JOB, WorkView(2), lambda _: True, 3.0)
    assert len(refusals) == 2
    refusals.prune(3.5)
    assert len(refusals) == 1


def test_the_policy_forgets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Refusals] = []

    class Noted(Refusals):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    def never(_strategy: GenericTaskScheduleStrategy, _slave: SlaveView, _work: WorkView) -> float:
        return -inf

    monkeypatch.setattr(generic, "Refusals", Noted)
    monkeypatch.setattr(GenericTaskScheduleStrategy, "rate", never)
    master = Master(scheduler=make_policy("GenericTaskScheduler"))
    master.checked = False
    client = master.client()
    peers = [master.slave(f"{number}", machine(1, 1)) for number in range(3 * LOOKED_AT)]
    client.define()
    client.push(1, [0])
    master.wait(0.25, client, *peers)
    (refusals,) = made
    assert len(refusals) == 1
    client.say(Cancel(SYSTEM, [0]))
    master.wait(3.0, client, *peers)
    assert not len(refusals)
