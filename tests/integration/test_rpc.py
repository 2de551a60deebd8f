"""Remote methods over every transport: calls, notifications, failures with their kinds, and lost connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from concurrence.errors import AddressInUse, AuthenticationFailed, Backpressure, UsageError
from concurrence.transport import tcp_server, zmq_gate
from concurrence.transport.api import IServer, PeerId
from concurrence.transport.memory import MemoryTransport
from concurrence.transport.memory_network import MemoryNetwork
from concurrence.transport.remote import ApiRequest
from concurrence.transport.rpc_calls import MAX_UNANSWERED
from concurrence.transport.rpc_client import RpcClient
from concurrence.transport.rpc_errors import (
    BadParameters,
    CallFailed,
    CallLost,
    RemoteException,
    UnknownMethod,
    VersionMismatch,
)
from concurrence.transport.rpc_loop import run_until
from concurrence.transport.rpc_methods import tcpremote
from concurrence.transport.rpc_server import RpcPeer, RpcServer
from concurrence.transport.security import Credentials, KeyRing, Role, new_key_pair
from concurrence.transport.standalone import open_transport
from concurrence.transport.tcp_transport import TCPTransport
from concurrence.transport.zmq_transport import ZMQTransport
from concurrence.wire import rpc_messages
from concurrence.wire.codec import Frame

Transport: TypeAlias = ZMQTransport | TCPTransport | MemoryTransport

ANYWHERE = "tcp://127.0.0.1:0"
SECONDS = 60.0


class Notes:
    """A handler that keeps every notification."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *values: self.all.append((name, *values))

    def of(self, name: str) -> list[Any]:
        return [rest[0] if rest else None for each, *rest in self.all if each == name]


@pytest.fixture(params=["zmq", "tcp", "memory"])
def transport(request: pytest.FixtureRequest) -> Generator[Transport]:
    made = open_transport(request.param)
    if isinstance(made, MemoryTransport):
        made.network = MemoryNetwork()
    yield made
    made.close()


