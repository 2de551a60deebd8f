"""What strangers and broken peers send to the ports of the TCP transport: refused, counted, logged."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import socket as sockets
import ssl
import struct
import threading
from collections.abc import Generator
from dataclasses import replace

import psutil
import pytest
import zmq
from test_transport import (
    ANYWHERE,
    PATIENCE,
    await_event,
    connected,
    credentials,
    new_tcp,
    others,
    push,
    received,
    remembering,
    served,
    wait_for,
)

from concurrence.errors import ComponentError, UsageError
from concurrence.transport import tcp_listener
from concurrence.transport.api import IClient, PeerId
from concurrence.transport.security import Credentials, KeyRing, Role, new_key_pair
from concurrence.transport.tcp_handshake import (
    ADMITTED,
    CHALLENGE_BYTES,
    Channel,
    ClientHandshake,
    certificate_name,
)
from concurrence.transport.tcp_server import TCPServer
from concurrence.transport.tcp_tls import client_tls, server_tls
from concurrence.transport.tcp_transport import TCPTransport
from concurrence.transport.tcp_work_queue import TCPWorkQueue


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def transport(request: pytest.FixtureRequest) -> Generator[TCPTransport]:
    made = new_tcp(uses_tls=request.param)
    for name in ("server", "client", "work_queue", "work_source"):
        setattr(made, name, remembering(getattr(made, name)))
    yield made
    made.close()
    others.clear()


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.create()


class Guarded:
    """A server with a friend, who must be unaffected by what the test does."""

    def __init__(self, transport: TCPTransport, ring: KeyRing) -> None:
        server = transport.server(ANYWHERE, ring)
        assert isinstance(server, TCPServer)
        self.server: TCPServer = server
        self.transport = transport
        self.ring = ring
        self.friend: IClient = connected(transport, server, ring)
        assert self.friend.send([b"before"])
        self.peer: PeerId = served(server)[0]
        server.admit(self.peer)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.server.address.rpartition(":")[2])

    def check(self) -> None:
        assert self.friend.connection_events() == []
        assert self.friend.send([b"after"])
        assert served(self.server) == (self.peer, [b"after"])
        assert self.server.send(self.peer, [b"answer"])
        assert received(self.friend) == [b"answer"]

    def raw(self, data: bytes = b"") -> sockets.socket:
        """A connection that has sent something."""
        connection = sockets.create_connection(self.address, timeout=PATIENCE)
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.settimeout(0.2)
            connection.sendall(data)
        return connection

    def malformed(self, count: int = 1) -> None:
        wait_for(lambda: self.server.receive() is None and self.server.rejections.malformed >= count)

    def authenticated(self, access: Credentials | None = None) -> sockets.socket:
        """A connection of somebody who has a key, and who may send whatever he likes."""
        access = access or credentials(self.server.address, self.ring)
        connection = sockets.create_connection(self.address, timeout=PATIENCE)
        turning = Turning(self.server)
        try:
            return proven(connection, access, uses_tls=self.transport.uses_tls)
        finally:
            turning.stop()


class Turning:
    """Turns a server in a thread while the test's own waits for it."""

    def __init__(self, server: TCPServer) -> None:
        self._server = server
        self._stops = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stops.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stops.wait(0.001):
            self._server.tend()


def proven(connection: sockets.socket, access: Credentials, *, uses_tls: bool) -> sockets.socket:
    certificate = None
    if uses_tls:
        secured = client_tls().context.wrap_socket(connection)
        certificate = secured.getpeercert(binary_form=True)
        connection = secured
    handshake = ClientHandshake(access.keys, access.server_key, Channel.COMPUTE, certificate_name(certificate))
    connection.sendall(handshake.greeting())
    proof = handshake.proof(exactly(connection, CHALLENGE_BYTES))
    assert proof is not None
    connection.sendall(proof)
    assert exactly(connection, 1) == ADMITTED
    return connection


