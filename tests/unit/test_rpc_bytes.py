"""Whatever bytes come as remote calls and answers: refused or answered with a failure, never more."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from concurrence.errors import ProtocolError
from concurrence.transport.remote import ApiRequest
from concurrence.transport.rpc_calls import Calls
from concurrence.transport.rpc_errors import BadParameters, error_of, failure_of
from concurrence.transport.rpc_methods import RemoteMethods
from concurrence.transport.security import Role
from concurrence.wire.codec import MessageDecoder, Parcel, encode
from concurrence.wire.rpc_messages import MAX_RPC_BYTES, RPC_VERSION, RpcCall, RpcFailure, RpcMessage, RpcResult

LOG = logging.getLogger("test")
WHO = ApiRequest("192.0.2.1", Role.CLIENT, "key")
decoder: MessageDecoder[RpcMessage] = MessageDecoder(list[RpcMessage])

plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def methods() -> RemoteMethods:
    made = RemoteMethods(LOG)

    def echo(handler: object, request: ApiRequest, value: Any = None, *, count: int = 0) -> list[Any]:
        return [value, count]

    made.add(echo)
    return made


def answered(body: bytes) -> RpcResult | RpcFailure:
    return methods().answer(RpcCall(1, RPC_VERSION, 7, "echo"), body, None, WHO).message


@given(st.binary(max_size=300))
def test_arbitrary_headers(data: bytes) -> None:
    with suppress(ProtocolError):
        decoder.decode([data])


@given(st.binary(max_size=300))
def test_arbitrary_arguments(body: bytes) -> None:
    answer = answered(body)
    assert answer.number == 7


@given(plain)
def test_plain_data_goes_there_and_back(value: Any) -> None:
    body = msgspec.msgpack.encode(([value], {"count": 3}))
    answer = methods().answer(RpcCall(1, RPC_VERSION, 7, "echo"), body, None, WHO)
    (parcel,) = decoder.decode(encode([answer]))
    assert msgspec.msgpack.decode(parcel.frames[0]) == [value, 3]


def test_deep_and_long_arguments() -> None:
    deep = b"\x92\x91" + b"\x91" * 100_000 + b"\xc0\x80"
    answer = answered(deep)
    assert isinstance(answer, RpcFailure)
    assert "not well-formed" in answer.text
    answer = answered(bytes(MAX_RPC_BYTES + 1))
    assert isinstance(answer, RpcFailure)
    assert "more than are taken" in answer.text


def test_answers_to_no_call_and_answers_that_are_no_plain_data() -> None:
    told: list[tuple[str, object]] = []

    class Handler:
        def echo_response(self, result: object) -> None:
            told.append(("response", result))

        def echo_failed(self, error: object) -> None:
            told.append(("failed", error))

    sent: list[Parcel[RpcCall]] = []
    calls = Calls(sent.append, Handler, LOG)
    calls.take(RpcResult(1, 1), b"\xc0")
    calls.call("echo", (1,), {})
    calls.call("echo", (2,), {})
    calls.take(RpcResult(1, 1), b"\xc1 no such type")
    calls.take(RpcResult(1, 1), b"\xc0")  # the second answer to one call
    calls.take(RpcResult(1, 2), bytes(MAX_RPC_BYTES + 1))
    assert [kind for kind, _ in told] == ["failed", "failed"]
    assert calls.unanswered == 0


def test_texts_of_failures_are_bounded_and_can_be_sent() -> None:
    failure = failure_of(BadParameters("\ud800" * 100_000, hint="h" * 100_000), 1)
    (parcel,) = decoder.decode(encode([Parcel(failure)]))
    assert isinstance(parcel.message, RpcFailure)
    error = error_of(parcel.message)
    assert isinstance(error, BadParameters)
    assert len(error.message) < 10_000