class Pair:
    """A server, and clients that it turns together with it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.ring = KeyRing.create()
        self.server_notes = Notes()
        self.server = RpcServer.listen(transport, ANYWHERE, self.ring, self.server_notes)
        self.clients: list[RpcClient] = []

    def access(self, role: Role = Role.CLIENT) -> Credentials:
        return self.ring.invite(self.server.address, role)

    def client(self, access: Credentials | None = None) -> tuple[RpcClient, Notes]:
        notes = Notes()
        self.clients.append(RpcClient.connect(self.transport, access or self.access(), notes))
        return self.clients[-1], notes

    def until(self, condition: Callable[[], object]) -> None:
        assert run_until([self.server, *self.clients], condition, SECONDS), "waited in vain"

    def answer(self, notes: Notes, name: str) -> Any:
        self.until(lambda: notes.of(name))
        return notes.of(name)[0]


@pytest.fixture
def pair(transport: Transport) -> Generator[Pair]:
    made = Pair(transport)
    yield made
    for client in made.clients:
        client.close()
    made.server.close()


class TestCalls:
    def test_a_method_is_called_and_its_answer_is_a_notification(self, pair: Pair) -> None:
        seen: list[ApiRequest] = []

        @tcpremote(pair.server, name="register_slave")
        def register_slave_tcp(handler: RpcPeer, request: ApiRequest, node_id: str, *, port: int = 7) -> list[Any]:
            seen.append(request)
            return [node_id, port, b"\0", 1.5, None]

        access = pair.access(Role.SLAVE)
        client, notes = pair.client(access)
        assert client.proxy.register_slave("attic", port=8) == 1
        assert notes.all == []
        assert pair.answer(notes, "register_slave_response") == ["attic", 8, b"\0", 1.5, None]
        assert seen == [ApiRequest("127.0.0.1", Role.SLAVE, access.keys.public)]
        assert register_slave_tcp.__name__ == "register_slave_tcp"

    def test_answers_come_in_the_order_of_the_calls(self, pair: Pair) -> None:
        got: list[int] = []

        @tcpremote(pair.server)
        def count(handler: RpcPeer, request: ApiRequest, number: int) -> int:
            got.append(number)
            return number

        client, notes = pair.client()
        for number in range(500):
            client.proxy.count(number)
        pair.until(lambda: len(notes.of("count_response")) == 500)
        assert got == notes.of("count_response") == list(range(500))

    def test_a_server_calls_its_clients_back(self, pair: Pair) -> None:
        @tcpremote(pair.server)
        def join(handler: RpcPeer, request: ApiRequest, name: str) -> None:
            handler.proxy.welcome(f"hello {name}")

        client, notes = pair.client()
        requests: list[ApiRequest] = []

        @tcpremote(client)
        def welcome(handler: RpcClient, request: ApiRequest, text: str) -> str:
            requests.append(request)
            return text.upper()

        client.proxy.join("ada")
        assert pair.answer(pair.server_notes, "welcome_response") == "HELLO ADA"
        pair.answer(notes, "join_response")
        assert requests[0].key == pair.ring.keys.public
        assert requests[0].address == "127.0.0.1"

    def test_names_with_dots(self, pair: Pair) -> None:
        @tcpremote(pair.server, name="config.get")
        def config_get(handler: RpcPeer, request: ApiRequest, key: str) -> str:
            return key

        client, notes = pair.client()
        client.proxy["config.get"]("node.name")
        assert pair.answer(notes, "config_get_response") == "node.name"


class TestFailures:
    def failure(self, pair: Pair, name: str, *arguments: Any, **named: Any) -> CallFailed:
        client, notes = pair.client()
        client.proxy[name](*arguments, **named)
        error = pair.answer(notes, f"{name}_failed")
        assert isinstance(error, CallFailed)
        return error

    def test_unknown_method(self, pair: Pair) -> None:
        tcpremote(pair.server)(lambda_named("known"))
        error = self.failure(pair, "unknown")
        assert isinstance(error, UnknownMethod)
        assert "'unknown'" in error.message
        assert "known" in error.hint

    @pytest.mark.parametrize(
        ("arguments", "named", "text"),
        [
            ((), {}, "lacks number"),
            (("one",), {}, "number: Expected `int`, got `str`"),
            ((1, 2), {}, "takes 1 parameters by position at most, not 2"),
            ((), {"nummer": 1}, "has no parameter 'nummer'"),
            ((1,), {"number": 1}, "given number twice"),
        ],
    )
    def test_bad_parameters(self, pair: Pair, arguments: Any, named: Any, text: str) -> None:
        @tcpremote(pair.server)
        def double(handler: RpcPeer, request: ApiRequest, number: int) -> int:
            return 2 * number

        error = self.failure(pair, "double", *arguments, **named)
        assert isinstance(error, BadParameters)
        assert text in error.message

    def test_an_exception_comes_as_text_with_its_traceback(self, pair: Pair) -> None:
        @tcpremote(pair.server)
        def fail(handler: RpcPeer, request: ApiRequest) -> None:
            raise ValueError("not today")

        error = self.failure(pair, "fail")
        assert isinstance(error, RemoteException)
        assert (error.message, error.type) == ("not today", "ValueError")
        assert "in fail" in error.traceback
        assert "test_rpc.py" in error.traceback

    def test_an_error_of_concurrent_keeps_its_hint(self, pair: Pair) -> None:
        @tcpremote(pair.server)
        def fail(handler: RpcPeer, request: ApiRequest) -> None:
            raise UsageError("wrong", hint="Do it right.")

        error = self.failure(pair, "fail")
        assert (error.message, error.hint) == ("wrong", "Do it right.")

    def test_a_result_that_is_no_plain_data(self, pair: Pair) -> None:
        @tcpremote(pair.server)
        def thing(handler: RpcPeer, request: ApiRequest) -> object:
            return object()

        assert "object" in self.failure(pair, "thing").message

    def test_another_version(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("concurrence.transport.rpc_calls.RPC_VERSION", rpc_messages.RPC_VERSION + 1)
        error = self.failure(pair, "anything")
        assert isinstance(error, VersionMismatch)
        assert "version 2" in error.message
        assert "same version" in error.hint

    def test_exit_of_a_method_costs_one_answer(self, pair: Pair) -> None:
        @tcpremote(pair.server)
        def leave(handler: RpcPeer, request: ApiRequest) -> None:
            raise SystemExit(3)

        assert isinstance(self.failure(pair, "leave"), RemoteException)

    def test_a_handler_that_raises_costs_nothing_else(self, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
        @tcpremote(pair.server)
        def say(handler: RpcPeer, request: ApiRequest, text: str) -> str:
            return text

        answers: list[str] = []

        class Handler:
            def say_response(self, text: str) -> None:
                answers.append(text)
                raise ValueError("my handler is broken")

        client, _ = pair.client()
        client.handler = Handler()
        client.proxy.say("one")
        client.proxy.say("two")
        pair.until(lambda: answers == ["one", "two"])
        assert "my handler is broken" in caplog.text

    def test_arguments_that_are_no_plain_data(self, pair: Pair) -> None:
        client, _ = pair.client()
        with pytest.raises(UsageError, match="not plain data"):
            client.proxy.say(object())
        with pytest.raises(UsageError, match="may be sent"):
            client.proxy.say(bytes(rpc_messages.MAX_RPC_BYTES))

    def test_too_many_unanswered_calls(self, pair: Pair) -> None:
        client, _ = pair.client()
        for _ in range(MAX_UNANSWERED):
            client.proxy.say("hello")
        with pytest.raises(Backpressure, match="no answer yet"):
            client.proxy.say("hello")


class TestConnections:
    def listens_again(self, pair: Pair, address: str) -> bool:
        try:
            pair.server = RpcServer.listen(pair.transport, address, pair.ring, pair.server_notes)
        except AddressInUse:
            return False
        return True

    def test_a_client_that_calls_nothing_is_kept(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (tcp_server, zmq_gate):
            monkeypatch.setattr(module, "HELLO_SECONDS", 1.0)
        client, notes = pair.client()
        pair.until(lambda: pair.server.peers)
        began = time.monotonic()
        pair.until(lambda: time.monotonic() - began > 3.0)  # nothing to wait for: it is that nothing happens
        assert notes.of("disconnected") == []
        pair.server.peers[0].proxy.hello()  # nor has it called: the server knows it all the same
        assert isinstance(pair.answer(pair.server_notes, "hello_failed"), UnknownMethod)
        assert client.handler is notes

    def test_calls_wait_for_a_server_and_a_lost_answer_fails(self, pair: Pair) -> None:
        offer_say(pair.server)
        client, notes = pair.client()
        client.proxy.say("first")
        assert pair.answer(notes, "say_response") == "first"
        address, old = pair.server.address, pair.server
        client.proxy.say("lost")  # sent, and never read
        old.close()
        pair.server = silent = RpcServer.listen(open_transport("memory"), ANYWHERE, pair.ring)
        pair.until(lambda: notes.of("disconnected"))
        assert [type(error) for error in notes.of("say_failed")] == [CallLost]
        client.proxy.say("later")
        silent.close()
        assert run_until([client], lambda: self.listens_again(pair, address), SECONDS)
        offer_say(pair.server)
        pair.until(lambda: "later" in notes.of("say_response"))
        assert len(notes.of("connected")) >= 2

    def test_a_key_that_is_not_accepted(self, pair: Pair) -> None:
        client, notes = pair.client(replace(pair.access(), keys=new_key_pair()))
        client.proxy.say("hello")
        error = pair.answer(notes, "refused")
        assert isinstance(error, AuthenticationFailed)
        assert len(notes.of("say_failed")) == 1
        with pytest.raises(CallFailed, match="does not accept this key"):
            client.proxy.say("hello again")

    def test_calls_that_a_client_closes_on_fail(self, pair: Pair) -> None:
        client, notes = pair.client()
        pair.until(lambda: notes.of("connected"))
        client.proxy.say("sent, and never read")
        pair.server.close()
        run_until([client], lambda: notes.of("disconnected"), SECONDS)
        client.proxy.say("waits for a connection")
        client.close()
        client.close()
        assert [type(error) for error in notes.of("say_failed")] == [CallLost, CallLost]
        with pytest.raises(CallLost, match="closed"):
            client.proxy.say("too late")

    def test_each_call_across_losses_of_the_connection_ends(self, pair: Pair) -> None:
        offer_say(pair.server)
        client, notes = pair.client()
        calls = 0

        def ended() -> int:
            return len(notes.of("say_response")) + len(notes.of("say_failed"))

        address = pair.server.address
        for _ in range(10):
            for _ in range(20):
                client.proxy.say("hello")
                calls += 1
            pair.until(lambda: notes.of("say_response"))
            pair.server.close()
            client.proxy.say("just when it goes")
            calls += 1
            assert run_until([client], lambda: self.listens_again(pair, address), SECONDS)
            offer_say(pair.server)
        pair.until(lambda: ended() == calls)
        assert {type(error) for error in notes.of("say_failed")} <= {CallLost}

    def test_too_many_answers_that_nobody_takes(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("concurrence.transport.rpc_client._MAX_WAITING", 10)
        end, notes = pair.transport.client(pair.access()), Notes()
        client = RpcClient(end, notes)
        pair.clients.append(client)
        offer_say(client)
        pair.until(lambda: pair.server.peers)
        client.proxy.say("sent, and never answered")
        for _ in range(11):
            pair.server.peers[0].proxy.say("hello")

        def takes_nothing(frames: Sequence[Frame]) -> bool:
            return False

        with monkeypatch.context() as patch:
            patch.setattr(end, "send", takes_nothing)
            assert run_until([client], lambda: notes.of("say_failed"), SECONDS)
        assert [type(error) for error in notes.of("say_failed")] == [CallLost]
        assert len(notes.of("disconnected")) == 1
        pair.until(lambda: len(notes.of("connected")) == 2)

    def test_an_answer_that_cannot_be_read_fails_what_is_unanswered(self, pair: Pair) -> None:
        address = pair.server.address
        pair.server.close()
        client, notes = pair.client()
        server: list[IServer] = []

        def listens() -> bool:
            with suppress(AddressInUse):
                server.append(pair.transport.server(address, pair.ring))
            return bool(server)

        def answers() -> bool:
            received = server[0].receive()
            return received is not None and server[0].send(received[0], [b"no message"])

        client.proxy.say("hello")
        assert run_until([client], listens, SECONDS)
        assert run_until([client], answers, SECONDS)
        assert run_until([client], lambda: notes.of("say_failed"), SECONDS)
        assert "cannot be read" in notes.of("say_failed")[0].message
        server[0].close()

    def test_who_takes_no_answers_is_not_heard_again(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (tcp_server, zmq_gate):
            monkeypatch.setattr(module, "HELLO_SECONDS", 1.0)
        end = pair.transport.server(ANYWHERE, pair.ring)
        pair.server.close()
        pair.server = RpcServer(end, pair.server_notes)
        offer_say(pair.server)
        client, notes = pair.client()
        pair.until(lambda: pair.server.peers)
        first, send = pair.server.peers[0].id, end.send

        def send_to_others(peer: PeerId, frames: Sequence[Frame]) -> bool:
            return peer != first and send(peer, frames)

        monkeypatch.setattr(end, "send", send_to_others)
        client.proxy.say("cannot be answered")
        pair.until(lambda: not pair.server.peers)
        client.proxy.say("nor can this")
        if not isinstance(pair.transport, MemoryTransport):  # which cuts nobody off
            pair.until(lambda: len(notes.of("say_failed")) == 2)
            assert {type(error) for error in notes.of("say_failed")} == {CallLost}
            client.proxy.say("once more")
            assert pair.answer(notes, "say_response") == "once more"

    def test_a_client_that_has_gone_fails_the_calls_to_it(self, pair: Pair) -> None:
        handlers: list[RpcPeer] = []

        @tcpremote(pair.server)
        def join(handler: RpcPeer, request: ApiRequest) -> None:
            handlers.append(handler)

        client, notes = pair.client()
        client.proxy.join()
        pair.answer(notes, "join_response")
        pair.clients.remove(client)
        client.close()

        def called() -> bool:
            handlers[0].proxy.hello()
            return bool(pair.server_notes.of("hello_failed"))

        pair.until(called)
        assert all(isinstance(error, CallLost) for error in pair.server_notes.of("hello_failed"))
        assert pair.server.peers == []


class TestDeclarations:
    def test_what_cannot_be_offered(self, pair: Pair) -> None:
        def lacks_handler(request: ApiRequest) -> None: ...

        async def waits(handler: RpcPeer, request: ApiRequest) -> None: ...

        for function, text in ((lacks_handler, "first two parameters"), (waits, "coroutine")):
            with pytest.raises(UsageError, match=text):
                tcpremote(pair.server)(function)
        tcpremote(pair.server)(lambda_named("twice"))
        with pytest.raises(UsageError, match="offered twice"):
            tcpremote(pair.server)(lambda_named("twice"))
        not_an_end: Any = object()
        with pytest.raises(UsageError, match="tcpremote needs"):
            tcpremote(not_an_end)


def offer_say(server: RpcServer | RpcClient) -> None:
    @tcpremote(server)
    def say(handler: object, request: ApiRequest, text: str) -> str:
        return text


def lambda_named(name: str) -> Callable[[RpcPeer, ApiRequest], None]:
    def function(handler: RpcPeer, request: ApiRequest) -> None: ...

    function.__name__ = name
    return function


def test_there_are_three_transports() -> None:
    with pytest.raises(UsageError, match="no transport 'udp'") as caught:
        open_transport("udp")
    assert "zmq, tcp, memory" in caught.value.hint
