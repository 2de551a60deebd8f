"""Whole conversations with a master: peers that claim what is not theirs, and tasks that no slave can run."""

from __future__ import annotations

import pytest
from swarm_story import SYSTEM, Master, definition, hello, machine

from concurrence.scheduling import functions
from concurrence.scheduling.impossible import TELL_SECONDS
from concurrence.wire.messages import (
    FINISHED,
    Assign,
    DefineBundle,
    Output,
    Progress,
    PushRejected,
    Refusal,
    Results,
    Status,
    StatusRequest,
    Welcome,
)

pytestmark = pytest.mark.usefixtures("each_policy")


class TestSystems:
    def test_a_client_does_not_get_the_system_of_another(self) -> None:
        master = Master()
        client, thief = master.client(), master.client("thief")
        assert "taken by another client" in thief.one(Refusal).text
        assert not thief.take(Welcome)
        assert master.ledger.jobs[SYSTEM].owner == "client"
        client.vanish()
        assert master.client().one(Welcome).known

    def test_a_node_does_not_change_its_system(self) -> None:
        master = Master()
        client = master.client()
        for system in range(100, 110):
            client.say(hello("client", "client", system=system))
        assert all("cannot change its system" in refusal.text for refusal in client.messages(Refusal))
        assert list(master.ledger.jobs) == [SYSTEM]
        client.say(hello("client", "client", system=SYSTEM))
        assert client.messages(Welcome)[-1].known

    def test_output_comes_from_slaves_and_owners_only(self) -> None:
        master = Master()
        client, other, slave = master.client(), master.client("other", 5), master.slave()
        for peer in (client, other, slave):
            peer.say(Output(SYSTEM, 1, "stdout", "source", peer.origin.key))
        assert [output.text for output in client.messages(Output)] == ["key of client", "key of slave"]


class TestCode:
    def test_bytes_that_are_not_those_of_the_digest_end_the_connection(self) -> None:
        master = Master()
        client, other = master.client(), master.client("other", 5)
        client.say(definition(), [b"something else"])
        other.say(DefineBundle(1, b"b" * 16), [b"source"])
        for peer in (client, other):
            assert "do not match its digest" in peer.one(Refusal).text
        assert not master.ledger.jobs

    def test_a_push_with_one_function_too_many_is_rejected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(functions, "MAX_FUNCTIONS", 2)
        master = Master()
        client = master.client()
        for number in (1, 2, 3):
            client.define(number, b"blob %d" % number)
        client.push(1, [0], function=3)
        client.push(2, [1], function=2)
        assert "defined more than" in client.one(PushRejected).text
        assert master.ledger.jobs[SYSTEM].queued == 1


class TestMeasures:
    def test_a_status_is_answered_once_a_cycle(self) -> None:
        master = Master()
        client, other = master.client(), master.client("other", 5)
        for _ in range(100):
            client.say(StatusRequest(1), conclude=False)
        other.say(StatusRequest(2))
        assert (len(client.take(Status)), len(other.take(Status))) == (1, 1)
        client.say(StatusRequest(3))
        assert client.one(Status).request == 3

    def test_times_beyond_belief_are_cut(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        slave.answer(*slave.pull(), busy=1e15)
        assert client.one(Results).busy == 1e6
        master.ledger.jobs[SYSTEM].busy = 1e16
        master.ledger.jobs[SYSTEM].changed = True
        master.wait(1.0, client, slave)
        assert [progress.busy for progress in client.messages(Progress)][-1] == 1e15


class TestImpossibleTasks:
    def test_the_client_is_told_once_until_it_changes(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(3), resources={"gpu": 1.0, "cpu": 2.0})
        master.wait(TELL_SECONDS / 2, client, slave)
        assert not client.take(Output)
        master.wait(20.0, client, slave)
        assert [output.text for output in client.messages(Output)] == [
            (
                "WARNING f needs cpu=2, gpu=1, which no connected slave offers: the slave has no gpu; 3 tasks "
                'wait. Start a slave that offers it: concurrence slave --set "slavenode.labels=gpu=1"; or let '
                "the task need less gpu."
            )
        ]
        gpu = master.slave("gpu", machine(2, 4, gpu=1.0))
        master.wait(20.0, client, slave, gpu)
        assert not client.take(Output), "that one offers it, and is busy"

    def test_work_without_resources_does_not_wait_behind_it(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("slave", machine(2, 4, gpu=1.0))
        client.define()
        client.push(1, range(3), resources={"tpu": 1.0})
        client.push(2, range(3, 6), resources={"gpu": 1.0})
        client.push(3, range(6, 9))
        direct, *others = slave.take(Assign)
        while master.ledger.jobs[SYSTEM].finished < 6:
            for chunk in [*others, *slave.pull()] or [direct]:
                slave.answer(chunk, status=FINISHED)
            others = []
        assert sorted(master.ledger.jobs[SYSTEM].tasks) == [0, 1, 2]
        master.slave("late", machine(2, 4, tpu=3.0)).work_off()
        assert not master.ledger.jobs[SYSTEM].tasks
