"""Limits that change while a master runs: what is enforced, and what its nodes are told."""

from __future__ import annotations

import pytest
from swarm_story import Master, fault_of, hello

from concurrence.scheduling.api import Limits
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import Parcel, decoder_from_owner, encode
from concurrence.wire.messages import Bye, PushAccepted, PushRejected, Results, Welcome


def test_all_that_are_connected_are_told() -> None:
    master = Master(heartbeat=2.0, lease=10.0)
    client, slave, away = master.client(), master.slave(), master.client("other", 78)
    for peer in (client, slave, away):
        peer.take(Welcome)
    away.vanish()
    master.core.set_limits(Limits(heartbeat=0.5, lease=3.0, task_window=9), master.now)
    master.cycle()
    for peer, work_address in ((client, ""), (slave, "tcp://work")):
        welcome = peer.one(Welcome)
        assert (welcome.heartbeat, welcome.lease, welcome.task_window) == (0.5, 3.0, 9)
        assert (welcome.known, welcome.work_address) == (True, work_address)
    assert not away.take(Welcome)


def test_a_shorter_lease_begins_anew_for_all() -> None:
    master = Master(heartbeat=8.0, lease=20.0)
    client = master.client()
    master.wait(7.0)
    master.core.set_limits(Limits(heartbeat=0.5, lease=2.0), master.now)
    master.cycle()
    master.wait(1.5)
    assert master.core.swarm.registry.at(client.name) is not None
    master.wait(1.0)
    assert master.core.swarm.registry.at(client.name) is None


def test_a_smaller_window_refuses_nothing_that_was_allowed_before() -> None:
    master = Master(task_window=10)
    client = master.client()
    client.define()
    client.push(1, range(6))
    master.core.set_limits(Limits(task_window=4), master.now)
    client.push(2, range(6, 10))  # it was under way
    assert [accepted.push for accepted in client.messages(PushAccepted)][-1] == 2
    client.push(3, [10])
    assert "more than the 10" in client.one(PushRejected).text
    master.core.set_limits(Limits(task_window=20), master.now)
    client.push(4, range(11, 15))
    assert client.messages(PushAccepted)


@pytest.mark.parametrize(("before", "after"), [(5, 1), (1, 2)])
def test_attempts(before: int, after: int) -> None:
    master = Master(max_attempts=before)
    client, slave = master.client(), master.slave()
    client.define()
    client.push(1, [0])
    master.core.set_limits(Limits(max_attempts=after), master.now)
    for _ in range(after):
        assert not client.take(Results)
        (chunk,) = slave.pull()
        slave.lose(chunk, 0)
    (results,) = client.take(Results)
    assert fault_of(results).message.startswith(f"the task killed {after} workers")


def test_whoever_asks_for_the_status_is_no_news() -> None:
    master = Master()
    outbox = master.core.outbox
    for kind, node in (("admin", "boss"), ("client", "app")):
        greeting = hello(kind, node)
        for parcel in decoder_from_owner().decode(encode([Parcel(greeting)])):
            origin = Origin(Role(kind), f"key of {node}", "10.0.0.1")
            master.core.receive(node.encode(), parcel, lambda origin=origin: origin, master.now)
    master.core.receive(b"boss", Parcel(Bye("enough")), lambda: Origin(Role.ADMIN, "", ""), master.now)
    assert outbox.news == ["client the app registered from 10.0.0.1"]
    assert outbox.asides == ["admin the boss registered from 10.0.0.1", "admin the boss is gone: enough"]
