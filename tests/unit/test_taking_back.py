"""What slaves are asked to give back: once on each connection, and forgotten when it is over."""

from __future__ import annotations

import pytest
from swarm_story import Master, counters_of, machine

from concurrence.scheduling import generic, tails
from concurrence.scheduling.taking_back import TakenBack
from concurrence.wire.messages import TakeBack


def test_it_is_asked_for_on_this_connection_and_no_other() -> None:
    master = Master()
    peer, other = master.slave("a", machine(1, 1)), master.slave("b", machine(1, 1))
    swarm, taken = master.core.swarm, TakenBack()
    slave, another = swarm.registry.slave("a"), swarm.registry.slave("b")
    assert slave is not None
    assert another is not None
    taken.ask(swarm, slave, 7, 10.0)
    master.cycle()
    assert peer.one(TakeBack) == TakeBack(7, kill=False)
    assert not other.take(TakeBack)
    assert taken.is_asked(slave, 7)
    assert not taken.is_asked(slave, 8)
    peer.vanish()
    master.slave("a", machine(1, 1), resumes=True)
    assert not taken.is_asked(slave, 7)


def test_who_was_asked_lately_and_who_is_forgotten() -> None:
    master = Master()
    master.slave("a", machine(1, 1))
    swarm, taken = master.core.swarm, TakenBack()
    slave = swarm.registry.slave("a")
    assert slave is not None
    for chunk in (1, 2, 3):
        taken.ask(swarm, slave, chunk, float(chunk))
    assert list(taken.since(1.0)) == [2, 3]
    taken.prune({2: "still there"})
    assert [chunk for chunk in (1, 2, 3) if taken.is_asked(slave, chunk)] == [2]
    assert len(taken) == 1


def test_the_policies_forget_what_is_over(each_policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[TakenBack] = []

    class Noted(TakenBack):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    for module in (generic, tails):
        monkeypatch.setattr(module, "TakenBack", Noted)
    master = Master()
    client, slave = master.client(), master.slave("a", machine(1, 1))
    client.define()
    client.push(1, range(5))
    slave.answer(*slave.pull(), busy=0.000_01)
    (chunk,) = slave.pull()
    idle = master.slave("b", machine(1, 2))
    master.wait(1.0, slave, idle, client)
    (taken,) = made
    assert len(taken) == 1, each_policy
    slave.answer(chunk)
    assert counters_of(chunk) == [1, 2, 3, 4]
    master.wait(0.5, slave, idle, client)
    assert not len(taken)
