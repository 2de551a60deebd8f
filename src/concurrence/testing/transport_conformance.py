"""What every transport has to keep, over real connections; see :mod:`concurrence.testing.conformance`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from concurrence.component import Component
from concurrence.errors import AddressInUse, UsageError
from concurrence.nodes.reactor import Reactor
from concurrence.testing.api import environment
from concurrence.transport.api import (
    LARGE_FRAME_BYTES,
    IClient,
    IServer,
    ITransport,
    IWorkQueue,
    IWorkSource,
    PeerId,
)
from concurrence.transport.security import Credentials, KeyRing, Role, new_key_pair
from concurrence.wire.codec import Frame

PATIENCE = 60.0
ANYWHERE = "tcp://127.0.0.1:0"


class Ends:
    """The ends of connections on one poll loop, which drains them as nodes do.

    Args:
        transport: What makes them.
        keys: Who may connect.
    """

    def __init__(self, transport: ITransport, keys: KeyRing) -> None:
        self._transport = transport
        self._keys = keys
        self._reactor = Reactor()
        self._closing = ExitStack()
        self._closing.callback(self._reactor.close)

    def server(self, address: str = ANYWHERE) -> tuple[IServer, list[tuple[PeerId, list[Frame]]]]:
        """A server, and what it receives."""
        server, got = self._transport.server(address, self._keys), list[tuple[PeerId, list[Frame]]]()
        self._watch(server, lambda: got.extend(iter(server.receive, None)))
        return server, got

    def client(self, access: Credentials, *, reads: bool = True) -> tuple[IClient, list[list[Frame]], list[str]]:
        """A client, what it receives, and what befalls its connection."""
        client, got, events = self._transport.client(access), list[list[Frame]](), list[str]()
        if reads:
            self._watch(client, lambda: got.extend(iter(client.receive, None)))
        else:
            self._closing.callback(client.close)
        self._reactor.register(client.events_pollable, lambda: events.extend(client.connection_events()))
        return client, got, events

    def queue(self) -> IWorkQueue:
        """A work queue."""
        queue = self._transport.work_queue(ANYWHERE, self._keys)
        self._watch(queue, queue.tend)
        return queue

    def source(self, queue: IWorkQueue, role: Role = Role.SLAVE) -> tuple[IWorkSource, list[list[Frame]]]:
        """One that pulls from a queue, and what it pulled."""
        source = self._transport.work_source(queue.address, self.invite(queue.address, role))
        got: list[list[Frame]] = []
        self._watch(source, lambda: got.extend(iter(source.receive, None)))
        return source, got

    def invite(self, address: str, role: Role = Role.CLIENT) -> Credentials:
        """What somebody needs who may connect."""
        return self._keys.invite(address, role)

    def connected(self, server: IServer, role: Role = Role.CLIENT) -> tuple[IClient, list[list[Frame]], list[str]]:
        """A client that is connected."""
        client, got, events = self.client(self.invite(server.address, role))
        self.until(lambda: events == ["connected"])
        return client, got, events

    def drop(self, end: IServer | IClient) -> None:
        """Close an end before the others."""
        self._reactor.unregister(end.pollable)
        events = getattr(end, "events_pollable", None)
        if events is not None:
            self._reactor.unregister(events)
        end.close()

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Turn the loop until a condition holds.

        Raises:
            AssertionError: It does not.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"did not come about within {seconds:g} s"
            self._reactor.cycle(0.02)

    def close(self) -> None:
        """Close all ends."""
        self._closing.close()

    def _watch(self, end: IServer | IClient | IWorkQueue | IWorkSource, drain: Callable[[], object]) -> None:
        def on_readable() -> None:
            drain()

        self._reactor.register(end.pollable, on_readable)
        self._closing.callback(end.close)


def plain(frames: Sequence[Frame]) -> list[bytes]:
    """Frames as bytes."""
    return [bytes(frame) for frame in frames]


class TransportConformance:
    """Inherit it under a name that begins with ``Test``, and say which transport.

    Attributes:
        transport: The transport's class.
        components: Further components that it needs.
        overrides: Options, as texts ``section.name=value``.
    """

    transport: ClassVar[type[Component]]
    components: ClassVar[Sequence[type[Component]]] = ()
    overrides: ClassVar[Sequence[str]] = ()

    keys: KeyRing
    ends: Ends

    @pytest.fixture(autouse=True)
    def _with_transport(self) -> Iterator[None]:
        with environment(self.transport, *self.components, overrides=self.overrides) as opened:
            made = opened.component(self.transport)
            if not isinstance(made, ITransport):
                raise TypeError(f"{self.transport.__name__} is no ITransport")
            self.keys = KeyRing.create()
            self.ends = Ends(made, self.keys)
            close: Callable[[], None] | None = getattr(made, "close", None)
            try:
                yield
            finally:
                self.ends.close()
                if close is not None:
                    close()

    # --- servers and clients ---

    @pytest.mark.parametrize("role", list(Role))
    def test_a_message_there_and_back(self, role: Role) -> None:
        """Frames arrive as they are, from a peer that is known by its key and role."""
        server, heard = self.ends.server()
        access = self.ends.invite(server.address, role)
        client, answers, events = self.ends.client(access)
        self.ends.until(lambda: events == ["connected"])
        assert client.send([b"hello", b"", b"body"])
        self.ends.until(lambda: heard)
        ((peer, frames),) = heard
        assert plain(frames) == [b"hello", b"", b"body"]
        assert server.origin(peer) == (role, access.keys.public, "127.0.0.1")
        server.admit(peer)
        assert server.send(peer, [b"welcome"])
        self.ends.until(lambda: answers)
        assert [plain(each) for each in answers] == [[b"welcome"]]

    def test_messages_keep_their_order(self) -> None:
        """All of many, one after the other, none twice."""
        server, heard = self.ends.server()
        client, _, _ = self.ends.connected(server)
        for number in range(2_000):
            self.ends.until(lambda number=number: client.send([b"%d" % number]))
        self.ends.until(lambda: len(heard) == 2_000)
        assert [plain(frames) for _, frames in heard] == [[b"%d" % number] for number in range(2_000)]

    @pytest.mark.parametrize("size", [LARGE_FRAME_BYTES - 1, LARGE_FRAME_BYTES, 5_000_000])
    def test_frames_of_all_sizes(self, size: int) -> None:
        """Small frames are handed out as bytes, large ones may be views."""
        server, heard = self.ends.server()
        client, _, _ = self.ends.connected(server)
        content = os.urandom(size)
        assert client.send([b"head", content, memoryview(content)])
        self.ends.until(lambda: heard)
        frames = heard[0][1]
        assert plain(frames) == [b"head", content, content]
        assert isinstance(frames[0], bytes)
        assert size >= LARGE_FRAME_BYTES or isinstance(frames[1], bytes)

    def test_nobody_can_be_sent_to_who_is_gone(self) -> None:
        """To a peer that closed, or never was, nothing is taken; it can be forgotten, twice too."""
        server, heard = self.ends.server()
        assert not server.send(b"\0abcd", [b"nobody"])
        client, _, _ = self.ends.connected(server)
        assert client.send([b"hello"])
        self.ends.until(lambda: heard)
        peer = heard[0][0]
        self.ends.drop(client)
        self.ends.until(lambda: not server.send(peer, [b"anybody there?"]))
        for _ in range(2):
            server.forget(peer)
        with pytest.raises(UsageError):
            server.origin(peer)

    def test_a_reconnect_is_a_new_peer(self) -> None:
        """The server tells the connections of one client apart."""
        server, heard = self.ends.server()
        client, answers, events = self.ends.connected(server)
        assert client.send([b"first"])
        self.ends.until(lambda: heard)
        client.reconnect()
        self.ends.until(lambda: events.count("connected") == 2)
        while len({peer for peer, _ in heard}) < 2:  # what meets a change of connections may be lost
            client.send([b"second"])
            with suppress(AssertionError):
                self.ends.until(lambda: len({peer for peer, _ in heard}) == 2, 1.0)
        first, second = heard[0][0], heard[-1][0]
        assert server.origin(first).key == server.origin(second).key
        assert server.send(second, [b"found"])
        self.ends.until(lambda: answers)
        assert plain(answers[0]) == [b"found"]

    def test_a_client_waits_for_its_server_and_finds_it_again(self) -> None:
        """Without a connection it takes nothing; with a new one only what was meant for that."""
        server, _ = self.ends.server()
        address = server.address
        client, _, events = self.ends.connected(server)
        self.ends.drop(server)
        self.ends.until(lambda: "disconnected" in events)
        self.ends.until(lambda: not client.send([b"into the void"]))  # a listener may be closed in its own time
        made: list[Any] = []

        def listens() -> bool:
            with suppress(AddressInUse):
                made.extend(self.ends.server(address))
            return bool(made)

        self.ends.until(listens)
        self.ends.until(lambda: events[-1] == "connected" and client.send([b"hello"]))
        self.ends.until(lambda: made[1])
        assert plain(made[1][0][1]) == [b"hello"]

    def test_what_is_not_read_is_bounded_and_not_lost(self) -> None:
        """To one who does not read the server sends so much and no more; what it took arrives."""
        server, heard = self.ends.server()
        client, _, events = self.ends.client(self.ends.invite(server.address), reads=False)
        self.ends.until(lambda: events == ["connected"] and client.send([b"hello"]))
        self.ends.until(lambda: heard)
        peer, body, sent = heard[0][0], os.urandom(20_000), 0
        while server.send(peer, [body]):
            sent += 1
            assert sent < 20_000, "400 MB for one who does not read"
        got: list[list[Frame]] = []
        self.ends.until(lambda: got.extend(iter(client.receive, None)) or len(got) >= sent)
        assert len(got) == sent

    def test_addresses(self) -> None:
        """One that is taken, and those that are none, are refused."""
        server, _ = self.ends.server()
        with pytest.raises(AddressInUse):
            self.ends.server(server.address)
        for address in ("", "localhost", "tcp://a", "udp://a:1", "tcp://a:65536"):
            with pytest.raises(UsageError):
                self.ends.server(address)

    # --- keys ---

    @pytest.mark.parametrize("whose", ["client", "server"])
    def test_a_wrong_key_gets_nowhere(self, whose: str) -> None:
        """A client whose key nobody knows, or that expects another server, is told so; nothing of it arrives."""
        server, heard = self.ends.server()
        access = self.ends.invite(server.address)
        strange = new_key_pair()
        access = replace(access, keys=strange) if whose == "client" else replace(access, server_key=strange.public)
        client, _, events = self.ends.client(access)
        self.ends.until(lambda: events)
        assert events == ["auth_failed"]
        assert not client.send([b"hello"])
        friend, _, _ = self.ends.connected(server)
        assert friend.send([b"from a friend"])
        self.ends.until(lambda: heard)
        assert [plain(frames) for _, frames in heard] == [[b"from a friend"]]

    def test_a_key_that_is_revoked_is_heard_no_more(self) -> None:
        """Not even over a connection that exists."""
        server, heard = self.ends.server()
        access = self.ends.invite(server.address)
        client, _, events = self.ends.client(access)
        self.ends.until(lambda: events == ["connected"] and client.send([b"before"]))
        self.ends.until(lambda: heard)
        self.keys.revoke(access.keys.public)
        assert not server.send(heard[0][0], [b"secret"])
        client.send([b"after"])
        friend, _, _ = self.ends.connected(server)
        assert friend.send([b"from a friend"])
        self.ends.until(lambda: len(heard) == 2)
        assert plain(heard[1][1]) == [b"from a friend"]

    # --- the work queue ---

    def test_who_pulls_shares_the_work(self) -> None:
        """Each piece goes to one of them; without anybody nothing is taken."""
        queue = self.ends.queue()
        assert not queue.send([b"too early"])
        piles = [self.ends.source(queue)[1] for _ in range(2)]
        sent = 0

        def push() -> bool:
            nonlocal sent
            if (sent < 200 or not all(piles)) and queue.send([b"%d" % sent, b"body"]):
                sent += 1
            return sent >= 200 and all(piles) and sum(map(len, piles)) == sent

        self.ends.until(push)
        assert sorted(int(bytes(work[0])) for pile in piles for work in pile) == list(range(sent))

    def test_the_queue_is_bounded(self) -> None:
        """While nobody reads it takes so much and no more."""
        queue = self.ends.queue()
        source, got = self.ends.source(queue)
        self.ends.until(lambda: queue.send([b"first"]))
        self.ends.until(lambda: got)
        deadline, sent, body = time.monotonic() + 1.0, 0, os.urandom(100_000)
        while time.monotonic() < deadline:  # the loop, which would read, does not turn
            sent += queue.send([body])
            assert sent < 10_000, "a gigabyte for one who does not read"
        self.ends.until(lambda: len(got) == sent + 1)
        source.close()

    def test_who_pauses_gets_nothing_more(self) -> None:
        """What arrived is handed out; then the queue has nobody to send to, until it goes on."""
        queue = self.ends.queue()
        source, got = self.ends.source(queue)
        self.ends.until(lambda: queue.send([b"1"]))
        self.ends.until(lambda: got)
        for _ in range(2):
            source.pause()
        while source.receive() is not None:
            pass
        self.ends.until(lambda: not queue.send([b"lost on the way out"]))
        before = len(got)
        for _ in range(2):
            source.resume()
        self.ends.until(lambda: queue.send([b"3"]))
        self.ends.until(lambda: len(got) > before)
        assert plain(got[-1]) == [b"3"]

    @pytest.mark.parametrize("role", [Role.CLIENT, Role.HOST, Role.ADMIN])
    def test_only_slaves_pull(self, role: Role) -> None:
        """Another role is not given work."""
        queue = self.ends.queue()
        _, stolen = self.ends.source(queue, role)
        _, got = self.ends.source(queue)
        for number in range(20):
            self.ends.until(lambda number=number: queue.send([b"%d" % number]))
        self.ends.until(lambda: len(got) == 20)
        assert not stolen

    def test_closing_twice_is_harmless(self) -> None:
        """Every end may be closed again."""
        server, _ = self.ends.server()
        client, _, _ = self.ends.connected(server)
        queue = self.ends.queue()
        source, _ = self.ends.source(queue)
        for _ in range(2):
            for end in (client, server, source, queue):
                end.close()
