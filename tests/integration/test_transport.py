"""Every transport keeps the contract; the one over ZeroMQ also keeps strangers out."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import select
import socket as sockets
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import pytest
import zmq

from concurrence.component import ComponentManager
from concurrence.env.config import Config
from concurrence.errors import AddressInUse, ComponentError, MessageTooLarge, UsageError
from concurrence.transport import tcp_server, zmq_gate
from concurrence.transport import zmq_transport as zmq_transport_module
from concurrence.transport.api import (
    LARGE_FRAME_BYTES,
    IClient,
    IServer,
    IWorkQueue,
    IWorkSource,
    PeerId,
    SplitPollable,
)
from concurrence.transport.memory import MemoryTransport
from concurrence.transport.memory_network import MemoryNetwork
from concurrence.transport.rejections import RejectionLog
from concurrence.transport.security import Credentials, KeyRing, Role, new_key_pair
from concurrence.transport.tcp_server import TCPServer
from concurrence.transport.tcp_transport import TCPTransport
from concurrence.transport.zmq_server import ZMQServer
from concurrence.transport.zmq_transport import ZMQTransport
from concurrence.transport.zmq_work import ZMQWorkQueue
from concurrence.wire.codec import Frame

PATIENCE = 30.0
ANYWHERE = "tcp://127.0.0.1:0"

Transport: TypeAlias = ZMQTransport | MemoryTransport | TCPTransport
T = TypeVar("T")

others: list[Any] = []
"""Ends of TCP: their owners' poll loops must run, which none does here; ZeroMQ has a thread of its own instead."""


def wait_for(ask: Callable[[], T | None], *pollables: Any, seconds: float = PATIENCE) -> T:
    """What ``ask`` returns once it is neither None, False nor empty."""
    poller = zmq.Poller()
    for pollable in pollables:
        watch(poller, pollable, zmq.POLLIN)
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        for end in others:
            end.tend()
        if others:
            poller.poll(1)
        elif pollables:
            poller.poll(100)
        else:
            select.select([], [], [], 0.002)  # nothing to wait on: ask again soon
    return answer


def watch(poller: zmq.Poller, pollable: Any, events: int) -> None:
    """Poll it as the nodes' loop does."""
    if isinstance(pollable, SplitPollable):
        poller.register(pollable.readable if events == zmq.POLLIN else pollable.writable, zmq.POLLIN)
    else:
        poller.register(pollable, events)


def plain(frames: Sequence[Frame]) -> list[bytes]:
    return [bytes(frame) for frame in frames]


def received(client: IClient | IWorkSource) -> list[bytes]:
    return plain(wait_for(client.receive, client.pollable))


def served(server: IServer) -> tuple[PeerId, list[bytes]]:
    peer, frames = wait_for(server.receive, server.pollable)
    return peer, plain(frames)


def await_event(client: IClient, event: str) -> list[str]:
    """All events up to the one that is waited for."""
    events: list[str] = []

    def ask() -> bool:
        events.extend(client.connection_events())
        return event in events

    wait_for(ask, client.events_pollable)
    return events


def push(queue: IWorkQueue, frames: Sequence[Frame]) -> None:
    wait_for(lambda: queue.send(frames))


@contextlib.contextmanager
def closing(transport: Transport) -> Generator[Transport, None, None]:
    try:
        yield transport
    finally:
        transport.close()


def new_zmq() -> ZMQTransport:
    return ZMQTransport(ComponentManager())


def new_tcp(*, uses_tls: bool = True) -> TCPTransport:
    class Manager(ComponentManager):
        config = Config.from_layers(environ={}, overrides=[f"transport.tls={str(uses_tls).lower()}"])

    return TCPTransport(Manager())


def remembering(make: Callable[..., T]) -> Callable[..., T]:
    def remember(*arguments: Any) -> T:
        end = make(*arguments)
        others.append(end)
        return end

    return remember


@pytest.fixture(params=["zmq", "memory", "tcp", "tcp-plain"])
def transport(request: pytest.FixtureRequest) -> Generator[Transport, None, None]:
    kinds: dict[str, Callable[[], Transport]] = {
        "zmq": new_zmq,
        "memory": lambda: MemoryTransport(ComponentManager()),
        "tcp": new_tcp,
        "tcp-plain": lambda: new_tcp(uses_tls=False),
    }
    made = kinds[request.param]()
    if isinstance(made, TCPTransport):
        for name in ("server", "client", "work_queue", "work_source"):
            setattr(made, name, remembering(getattr(made, name)))
    if isinstance(made, MemoryTransport):
        made.network = MemoryNetwork()
    try:
        with closing(made):
            yield made
    finally:
        others.clear()


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.create()


