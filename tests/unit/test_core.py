"""Whole conversations with a master: a task's journey, news, nonsense."""

from __future__ import annotations

import pytest
from swarm_story import SYSTEM, Master, Slave, counters_of, ends, hello, machine

from concurrence.errors import ProtocolError
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import Parcel, decode_results, encode_results, encode_tasks
from concurrence.wire.messages import (
    FAILED,
    FINISHED,
    REFUSED,
    RETURNED,
    Assign,
    Bye,
    Cancel,
    ChunkResults,
    DefineFunction,
    Delivered,
    Output,
    PackedResult,
    Ping,
    Pong,
    PushAccepted,
    PushTasks,
    Refusal,
    Results,
    SlaveList,
    ToMaster,
    Welcome,
)

pytestmark = pytest.mark.usefixtures("each_policy")


class TestJourney:
    def test_a_task_goes_to_a_slave_and_its_result_to_its_owner(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        assert client.one(PushAccepted).push == 1
        (chunk,) = slave.pull()
        assert slave.one(DefineFunction).number == chunk.message.function
        slave.answer(chunk)
        (results,) = client.take(Results)
        assert (results.message.counters, results.message.statuses) == ([0], b"\0")
        assert (results.message.slave, results.message.attempt) == ("the slave", 1)
        assert decode_results(results.frames) == [PackedResult(b"result 0")]
        client.say(Delivered(results.message.delivery))
        assert len(master.core.swarm.registry.owner("client").deliveries) == 0  # type: ignore[union-attr]
        assert not master.ledger.jobs[SYSTEM].tasks

    def test_chunks_grow_once_a_function_is_measured(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(1_000))
        first = slave.pull()
        assert [len(counters_of(chunk)) for chunk in first] == [1] * 4
        for chunk in first:
            slave.answer(chunk, busy=0.000_01)
        assert max(len(counters_of(chunk)) for chunk in slave.pull()) == 200  # two milliseconds of work

    def test_tasks_that_are_pushed_one_by_one_travel_together(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, [0])
        slave.answer(*slave.pull(), busy=0.000_01)
        client.push(2, [1])  # goes at once
        for counter in range(2, 102):
            client.push(counter + 1, [counter])
        slave.answer(*slave.pull(), busy=0.000_01)
        assert counters_of(*slave.pull()) == list(range(2, 102))

    def test_a_repeated_push_is_only_acknowledged_again(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0, 1])
        client.push(1, [0, 1])
        assert [message.push for message in client.messages(PushAccepted)] == [1, 1]
        assert sorted(slave.work_off()) == [0, 1]

    def test_a_task_that_failed_is_tried_again_alone_and_directly(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0], max_retries=2)
        (chunk,) = slave.pull()
        for attempt in (2, 3):
            slave.answer(chunk, status=FAILED)
            assert not client.take(Results)
            assert not master.work
            (chunk,) = slave.take(Assign)
            assert chunk.message.attempt == attempt
        slave.answer(chunk, status=FAILED)
        assert ends(client.messages(Results)) == {0: FAILED}

    def test_only_the_entries_that_ended_are_forwarded(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(9), max_retries=1)
        slave.answer(*slave.pull(), busy=0.000_01)
        client.take(Results)
        (chunk,) = slave.pull()
        slave.answer(chunk, status=lambda counter: FAILED if counter % 2 else FINISHED)
        (results,) = client.take(Results)
        assert results.message.counters == [2, 4, 6, 8]
        assert [entry.payload for entry in decode_results(results.frames)] == [
            b"result 2", b"result 4", b"result 6", b"result 8",
        ]  # fmt: skip
        assert sorted(slave.work_off()) == [1, 3, 5, 7]

    def test_tasks_that_were_returned_stay_together_and_in_order(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(101))
        slave.answer(*slave.pull(), busy=0.000_01)
        (chunk,) = slave.pull()
        slave.answer(chunk, only=[1, 2], busy=0.000_01)
        slave.answer(chunk, only=range(3, 101), status=RETURNED, busy=0.0)
        (again,) = slave.pull()
        assert counters_of(again) == list(range(3, 101))
        assert master.core.swarm.rates.mean(again.message.function) is not None


