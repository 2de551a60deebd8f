"""Keys and roles on a running master, and bytes that are no message: refused, counted, and nobody else notices."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import TypeAlias

import pytest
from swarmkit import Swarm, make_transport, until

from concurrence.ids import new_system_id
from concurrence.nodes.identity import Identity, describe_machine
from concurrence.transport.api import IClient
from concurrence.transport.security import Credentials
from concurrence.transport.tcp_transport import TCPTransport
from concurrence.transport.zmq_transport import ZMQTransport
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_to_owner, encode
from concurrence.wire.messages import Hello, Message, PushTasks, Refusal, Welcome

Transport: TypeAlias = ZMQTransport | TCPTransport


@pytest.fixture
def transport(swarm: Swarm) -> Generator[Transport]:
    transport = make_transport(swarm.transport or "ZMQTransport")
    yield transport
    transport.close()


def connected(transport: Transport, credentials: Credentials) -> IClient:
    client = transport.client(credentials)
    until(lambda: "connected" in client.connection_events(), 5.0, "connected")
    return client


def answers(client: IClient, seconds: float = 30.0) -> list[Message]:
    """What comes first."""
    decoder = decoder_to_owner()
    frames = until(client.receive, seconds, "an answer") or []
    return [parcel.message for parcel in decoder.decode(frames)]


def refusal(client: IClient) -> Refusal | None:
    """The refusal among what comes next; a client is told of its progress too."""
    return next((each for each in answers(client) if isinstance(each, Refusal)), None)


def hello(kind: str) -> Hello:
    identity = Identity(kind, "intruder", __version__)
    if kind == "slave":
        return identity.hello(False, slave=describe_machine(1, 2, {}))
    return identity.hello(False, system=new_system_id())


@pytest.mark.parametrize(("role", "kind"), [("client", "slave"), ("slave", "client"), ("client", "admin")])
def test_a_key_serves_its_own_role_only(swarm: Swarm, transport: Transport, role: str, kind: str) -> None:
    swarm.master()
    client = connected(transport, swarm.credentials(role))
    assert client.send(encode([Parcel(hello(kind))]))
    answer = refusal(client)
    assert answer is not None
    assert f"the role {role} cannot be used by a {kind}" in answer.text
    assert not answer.retry
    client.close()


def test_a_slave_cannot_push_tasks(swarm: Swarm, transport: Transport) -> None:
    swarm.master()
    client = connected(transport, swarm.credentials("slave"))
    client.send(encode([Parcel(hello("slave"))]))
    assert isinstance(answers(client)[0], Welcome)
    client.send(encode([Parcel(PushTasks(1, 1, 77, 1), [b""])]))
    answer = refusal(client)
    assert answer is not None
    assert "may not send PushTasks" in answer.text
    client.close()


def test_garbage_of_an_authenticated_peer_disturbs_nobody(swarm: Swarm, transport: Transport) -> None:
    master = swarm.master()
    swarm.slave("attic", workers=2)
    run = swarm.run("slow.py:SlowTasks", "slow.count=20", "slow.seconds=0.2", "slow.quick=500")
    until(lambda: swarm.probes("start-*"))
    sent = 0
    deadline = time.monotonic() + 2.0
    while sent < 6 or (time.monotonic() < deadline and run.runs):
        client = connected(transport, swarm.credentials("client"))
        if sent % 2:
            client.send(encode([Parcel(hello("client"))]))
            assert isinstance(answers(client)[0], Welcome)
        client.send([os.urandom(1 + sent * 7) for _ in range(1 + sent % 5)])
        while refusal(client) is None:
            continue
        client.close()
        sent += 1
    assert "bad message from 127.0.0.1" in master.output
    report = run.ends_well()
    assert len(report["results"]) == 520
    assert report["errors"] == {}
    assert report["events"] == []
    assert swarm.status().stats["messages_rejected"] == sent


def test_a_malformed_task_list_is_refused_before_it_is_anything_else(swarm: Swarm, transport: Transport) -> None:
    swarm.master()
    swarm.slave("attic")
    client = connected(transport, swarm.credentials("client"))
    greeting = hello("client")
    client.send(encode([Parcel(greeting)]))
    assert isinstance(answers(client)[0], Welcome)
    client.send(encode([Parcel(PushTasks(1, 1, greeting.system, 1), [b"\xc1 no list"])]))
    until(lambda: refusal(client))
    client.close()
    assert len(swarm.run("slow.py:SlowTasks", "slow.seconds=0").ends_well()["results"]) == 8