def credentials(address: str, ring: KeyRing, role: Role = Role.CLIENT) -> Credentials:
    keys = new_key_pair()
    ring.authorize(keys.public, role)
    return Credentials(address, ring.keys.public, role, keys)


def connected(transport: Transport, server: IServer, ring: KeyRing, role: Role = Role.CLIENT) -> IClient:
    client = transport.client(credentials(server.address, ring, role))
    assert await_event(client, "connected") == ["connected"]
    return client


class TestAnyServer:
    @pytest.mark.parametrize("role", list(Role))
    def test_greeting(self, transport: Transport, ring: KeyRing, role: Role) -> None:
        server = transport.server(ANYWHERE, ring)
        access = credentials(server.address, ring, role)
        client = transport.client(access)
        await_event(client, "connected")
        assert client.send([b"hello", b"", b"body"])
        peer, frames = served(server)
        assert frames == [b"hello", b"", b"body"]
        assert server.origin(peer) == (role, access.keys.public, "127.0.0.1")
        assert server.send(peer, [b"welcome"])
        assert received(client) == [b"welcome"]
        assert client.receive() is None
        assert server.receive() is None

    def test_messages_keep_their_order(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        sent, got = 0, 0
        deadline = time.monotonic() + PATIENCE
        while got < 3000:
            assert time.monotonic() < deadline
            while sent < 3000 and client.send([b"%d" % sent]):
                sent += 1
            while (message := server.receive()) is not None:
                assert plain(message[1]) == [b"%d" % got]
                got += 1

    @pytest.mark.parametrize("size", [LARGE_FRAME_BYTES - 1, LARGE_FRAME_BYTES, 10 * 1024 * 1024])
    def test_large_frames(self, transport: Transport, ring: KeyRing, size: int) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        content = random.Random(size).randbytes(size)
        assert client.send([b"head", content, memoryview(content)])
        peer, frames = wait_for(server.receive, server.pollable)
        assert plain(frames) == [b"head", content, content]
        assert isinstance(frames[0], bytes)
        assert isinstance(frames[1], memoryview) == (size >= LARGE_FRAME_BYTES)
        assert server.send(peer, frames)
        assert received(client) == [b"head", content, content]

    def test_views_that_are_not_contiguous(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        view = memoryview(b"a1b2c3" * 20_000)[::2]
        assert client.send([view])
        assert served(server)[1] == [b"abc" * 20_000]

    def test_unreachable_peers(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        assert not server.send(b"\0abcd", [b"nobody"])
        client = connected(transport, server, ring)
        assert client.send([b"hello"])
        peer, _ = served(server)
        client.close()
        wait_for(lambda: not server.send(peer, [b"anybody there?"]))
        assert server.origin(peer).role is Role.CLIENT
        server.forget(peer)
        server.forget(peer)
        with pytest.raises(UsageError, match="forgotten"):
            server.origin(peer)

    def test_who_hangs_up_is_named_once(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        clients = [connected(transport, server, ring) for _ in range(3)]
        peers: list[PeerId] = []
        for client in clients:
            assert client.send([b"hello"])
            peers.append(served(server)[0])
            server.admit(peers[-1])
        assert server.hung_up() == []
        named: list[PeerId] = []

        def ask() -> bool:
            server.receive()  # over TCP nothing is noticed before that
            named.extend(server.hung_up())
            return len(named) == 2

        clients[0].close()
        clients[2].close()
        wait_for(ask)
        assert sorted(named) == sorted([peers[0], peers[2]])
        assert server.send(peers[1], [b"you are here"])
        wait_for(lambda: not server.send(peers[0], [b"anybody there?"]))
        assert server.hung_up() == []

    def test_who_was_forgotten_may_speak_again(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        assert client.send([b"hello"])
        peer, _ = served(server)
        origin = server.origin(peer)
        server.forget(peer)
        assert client.send([b"hello again"])
        assert served(server) == (peer, [b"hello again"])
        assert server.origin(peer) == origin
        server.admit(peer)
        assert server.send(peer, [b"welcome"])
        assert received(client) == [b"welcome"]

    def test_a_reconnect_is_a_new_peer(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        assert client.send([b"first"])
        first, _ = served(server)
        client.reconnect()
        assert await_event(client, "connected") == ["connected"]
        assert client.send([b"second"])
        second, frames = served(server)
        assert frames == [b"second"]
        assert second != first
        assert server.origin(second).key == server.origin(first).key
        # The client must be polled meanwhile, as its owner's loop does: its socket has housekeeping to do.
        wait_for(lambda: not select_readable(client.pollable) and not server.send(first, [b"lost"]))
        assert server.send(second, [b"found"])
        assert received(client) == [b"found"]

    def test_what_is_taken_after_a_reconnect_arrives(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        peers: set[PeerId] = set()
        for number in range(30):
            wait_for(lambda content=b"%d" % number: client.send([content]))
            peer, frames = served(server)
            assert frames == [b"%d" % number]
            peers.add(peer)
            client.reconnect()
        assert len(peers) == 30

    def test_what_is_taken_after_a_loss_arrives(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        address = server.address
        client = connected(transport, server, ring)
        for number in range(10):
            server.close()
            while "disconnected" not in client.connection_events():
                pass  # without a pause, so that it sends as soon as it can have read of the loss
            content = b"%d" % number
            is_taken = client.send([content])
            server = wait_for(lambda: reopened(transport, address, ring))
            wait_for(lambda taken=is_taken, content=content: taken or client.send([content]))
            assert served(server)[1] == [content]

    def test_a_client_waits_for_its_server(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        address = server.address
        server.close()
        client = transport.client(credentials(address, ring))
        assert not client.send([b"too early"])
        assert client.connection_events() == []
        server = wait_for(lambda: reopened(transport, address, ring))
        await_event(client, "connected")
        assert client.send([b"hello"])
        assert served(server)[1] == [b"hello"]

    def test_a_lost_connection_takes_nothing_until_its_loss_is_read(
        self, transport: Transport, ring: KeyRing
    ) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        assert client.send([b"hello"])
        served(server)
        address = server.address
        server.close()
        wait_for(lambda: not client.send([b"into the void"]))
        server = wait_for(lambda: reopened(transport, address, ring))
        wait_for(lambda: bool(select_readable(client.events_pollable)))
        assert not client.send([b"not meant for this connection"])
        events = client.connection_events()
        assert events[0] == "disconnected"
        if "connected" not in events:
            await_event(client, "connected")
        assert client.send([b"hello again"])
        assert served(server)[1] == [b"hello again"]

    def test_sending_ends_when_nobody_receives(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        assert client.send([b"hello"])
        peer, _ = served(server)
        body = bytes(20_000)
        sent = 0
        while server.send(peer, [body]):
            sent += 1
            assert sent < 20_000
        got = 0
        while got < sent:
            assert received(client) == [body]
            got += 1

    def test_writable_when_it_takes_more(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        client = connected(transport, server, ring)
        poller = zmq.Poller()
        watch(poller, client.pollable, zmq.POLLOUT)
        assert poller.poll(30_000)
        while client.send([bytes(20_000)]):
            pass
        wait_for(server.receive, server.pollable)

        def drained() -> bool:
            while server.receive() is not None:
                pass
            return bool(poller.poll(10))

        wait_for(drained)
        wait_for(lambda: client.send([b"more"]))

    def test_not_writable_without_a_connection(self, transport: Transport, ring: KeyRing) -> None:
        client = transport.client(credentials("tcp://127.0.0.1:1", ring))
        poller = zmq.Poller()
        watch(poller, client.pollable, zmq.POLLOUT)
        assert not poller.poll(50)

    def test_many_clients(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        clients = [connected(transport, server, ring) for _ in range(20)]
        for number, client in enumerate(clients):
            assert client.send([b"%d" % number])
        peers: set[PeerId] = set()
        for _ in clients:
            peer, frames = served(server)
            peers.add(peer)
            assert server.send(peer, frames)
        assert len(peers) == 20
        for number, client in enumerate(clients):
            assert received(client) == [b"%d" % number]

    def test_the_address_is_in_use(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        for listen in (transport.server, transport.work_queue):
            with pytest.raises(AddressInUse, match=re.escape(server.address)) as caught:
                listen(server.address, ring)
            assert "--port" in caught.value.hint

    @pytest.mark.parametrize("address", ["", "localhost", "tcp://a", "udp://a:1", "tcp://a:65536", "tcp://:1"])
    def test_malformed_addresses(self, transport: Transport, ring: KeyRing, address: str) -> None:
        with pytest.raises(UsageError, match="is not an address"):
            transport.server(address, ring)
        with pytest.raises(UsageError, match="is not an address"):
            transport.client(credentials(address, ring))

    def test_unknown_key(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        stranger = transport.client(replace(credentials(server.address, ring), keys=new_key_pair()))
        assert await_event(stranger, "auth_failed") == ["auth_failed"]
        assert not stranger.send([b"hello"])
        assert server.receive() is None

    def test_a_key_authorized_later(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        access = replace(credentials(server.address, ring), keys=new_key_pair())
        client = transport.client(access)
        await_event(client, "auth_failed")
        ring.authorize(access.keys.public, Role.SLAVE)
        client.reconnect()
        await_event(client, "connected")
        assert client.send([b"hello"])
        peer, _ = served(server)
        assert server.origin(peer).role is Role.SLAVE

    def test_wrong_server_key(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        access = replace(credentials(server.address, ring), server_key=new_key_pair().public)
        client = transport.client(access)
        assert await_event(client, "auth_failed") == ["auth_failed"]
        assert server.receive() is None

    def test_a_revoked_key(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        other = connected(transport, server, ring)
        access = credentials(server.address, ring)
        client = transport.client(access)
        await_event(client, "connected")
        assert client.send([b"hello"])
        peer, _ = served(server)
        ring.revoke(access.keys.public)
        assert not server.send(peer, [b"secret"])
        assert client.send([b"more"])
        assert other.send([b"still here"])

        def refused() -> bool:
            message = server.receive()
            assert message is None or plain(message[1]) == [b"still here"]
            return "auth_failed" in client.connection_events()

        wait_for(refused)
        assert client.receive() is None

    def test_the_poll_loop_may_close_twice(self, transport: Transport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        queue = transport.work_queue(ANYWHERE, ring)
        client = connected(transport, server, ring)
        source = transport.work_source(queue.address, credentials(queue.address, ring, Role.SLAVE))
        for end in (client, server, source, queue, client, server, source, queue):
            end.close()
        transport.close()
        transport.close()


def reopened(transport: Transport, address: str, ring: KeyRing) -> IServer | None:
    try:
        return transport.server(address, ring)
    except AddressInUse:  # libzmq closes a listener in its own time
        return None


def select_readable(pollable: Any) -> list[Any]:
    poller = zmq.Poller()
    watch(poller, pollable, zmq.POLLIN)
    return poller.poll(0)


def select_writable(pollable: Any) -> list[Any]:
    poller = zmq.Poller()
    watch(poller, pollable, zmq.POLLOUT)
    return poller.poll(0)


@pytest.mark.parametrize("transport", ["zmq", "tcp", "tcp-plain"], indirect=True)
class TestIntroductions:
    def test_who_does_not_introduce_itself_is_cut_off(
        self,
        transport: Transport,
        ring: KeyRing,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for module in (zmq_gate, tcp_server):
            monkeypatch.setattr(module, "HELLO_SECONDS", 1.0)
        server = transport.server(ANYWHERE, ring)
        assert isinstance(server, ZMQServer | TCPServer)
        silent, chatty, known = (connected(transport, server, ring) for _ in range(3))
        assert chatty.send([b"no hello"])
        served(server)
        assert known.send([b"hello"])
        peer, _ = served(server)
        server.admit(peer)
        for client in (silent, chatty):
            await_event(client, "disconnected")
        assert server.rejections.silent >= 2
        assert "did not introduce itself" in caplog.text
        assert known.connection_events() == []
        server.forget(peer)
        await_event(known, "disconnected")

    def test_who_introduces_itself_again_after_it_was_forgotten_is_kept(
        self, transport: Transport, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (zmq_gate, tcp_server):
            monkeypatch.setattr(module, "HELLO_SECONDS", 2.0)
        server = transport.server(ANYWHERE, ring)
        assert isinstance(server, ZMQServer | TCPServer)
        silent, known = (connected(transport, server, ring) for _ in range(2))
        assert known.send([b"I am"])
        peer, _ = served(server)
        server.admit(peer)
        server.forget(peer)
        assert known.send([b"I am"])
        assert served(server)[0] == peer
        server.admit(peer)
        await_event(silent, "disconnected")
        wait_for(lambda: server.rejections.silent)
        assert known.send([b"still here"])
        assert served(server) == (peer, [b"still here"])
        assert server.rejections.silent == 1


class TestAnyWorkQueue:
    def puller(self, transport: Transport, queue: IWorkQueue, ring: KeyRing) -> IWorkSource:
        return transport.work_source(queue.address, credentials(queue.address, ring, Role.SLAVE))

    def test_nobody_pulls(self, transport: Transport, ring: KeyRing) -> None:
        queue = transport.work_queue(ANYWHERE, ring)
        assert not queue.send([b"work"])
        assert not select_writable(queue.pollable)

    def test_two_pullers_share_the_work(self, transport: Transport, ring: KeyRing) -> None:
        queue = transport.work_queue(ANYWHERE, ring)
        pullers = [self.puller(transport, queue, ring) for _ in range(2)]
        got: list[list[bytes]] = [[], []]
        sent = 0
        deadline = time.monotonic() + PATIENCE
        while not all(got) or sum(map(len, got)) < sent:
            assert time.monotonic() < deadline
            # Both must have been served before the work ends: a connection takes its time.
            if (sent < 200 or not all(got)) and queue.send([b"%d" % sent, b"body"]):
                sent += 1
            for puller, pile in zip(pullers, got, strict=True):
                while (work := puller.receive()) is not None:
                    pile.append(plain(work)[0])
        assert sorted(map(int, got[0] + got[1])) == list(range(sent))

    def test_large_work(self, transport: Transport, ring: KeyRing) -> None:
        queue = transport.work_queue(ANYWHERE, ring)
        source = self.puller(transport, queue, ring)
        body = os.urandom(10 * 1024 * 1024)
        push(queue, [b"chunk", body])
        assert received(source) == [b"chunk", body]

    def test_the_queue_is_bounded(self, transport: Transport, ring: KeyRing) -> None:
        queue = transport.work_queue(ANYWHERE, ring)
        source = self.puller(transport, queue, ring)
        body = bytes(100_000)
        push(queue, [body])
        assert received(source) == [body]
        sent = 0
        while queue.send([body]) or select_writable(queue.pollable):
            sent += 1
            assert sent < 10_000
        room = zmq.Poller()
        watch(room, queue.pollable, zmq.POLLOUT)

        def has_room() -> bool:
            source.receive()
            return bool(room.poll(10))

        wait_for(has_room)
        assert queue.send([body])

    def test_pause_and_resume(self, transport: Transport, ring: KeyRing) -> None:
        queue = transport.work_queue(ANYWHERE, ring)
        source = self.puller(transport, queue, ring)
        push(queue, [b"1"])
        assert received(source) == [b"1"]
        push(queue, [b"2"])
        wait_for(lambda: bool(select_readable(source.pollable)))
        source.pause()
        source.pause()
        assert source.receive() == [b"2"]
        assert source.receive() is None
        wait_for(lambda: not queue.send([b"lost on the way out"]))
        assert source.receive() is None
        source.resume()
        source.resume()
        push(queue, [b"3"])
        assert received(source) == [b"3"]

    def test_a_source_waits_for_its_queue(self, transport: Transport, ring: KeyRing) -> None:
        queue = transport.work_queue(ANYWHERE, ring)
        address = queue.address
        queue.close()
        source = transport.work_source(address, credentials(address, ring, Role.SLAVE))

        def again() -> IWorkQueue | None:
            try:
                return transport.work_queue(address, ring)
            except AddressInUse:
                return None

        queue = wait_for(again)
        push(queue, [b"work"])
        assert received(source) == [b"work"]

    @pytest.mark.parametrize("role", [Role.CLIENT, Role.HOST, Role.ADMIN])
    def test_only_slaves_pull(self, transport: Transport, ring: KeyRing, role: Role) -> None:
        queue = transport.work_queue(ANYWHERE, ring)
        transport.work_source(queue.address, credentials(queue.address, ring, role))
        if isinstance(queue, ZMQWorkQueue):
            wait_for(lambda: queue.rejections.unauthorized)
        assert not queue.send([b"work"])
        source = self.puller(transport, queue, ring)
        push(queue, [b"work"])
        assert received(source) == [b"work"]

    def test_a_revoked_slave_gets_no_more_work(self, transport: Transport, ring: KeyRing) -> None:
        queue = transport.work_queue(ANYWHERE, ring)
        access = credentials(queue.address, ring, Role.SLAVE)
        revoked = transport.work_source(queue.address, access)
        push(queue, [b"1"])
        assert received(revoked) == [b"1"]
        ring.revoke(access.keys.public)
        wait_for(lambda: not queue.send([b"2"]))
        source = self.puller(transport, queue, ring)
        for number in range(20):
            push(queue, [b"after %d" % number])
            assert received(source) == [b"after %d" % number]
        while (work := revoked.receive()) is not None:
            assert not plain(work)[0].startswith(b"after")


@pytest.fixture
def zmq_transport() -> Generator[ZMQTransport, None, None]:
    made = new_zmq()
    yield made
    made.close()


@pytest.fixture
def guarded(zmq_transport: ZMQTransport, ring: KeyRing) -> Generator[ZMQServer, None, None]:
    """A server whose legitimate peer must be unaffected by what the test does."""
    server = zmq_transport.server(ANYWHERE, ring)
    friend = connected(zmq_transport, server, ring)
    assert friend.send([b"before"])
    peer, _ = served(server)
    server.admit(peer)
    yield server
    assert friend.connection_events() == []
    assert friend.send([b"after"])
    assert served(server) == (peer, [b"after"])
    assert server.send(peer, [b"answer"])
    assert received(friend) == [b"answer"]


@contextlib.contextmanager
def raw_dealer(server: ZMQServer, **options: Any) -> Generator[zmq.Socket[bytes], None, None]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        for name, value in options.items():
            setattr(dealer, name, value)
        dealer.connect(server.address)
        yield dealer


def port_of(server: ZMQServer) -> tuple[str, int]:
    return "127.0.0.1", int(server.address.rpartition(":")[2])


class TestStrangers:
    def test_no_security_at_all(self, guarded: ZMQServer) -> None:
        with raw_dealer(guarded) as dealer:
            dealer.send(b"hello")
            wait_for(lambda: guarded.rejections.malformed)
            assert guarded.receive() is None

    def test_user_and_password(self, guarded: ZMQServer) -> None:
        with raw_dealer(guarded, plain_username=b"a", plain_password=b"b") as dealer:
            dealer.send(b"hello")
            wait_for(lambda: guarded.rejections.malformed)
            assert guarded.receive() is None

    def test_unknown_key_is_counted(
        self, zmq_transport: ZMQTransport, guarded: ZMQServer, ring: KeyRing, caplog: pytest.LogCaptureFixture
    ) -> None:
        stranger = zmq_transport.client(replace(credentials(guarded.address, ring), keys=new_key_pair()))
        await_event(stranger, "auth_failed")
        assert guarded.rejections.unauthorized == 1
        assert f"rejected 127.0.0.1 at {guarded.address}" in caplog.text
        assert "not authorized" in caplog.text

    def test_wrong_server_key_is_counted(
        self, zmq_transport: ZMQTransport, guarded: ZMQServer, ring: KeyRing
    ) -> None:
        access = replace(credentials(guarded.address, ring), server_key=new_key_pair().public)
        client = zmq_transport.client(access)
        await_event(client, "auth_failed")
        wait_for(lambda: guarded.rejections.malformed >= 3)

    @pytest.mark.parametrize("identity", [b"me", b"\0ab", b"abcde"])
    def test_self_chosen_identity(self, guarded: ZMQServer, ring: KeyRing, identity: bytes) -> None:
        access = credentials(guarded.address, ring)
        with raw_dealer(
            guarded,
            identity=identity,
            curve_serverkey=access.server_key.encode(),
            curve_publickey=access.keys.public.encode(),
            curve_secretkey=access.keys.secret.encode(),
        ) as dealer:
            dealer.send(b"hello")
            wait_for(lambda: guarded.receive() is None and guarded.rejections.dropped, guarded.pollable)
            with pytest.raises(UsageError):
                guarded.origin(identity)

    def test_another_peers_identity(self, zmq_transport: ZMQTransport, guarded: ZMQServer, ring: KeyRing) -> None:
        victim = connected(zmq_transport, guarded, ring)
        assert victim.send([b"hello"])
        peer, _ = served(guarded)
        origin = guarded.origin(peer)
        victim.close()
        wait_for(lambda: not guarded.send(peer, [b"gone?"]))
        access = credentials(guarded.address, ring)
        with raw_dealer(
            guarded,
            identity=peer,
            curve_serverkey=access.server_key.encode(),
            curve_publickey=access.keys.public.encode(),
            curve_secretkey=access.keys.secret.encode(),
        ) as dealer:
            dealer.send(b"it is me")
            wait_for(lambda: guarded.receive() is None and guarded.rejections.dropped, guarded.pollable)
        assert guarded.origin(peer) == origin

    def test_a_megabyte_of_noise(self, guarded: ZMQServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        noise = random.Random(1).randbytes(1_000_000)
        with (
            contextlib.suppress(ConnectionError),
            sockets.create_connection(port_of(guarded), timeout=PATIENCE) as connection,
        ):
            connection.sendall(noise)
            assert connection.recv(1000)[:1] in (b"", b"\xff")
        wait_for(lambda: guarded.rejections.malformed)
        wait_for(lambda: "did not complete the handshake" in caplog.text)
        assert guarded.receive() is None

    def test_a_web_browser(self, guarded: ZMQServer) -> None:
        with (
            contextlib.suppress(ConnectionError),
            sockets.create_connection(port_of(guarded), timeout=PATIENCE) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while connection.recv(1000):
                pass
        wait_for(lambda: guarded.rejections.malformed)
        assert guarded.receive() is None

    def test_noise_after_a_valid_greeting(self, guarded: ZMQServer) -> None:
        greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE" + bytes(15) + b"\0" + bytes(31)
        with (
            contextlib.suppress(ConnectionError),
            sockets.create_connection(port_of(guarded), timeout=PATIENCE) as connection,
        ):
            connection.sendall(greeting + b"\4\xc8\5HELLO" + random.Random(2).randbytes(194))
            while connection.recv(1000):
                pass
        wait_for(lambda: guarded.rejections.malformed)

    def test_a_silent_connection_keeps_nobody_out(
        self, zmq_transport: ZMQTransport, guarded: ZMQServer, ring: KeyRing
    ) -> None:
        with sockets.create_connection(port_of(guarded), timeout=PATIENCE):
            connected(zmq_transport, guarded, ring)
        wait_for(lambda: guarded.rejections.malformed)
        assert guarded.rejections.malformed == 1

    def test_frames_beyond_the_limit(
        self,
        zmq_transport: ZMQTransport,
        guarded: ZMQServer,
        ring: KeyRing,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(ZMQTransport, "max_frame_bytes", 100_000)
        server = zmq_transport.server(ANYWHERE, ring)
        client = connected(zmq_transport, server, ring)
        with pytest.raises(MessageTooLarge, match="100,001") as caught:
            client.send([b"head", bytes(100_001)])
        assert "max_frame" in caught.value.hint
        assert client.send([bytes(100_000)])
        assert served(server)[1] == [bytes(100_000)]
        monkeypatch.undo()
        unlimited = connected(zmq_transport, server, ring)
        assert unlimited.send([bytes(200_000)])
        await_event(unlimited, "disconnected")
        assert server.receive() is None


class TestCrowds:
    """Connections that nobody needs are bounded in number and time, and those that somebody needs are kept."""

    def test_connections_beyond_what_open_files_allow_are_turned_away(
        self, ring: KeyRing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(zmq_transport_module, "open_files", lambda: 49)
        with closing(new_zmq()) as transport:
            assert isinstance(transport, ZMQTransport)
            server = transport.server(ANYWHERE, ring)
            friends = [connected(transport, server, ring) for _ in range(3)]
            with contextlib.ExitStack() as stack:
                for _ in range(20):
                    stack.enter_context(sockets.create_connection(port_of(server), timeout=PATIENCE))
                wait_for(lambda: server.rejections.crowded >= 20)
            assert "as many as the limit of open files allows" in caplog.text
            assert [friend.connection_events() for friend in friends] == [[], [], []]
            friends[0].close()
            wait_for(lambda: _can_connect(transport, server, ring))


def _can_connect(transport: ZMQTransport, server: ZMQServer, ring: KeyRing) -> bool:
    client = transport.client(credentials(server.address, ring))
    events = wait_for(client.connection_events, client.events_pollable)
    client.close()
    return events == ["connected"]


hung_up = threading.Event()


@contextlib.contextmanager
def hanging_up(address: str) -> Generator[None, None, None]:
    """A port forwarder with nothing behind it: it accepts, hangs up, and sets ``hung_up``."""

    def listen() -> sockets.socket | None:
        try:
            return sockets.create_server(("127.0.0.1", int(address.rpartition(":")[2])), backlog=10)
        except OSError:
            return None

    def hang_up() -> None:
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                listener.accept()[0].close()
                hung_up.set()

    stopping = threading.Event()
    with wait_for(listen) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()


class TestZMQTransport:
    def test_listens_on_ipv6_and_by_name(self, zmq_transport: ZMQTransport, ring: KeyRing) -> None:
        for address in ("tcp://localhost:0", "tcp://[::1]:0"):
            if address.startswith("tcp://[") and not os.path.exists("/proc/net/if_inet6"):
                continue
            server = zmq_transport.server(address, ring)
            assert server.address.startswith(address[:-1])
            client = connected(zmq_transport, server, ring)
            assert client.send([b"hello"])
            peer, _ = served(server)
            assert server.origin(peer).address in ("127.0.0.1", "::1")

    def test_hang_ups_do_not_discourage_who_was_connected(
        self, zmq_transport: ZMQTransport, ring: KeyRing
    ) -> None:
        server = zmq_transport.server(ANYWHERE, ring)
        address = server.address
        client = connected(zmq_transport, server, ring)
        server.close()
        await_event(client, "disconnected")
        newcomer = zmq_transport.client(credentials(address, ring))
        with hanging_up(address):
            assert await_event(newcomer, "auth_failed") == ["auth_failed"]
            for _ in range(5):
                hung_up.clear()
                assert hung_up.wait(PATIENCE)
        server = wait_for(lambda: reopened(zmq_transport, address, ring))
        assert await_event(client, "connected") == ["connected"]
        newcomer.reconnect()
        assert await_event(newcomer, "connected") == ["connected"]

    def test_another_machines_address(self, zmq_transport: ZMQTransport, ring: KeyRing) -> None:
        with pytest.raises(UsageError, match="cannot listen on") as caught:
            zmq_transport.server("tcp://192.0.2.1:5555", ring)
        assert "an address of this machine" in caught.value.hint

    def test_a_key_ring_for_each_server(self, zmq_transport: ZMQTransport, ring: KeyRing) -> None:
        other = KeyRing.create()
        one, two = zmq_transport.server(ANYWHERE, ring), zmq_transport.server(ANYWHERE, other)
        connected(zmq_transport, one, ring)
        connected(zmq_transport, two, other)
        lost = zmq_transport.client(replace(credentials(two.address, ring), server_key=other.keys.public))
        await_event(lost, "auth_failed")

    def test_the_transport_can_be_used_again(self, zmq_transport: ZMQTransport, ring: KeyRing) -> None:
        for _ in range(2):
            connected(zmq_transport, zmq_transport.server(ANYWHERE, ring), ring)
            zmq_transport.close()

    def test_leaves_no_thread_behind(self, ring: KeyRing) -> None:
        made = new_zmq()
        made.server(ANYWHERE, ring)
        assert any(thread.name == "concurrence-gate" for thread in threading.enumerate())
        made.close()
        assert not any(thread.name == "concurrence-gate" for thread in threading.enumerate())

    def test_is_not_used_after_a_fork(
        self, zmq_transport: ZMQTransport, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zmq_transport.server(ANYWHERE, ring)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(ComponentError, match="forked"):
            zmq_transport.server(ANYWHERE, ring)
        monkeypatch.undo()


def test_rejections_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = RejectionLog("tcp://127.0.0.1:1", clock=lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            log.reject("noise", "192.0.2.1")
        log.reject("no key", "192.0.2.2")
        now = 1.5
        log.reject("noise", "192.0.2.3")
    assert [record.getMessage() for record in caplog.records] == [
        "rejected 192.0.2.1 at tcp://127.0.0.1:1: noise",
        "rejected 192.0.2.2 at tcp://127.0.0.1:1: no key",
        "rejected 192.0.2.3 at tcp://127.0.0.1:1: noise (and 999 more since the last such line)",
    ]