def exactly(connection: sockets.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, "the connection was closed"
        data += more
    return data


@pytest.fixture
def guarded(transport: TCPTransport, ring: KeyRing, caplog: pytest.LogCaptureFixture) -> Generator[Guarded]:
    caplog.set_level(logging.INFO)
    made = Guarded(transport, ring)
    yield made
    made.check()


class TestWithoutAKey:
    @pytest.mark.parametrize(
        "data",
        [
            random.Random(1).randbytes(100_000),
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE" + bytes(44),
            b"concurrence-tcp\x02" + bytes(100),
            b"concurrence-tcp\x01\x02" + bytes(64),
            b"concurrence-tcp\x01\x01" + bytes(64),
            struct.pack("!I", 0xFFFF_FFFF) * 30,
        ],
        ids=["noise", "http", "zeromq", "another version", "another channel", "no keys", "a message at once"],
    )
    def test_bytes_that_are_no_greeting(
        self, guarded: Guarded, data: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with guarded.raw(data):
            guarded.malformed()
        assert re.search(rf"rejected 127\.0\.0\.1 at {guarded.server.address}: it did not complete", caplog.text)
        assert guarded.server.receive() is None
        assert guarded.server.half_open == 0

    def test_a_greeting_that_ends_early(self, guarded: Guarded) -> None:
        guarded.raw(b"concurrence-tcp\x01").close()
        guarded.malformed()

    def test_a_zeromq_client(self, guarded: Guarded) -> None:
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(guarded.server.address)
            dealer.send(b"hello")
            guarded.malformed()

    def test_a_key_that_is_not_authorized(self, guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
        access = replace(credentials(guarded.server.address, guarded.ring), keys=new_key_pair())
        stranger = guarded.transport.client(access)
        assert await_event(stranger, "auth_failed") == ["auth_failed"]
        assert guarded.server.rejections.unauthorized == 1
        assert "its key is not authorized" in caplog.text

    def test_slow_connections_are_cut(self, guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp_listener, "HANDSHAKE_SECONDS", 0.2)
        with guarded.raw(), guarded.raw(b"\x16" if guarded.transport.uses_tls else b"concurrence"):
            wait_for(lambda: guarded.server.receive() is None and guarded.server.half_open == 2)
            # Woken by the alarm alone: nothing else happens on the server's sockets.
            wait_for(
                lambda: guarded.server.receive() is None and guarded.server.half_open == 0, guarded.server.pollable
            )
        assert guarded.server.rejections.malformed == 2

    def test_many_half_open_connections(self, guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp_listener, "MAX_HALF_OPEN", 50)
        flood(guarded, 200, 50)

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_five_thousand_half_open_connections(self, guarded: Guarded) -> None:
        process = psutil.Process()
        before = process.memory_info().rss
        flood(guarded, 5_000, tcp_listener.MAX_HALF_OPEN)
        # The other ends, which are in this process too, included.
        assert process.memory_info().rss - before < 200_000_000

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_fuzz(self, guarded: Guarded) -> None:
        chance = random.Random(4)
        before = psutil.Process().memory_info().rss
        beginnings = [
            b"",
            b"concurrence-tcp\x01\x01",
            b"\x16\x03\x01",
            b"GET / HTTP/1.1\r\n",
            b"\xff\0\0\0\0\0\0\0\1\x7f",
        ]
        for count in range(20_000):
            data = chance.choice(beginnings) + chance.randbytes(chance.choice([0, 1, 60, 300, 5_000]))
            guarded.raw(data).close()
            while guarded.server.receive() is not None:
                pass
            if count % 2_000 == 0:
                guarded.check()
        guarded.malformed(10_000)
        assert psutil.Process().memory_info().rss - before < 50_000_000


def flood(guarded: Guarded, count: int, limit: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(guarded.raw())
            assert guarded.server.receive() is None
            assert guarded.server.half_open <= limit
        guarded.malformed(count - limit)
        # While they are all there, somebody with a key gets in.
        connected(guarded.transport, guarded.server, guarded.ring)


class TestInBetween:
    def test_who_decrypts_in_between_learns_nothing(self, ring: KeyRing) -> None:
        transport = new_tcp()
        server = transport.server(ANYWHERE, ring)
        assert isinstance(server, TCPServer)
        relay = Eavesdropper(int(server.address.rpartition(":")[2]))
        turning = Turning(server)
        try:
            client = transport.client(credentials(f"tcp://127.0.0.1:{relay.port}", ring))
            assert await_event(client, "auth_failed") == ["auth_failed"]
            assert not client.send([b"secret"])
        finally:
            turning.stop()
            transport.close()
            relay.close()
        assert relay.was_there.is_set()


class Eavesdropper:
    """Shows a certificate of its own, and passes on what it decrypts."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.was_there = threading.Event()
        self._listener = sockets.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(sockets.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError, AssertionError):
            here, _ = self._listener.accept()
            here.settimeout(PATIENCE)
            with (
                server_tls().context.wrap_socket(here, server_side=True) as victim,
                sockets.create_connection(("127.0.0.1", self._target), timeout=PATIENCE) as there,
                client_tls().context.wrap_socket(there) as master,
            ):
                master.sendall(exactly(victim, 81))
                victim.sendall(exactly(master, CHALLENGE_BYTES))
                self.was_there.set()
                victim.recv(100)


class TestWithAKey:
    @pytest.mark.parametrize(
        "data",
        [
            struct.pack("!I", 0),
            struct.pack("!I", 65_537),
            struct.pack("!IQ", 1, 1 << 40),
            b"GET / HTTP/1.1\r\n\r\n",
        ],
        ids=["no frames", "too many frames", "a frame beyond the limit", "http"],
    )
    def test_bytes_that_are_no_message(
        self, guarded: Guarded, data: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with guarded.authenticated() as connection:
            connection.sendall(data)
            wait_for(lambda: guarded.server.receive() is None and guarded.server.rejections.dropped)
            assert connection.recv(10) == b""
        assert "rejected 127.0.0.1" in caplog.text
        assert "limit" in caplog.text

    def test_a_message_that_ends_early(self, guarded: Guarded) -> None:
        connection = guarded.authenticated()
        connection.sendall(struct.pack("!IQ", 1, 100_000) + bytes(50_000))
        connection.close()
        assert guarded.server.receive() is None

    def test_a_length_alone_costs_no_memory(self, guarded: Guarded) -> None:
        before = psutil.Process().memory_info().rss
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                connection = stack.enter_context(guarded.authenticated())
                connection.sendall(struct.pack("!IQ", 1, 256 * 1024 * 1024) + bytes(1000))
            assert guarded.server.receive() is None
            assert psutil.Process().memory_info().rss - before < 100_000_000

    def test_one_who_floods_does_not_keep_others_from_their_turn(self, guarded: Guarded) -> None:
        with guarded.authenticated() as connection:
            connection.setblocking(False)
            message = struct.pack("!IQ", 1, 1000) + bytes(1000)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                while True:
                    connection.send(message * 100)
            assert guarded.friend.send([b"between"])
            # Before it come no more than a few buffers full of the other's messages, who sent far more.
            got = [guarded.server.receive() for _ in range(500)]
            assert guarded.peer in [message[0] for message in got if message is not None]
        wait_for(lambda: guarded.server.receive() is None)


class TestCrowds:
    def test_connections_beyond_what_open_files_allow_are_turned_away(
        self, guarded: Guarded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(tcp_listener, "open_files", lambda: 0)
        monkeypatch.setattr(tcp_listener, "OWN_FILES", 0)
        with guarded.raw():
            wait_for(lambda: guarded.server.receive() is None and guarded.server.rejections.crowded)
        assert "as many as the limit of open files allows" in caplog.text


class TestWorkQueue:
    def test_orders_that_no_slave_gives(self, transport: TCPTransport, ring: KeyRing) -> None:
        for data in (b"\x00", b"GET / HTTP/1.1", b"\x01" * 3):
            queue = transport.work_queue(ANYWHERE, ring)
            assert isinstance(queue, TCPWorkQueue)
            access = credentials(queue.address, ring, Role.SLAVE)
            source = transport.work_source(queue.address, access)
            push(queue, [b"work"])
            assert received(source) == [b"work"]
            link = getattr(source, "_stream").link  # noqa: B009  its owner would not do this
            link.send([memoryview(data)], len(data))
            wait_for(lambda queue=queue: queue.tend() or queue.rejections.dropped)
            queue.close()
            source.close()


def not_found(name: str) -> None:
    """No package is installed."""


class TestConfiguration:
    def test_without_tls_nothing_leaves_the_machine(self, ring: KeyRing) -> None:
        transport = new_tcp(uses_tls=False)
        with contextlib.closing(transport):
            for address in ("tcp://0.0.0.0:0", "tcp://*:0", "tcp://192.0.2.1:7", "tcp://[::]:0"):
                with pytest.raises(UsageError, match="loopback interface alone"):
                    transport.server(address, ring)
                with pytest.raises(UsageError, match="loopback interface alone"):
                    transport.client(credentials(address, ring))
            transport.server("tcp://localhost:0", ring)

    def test_one_end_with_tls_and_one_without(self, ring: KeyRing) -> None:
        secure, plain = new_tcp(), new_tcp(uses_tls=False)
        with contextlib.closing(secure), contextlib.closing(plain):
            for servers, clients in ((secure, plain), (plain, secure)):
                server = servers.server(ANYWHERE, ring)
                assert isinstance(server, TCPServer)
                turning = Turning(server)
                client = clients.client(credentials(server.address, ring))
                assert "auth_failed" in await_event(client, "auth_failed")
                turning.stop()
                assert server.rejections.malformed

    def test_what_it_needs_is_named(self, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", not_found)
        with pytest.raises(ComponentError, match="cryptography") as caught:
            new_tcp().server(ANYWHERE, ring)
        assert "concurrence[tcp]" in caught.value.hint
        monkeypatch.setattr("concurrence.transport.tcp_poll.has_epoll", lambda: False)
        with pytest.raises(ComponentError, match="epoll") as caught:
            new_tcp().server(ANYWHERE, ring)
        assert "zmq" in caught.value.hint

    def test_leaves_no_thread_and_no_descriptor_behind(self, ring: KeyRing) -> None:
        def once() -> None:
            transport = new_tcp()
            server = transport.server(ANYWHERE, ring)
            client = transport.client(credentials(server.address, ring))
            queue = transport.work_queue(ANYWHERE, ring)
            transport.work_source(queue.address, credentials(queue.address, ring, Role.SLAVE))
            lost = transport.client(credentials("tcp://127.0.0.1:1", ring))
            lost.connection_events()
            wait_for(lambda: (server.receive(), queue.tend(), "connected" in client.connection_events())[2])
            transport.close()

        once()
        before = psutil.Process().num_fds()
        once()
        assert psutil.Process().num_fds() == before
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("concurrence-alarm")]

    def test_names_are_resolved(self, ring: KeyRing) -> None:
        with contextlib.closing(new_tcp()) as transport:
            server = transport.server("tcp://localhost:0", ring)
            assert isinstance(server, TCPServer)
            turning = Turning(server)
            client = transport.client(credentials(server.address, ring))
            try:
                assert await_event(client, "connected") == ["connected"]
            finally:
                turning.stop()