class TestDurability:
    def test_nothing_is_promised_before_it_is_durable(self) -> None:
        master = Master(durable=False)
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        assert client.take(Welcome)
        assert not client.take(PushAccepted)
        slave.answer(*slave.pull())
        assert not client.take(Results)
        client.say(Ping(5))
        assert client.one(Pong).number == 5  # signs of life do not wait
        master.sync()
        assert client.one(PushAccepted).push == 1
        assert ends(client.messages(Results)) == {0: FINISHED}
        assert [type(entry.parcel.message) for entry in master.journal] == [PushTasks, Results]

    def test_results_for_an_owner_that_is_away_are_journaled_all_the_same(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        client.vanish()
        slave.answer(*slave.pull())
        assert isinstance(master.journal[-1].parcel.message, Results)


class TestNonsense:
    def test_a_peer_must_introduce_itself(self) -> None:
        master = Master()
        client = master.client()
        client.say(Bye())
        client.say(Ping())
        refusal = client.one(Refusal)
        assert (refusal.code, refusal.retry) == ("hello", True)

    def test_garbage_ends_the_connection_and_what_was_there(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        slave.pull()
        master.core.garbage(slave.name, ProtocolError("no message"))
        master.cycle()
        assert slave.one(Refusal).code == "protocol"
        assert slave.name in master.dropped
        assert master.ledger.jobs[SYSTEM].queued == 1
        master.core.garbage(client.name, ProtocolError("no message"))
        master.cycle()
        assert not master.ledger.jobs
        assert master.core.rejected == 2

    def test_a_message_of_the_wrong_kind_of_peer(self) -> None:
        master = Master()
        slave = master.slave()
        cancel: Parcel[ToMaster] = Parcel(Cancel(SYSTEM))
        master.core.receive(slave.name, cancel, lambda: slave.origin, master.now)
        master.cycle()
        assert "may not send Cancel" in slave.one(Refusal).text

    @pytest.mark.parametrize("body", [b"\xc1", encode_results([PackedResult(b"only one")])])
    def test_a_malformed_mixed_result_ends_the_tasks_and_the_slave(self, body: bytes) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(3), max_retries=1)
        slave.answer(*slave.pull(), busy=0.000_01)
        client.take(Results)
        (chunk,) = slave.pull()
        slave.say(ChunkResults(1, chunk.message.chunk, [1, 2], bytes([FINISHED, FAILED]), 0.1), [body])
        assert slave.one(Refusal).code == "protocol"
        assert ends(client.messages(Results)) == {1: REFUSED}
        assert master.slave("other").work_off() == [2]

    def test_a_push_for_somebody_elses_system(self) -> None:
        master = Master()
        master.client()
        other = master.client("other", 78)
        other.define()
        other.push(1, [0], system=SYSTEM)
        assert "does not own" in other.one(Refusal).text

    def test_a_malformed_push(self) -> None:
        master = Master()
        client = master.client()
        client.define()
        client.say(PushTasks(2, 1, SYSTEM, 1), [encode_tasks([]), b"more"])
        assert client.one(Refusal).code == "protocol"


def test_one_task_waits() -> None:
    master = Master()
    client = master.client()
    client.define()
    client.push(1, [0])
    for _ in range(5):
        master.wait(3.0, client)
    assert "1 task waits." in client.one(Output).text


def test_clients_are_told_once_that_there_is_no_slave() -> None:
    master = Master()
    client = master.client()
    client.define()
    client.push(1, range(3))
    for _ in range(5):
        master.wait(3.0, client)
    assert [output.text for output in client.messages(Output)] == [
        "WARNING no slave is connected; 3 tasks wait. Start one: concurrence slave"
    ]


def test_a_storm_of_slaves_is_told_to_owners_once() -> None:
    master = Master()
    client = master.client()
    client.take(SlaveList)
    names = [f"slave {n}" for n in range(50)]
    for name in names:
        peer = master.peers[name.encode()] = Slave(master, name.encode(), Origin(Role.SLAVE, name, "10.0.0.1"))
        peer.say(hello("slave", name, slave=machine()), conclude=False)
    master.cycle()
    (told,) = client.messages(SlaveList)
    assert [entry.name for entry in told.slaves] == [f"the {name}" for name in names]


def test_nodes_that_are_refused_are_news_but_do_not_fill_the_log() -> None:
    master = Master()
    master.slave("first", session="one")
    for _ in range(50):
        clone = master.slave("first", session="another")
        assert "is in use by the first" in clone.one(Refusal).text
    assert sum("was refused: the identity first is in use" in line for line in master.news) == 3
    master.wait(2.0, *master.peers.values())
    master.slave("first", session="another")
    assert sum("was refused" in line for line in master.news) == 4
    assert master.core.status(1, master.now).stats["nodes_refused"] == 51


def test_there_is_no_room_for_more_nodes_than_open_files_allow() -> None:
    master = Master(max_connections=10)
    kept = [master.client(f"client {n}", system=n + 1) for n in range(8)]
    slave = master.slave("slave")
    full = slave if master.policy == "ZMQTaskScheduler" else master.client("client 8", system=9)
    assert full.one(Welcome)
    late = master.client("late", system=99)
    assert "as many as its limit of open files allows" in late.one(Refusal).text
    admin = master.connect(hello("admin", "admin"), Role.ADMIN)
    assert admin.one(Welcome)
    kept[0].say(Bye())
    admin.say(Bye())
    assert master.client("late", system=99).one(Welcome)
